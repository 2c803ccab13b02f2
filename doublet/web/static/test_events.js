// Keeps the page of test events live: the stream says that something is new, then the page is
// fetched again and its new or changed rows are put in. Rows stay, so that open details, focus
// and scroll position do too. The stream's last id outlives a connection that the browser gave up.
const INTERVAL_MS = 400;
const AGAIN_MS = 1000;
const ROWS_MAX = 500;

const rows = document.getElementById("rows");
const address = document.getElementById("events").dataset.stream;
const freshness = document.getElementById("freshness");
const state = document.getElementById("state");
const announcement = document.getElementById("announcement");

let lastId = "";
let timer = 0;
let isFetching = false;
let isStale = false;

async function refresh() {
  isFetching = true;
  isStale = false;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    exchange([...page.getElementById("rows").rows]);
  } catch (error) {
    console.warn(error);
    isStale = true;
  } finally {
    isFetching = false;
    timer = 0;
  }
  if (isStale) soon(AGAIN_MS);
}

function exchange(fresh) {
  let before = rows.firstElementChild;
  for (const newer of fresh) {
    const known = document.getElementById(newer.id);
    if (known === null) {
      rows.insertBefore(document.adoptNode(newer), before);
      continue;
    }
    const [status, newerStatus] = [known.lastElementChild, newer.lastElementChild];
    if (status.innerHTML !== newerStatus.innerHTML) {
      status.replaceChildren(...document.adoptNode(newerStatus).childNodes);
    }
    before = known.nextElementSibling;
  }
  while (rows.rows.length > ROWS_MAX) rows.lastElementChild.remove();
  if (rows.rows.length) document.getElementById("none")?.remove();
}

function soon(after = 0) {
  isStale = true;
  if (!timer && !isFetching) timer = setTimeout(refresh, after);
}

function say(text, isLive) {
  freshness.classList.toggle("live", isLive);
  freshness.classList.toggle("stale", !isLive);
  if (state.textContent !== text) announcement.textContent = text;
  state.textContent = text;
}

function listen() {
  const target = new URL(address, location.href);
  if (lastId) target.searchParams.set("last_event_id", lastId);
  const stream = new EventSource(target);
  stream.onopen = () => {
    say("Live", true);
    soon();
  };
  for (const kind of ["event", "refused", "status", "gap"]) {
    stream.addEventListener(kind, (message) => {
      lastId = message.lastEventId || lastId;
      soon(INTERVAL_MS / 4);
    });
  }
  stream.onerror = () => {
    say("The stream has broken off. Trying again.", false);
    // After an answer that is no stream, such as 503, a browser does not try again by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
  };
}

listen();
