// Keeps a setup's page fresh while it waits: for a check that runs, or for a test. The page is
// fetched again, and only the parts that changed are put in, so that focus and scrolling stay.
const CHECK_MS = 700;
const AGAIN_MS = 4000;
const PARTS = ["progress", "trial", "verdict"];

const announcement = document.getElementById("announcement");

function part(page, id) {
  return page.getElementById(id);
}

async function refresh() {
  let next = AGAIN_MS;
  try {
    const headers = { accept: "text/html", "x-doublet-part": "1" };
    const answer = await fetch(location.pathname, { headers });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    exchange(fresh);
    next = CHECK_MS;
  } catch (error) {
    console.warn(error);
  }
  if (part(document, "progress").dataset.waits === "yes") setTimeout(refresh, next);
}

function exchange(fresh) {
  const before = summary();
  for (const id of PARTS) {
    const [known, newer] = [part(document, id), part(fresh, id)];
    if (known.innerHTML !== newer.innerHTML) {
      known.replaceChildren(...document.adoptNode(newer).childNodes);
    }
    known.dataset.waits = newer.dataset.waits || "";
  }
  const after = summary();
  if (after !== before) announcement.textContent = after;
}

function summary() {
  if (document.getElementById("verified")) return "Verified.";
  const count = (state) => document.querySelectorAll(`.finding.${state}`).length;
  return `${count("passed") + count("noted")} checks passed, ${count("failed")} failed, ` +
    `${count("waiting")} waiting.`;
}

if (part(document, "progress").dataset.waits === "yes") setTimeout(refresh, CHECK_MS);
