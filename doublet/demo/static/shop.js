/* Adds to the cart without leaving the page, and says in the small print what the pixel was told.
   Without this script the form posts and the cart's page follows. */

const told = document.querySelector(".told-text");

/* AddToCart is told after the shop has put it into the cart, on a page that stays. */
for (const form of document.querySelectorAll("form.add")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      document.querySelector("#count").textContent = (await answer.json()).count;
    } catch {
      form.submit();
      return;
    }
    const params = JSON.parse(form.dataset.event);
    fbq("track", "AddToCart", params);
    form.querySelector("a").hidden = false;
    form.querySelector("button").textContent = "Add another";
    const name = document.createElement("b");
    name.textContent = "AddToCart";
    told.replaceChildren(
      "Just handed to the pixel: ", name, ` ${params.value.toFixed(2)} ${params.currency}.`
    );
    sayIfBlocked();
  });
}

/* The base code is a queue until the pixel's script takes it over. */
function sayIfBlocked() {
  if (window.fbq && window.fbq.callMethod) return;
  told.textContent =
    "The pixel's script did not arrive here: an ad blocker, perhaps. " +
    "The shop's server reports a purchase all the same.";
}

if (document.readyState === "complete") sayIfBlocked();
else window.addEventListener("load", sayIfBlocked);
