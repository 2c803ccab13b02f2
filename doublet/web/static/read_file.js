// Reads a file into a field of text, so that the form can be sent without the file itself.
for (const field of document.querySelectorAll("[data-file-for]")) {
  const text = document.getElementById(field.dataset.fileFor);
  field.hidden = false;
  field.querySelector("input").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) text.value = await file.text();
  });
}
