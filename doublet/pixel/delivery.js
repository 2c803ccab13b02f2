  // --- parameters → network ------------------------------------------------------------------

  /** Entries under way or waiting: in this page, and in the browser's storage for the next. */
  const queue = new Map();
  let timer = 0;
  let isLoaded = false;

  function enqueue(pixel, event) {
    const list = parametersOf(pixel, event);
    const key = "_dbq." + Date.now() + "." + randomDigits();
    const body = String(new URLSearchParams(list));
    const entry = { key, to: endpoint, body, at: event.at, tries: 0, next: 0 };
    const about = { id: pixel.id, name: event.name, eventID: event.eventID, params: list };
    entry.tell = (more) => tell({ ...about, ...more });
    queue.set(key, entry);
    send(entry);
  }

  /** Two tabs take turns: whoever is about to send says until when it may take. */
  function claim(entry) {
    entry.tries++;
    const wait = Math.min(RETRY_MS_MAX, 1000 * 2 ** entry.tries);
    entry.next = Date.now() + wait * (0.5 + Math.random());
    if (entry.body.length < STORED_LENGTH_MAX) remember(entry.key, entry);
    entry.isStored = !!stored(entry.key);
  }

  function settle(entry) {
    entry.isBusy = false;
    queue.delete(entry.key);
    forget(entry.key);
  }

  function later(entry) {
    entry.isBusy = false;
    schedule();
  }

  function schedule() {
    const next = Math.min(...[...queue.values()].map((each) => (each.isBusy ? 1e15 : each.next)));
    window.clearTimeout(timer);
    if (next < 1e15) timer = window.setTimeout(flush, Math.max(0, next - Date.now()));
  }

  function answered(entry, transport, response) {
    const refused = attempt(() => response.headers.get("X-Doublet-Refused")) || "";
    entry.tell({ type: "answer", transport, status: response.status, refused });
    if (/^(5..|408|429)$/.test(response.status)) return later(entry);
    if (!response.ok) warn("REFUSED", response.status + " " + refused);
    return settle(entry);
  }

  /** The last resort: a policy of the page may allow images where it allows no requests. */
  function sendImage(entry) {
    const url = entry.to + "?rqm=GET&" + entry.body;
    const image = new window.Image();
    entry.tell({ type: "sent", transport: "GET" });
    image.onload = () => answered(entry, "GET", { ok: true, status: 200 });
    image.onerror = () => later(entry);
    if (url.length > URL_LENGTH_MAX) later(entry);
    else image.src = url;
  }

  function send(entry) {
    entry.isBusy = true;
    claim(entry);
    const type = "application/x-www-form-urlencoded;charset=UTF-8";
    // Filter lists block beacons to other sites, so they are for browsers whose requests do not
    // outlive the page. Whether one arrives is not told: the entry stays for the next page.
    const isBeacon = isLeaving && !attempt(() => "keepalive" in window.Request.prototype);
    const transport = isBeacon ? "SB" : "fetch";
    const body = "rqm=" + transport + "&" + entry.body;
    entry.tell({ type: "sent", transport });
    if (isBeacon) {
      navigator.sendBeacon(entry.to, new window.Blob([body], { type }));
    } else if (navigator.onLine === false && entry.tries < 4) {
      // Some machines are wrongly said to be offline.
      later(entry);
    } else {
      // A page that is being left breaks its requests off, which the browser goes on sending.
      const failed = () => (isLeaving || isHeld() ? later : sendImage)(entry);
      const request = attempt(() => window.fetch(entry.to, {
        method: "POST",
        credentials: "include",
        keepalive: body.length < KEEPALIVE_LENGTH_MAX,
        headers: { "Content-Type": type },
        body,
      }));
      if (request) request.then((response) => answered(entry, transport, response)).catch(failed);
      else failed();
    }
  }

  /** Takes over what earlier pages could not deliver. */
  function load() {
    isLoaded = true;
    const keys = attempt(() => Object.keys(storage()), []).filter((key) => key.startsWith("_dbq."));
    keys.sort().forEach((key) => {
      const entry = recall(key);
      if (entry && !queue.has(key)) queue.set(key, { ...entry, key, isBusy: false, tell() {} });
    });
  }

  function flush() {
    askTools();
    if (isHeld()) return;
    if (!isLoaded) load();
    const entries = [...queue.values()];
    entries.forEach((entry, at) => {
      if (entry.isBusy) return;
      const text = stored(entry.key);
      // Too old, too many, or delivered by another tab.
      if (
        Date.now() - entry.at > QUEUE_AGE_MS_MAX || entries.length - at > QUEUE_MAX ||
        (entry.isStored && !text)
      ) {
        settle(entry);
      } else {
        if (text) entry.next = JSON.parse(text).next;
        if (entry.next <= Date.now()) send(entry);
      }
    });
    schedule();
  }

