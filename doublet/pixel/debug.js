/*
 * A panel over the page that shows what the pixel sends and what the collector answers. The pixel
 * loads it where the page's address has ?doublet_debug, and tells it of each step by
 * fbq("on", "doublet", …). It lives in a shadow tree, so that neither page nor panel change the
 * other's looks, and styles itself by a constructed sheet, which content security policies allow.
 */
(function (window, document) {
  "use strict";

  const NAME = "doublet-debug";
  const ENTRIES_MAX = 200;
  const SHORT_LENGTH = 8;

  const CSS = `
    :host {
      all: initial !important; display: block !important; position: fixed !important;
      inset: auto 16px 16px auto !important; width: 400px !important;
      z-index: 2147483647 !important;
      color-scheme: light dark !important;
      --back: #fff; --line: #dcdfe4; --text: #1c2330; --quiet: #5a6475; --raised: #f4f5f7;
      --good: #1b7a43; --bad: #b3261e; --wait: #8a5a00; --focus: #2f5fd0;
    }
    @media (prefers-color-scheme: dark) {
      :host {
        --back: #171b22; --line: #343b48; --text: #e8ebf0; --quiet: #a2acbd; --raised: #212732;
        --good: #6fcf97; --bad: #ff8a80; --wait: #f2c057; --focus: #8ab0ff;
      }
    }
    @media (max-width: 480px) {
      :host { inset: auto 0 0 0 !important; width: auto !important; }
      section { border-radius: 10px 10px 0 0; border-width: 1px 0 0; }
    }
    * { box-sizing: border-box; }
    section {
      display: flex; flex-direction: column; max-height: 60vh; overflow: hidden;
      background: var(--back); color: var(--text); border: 1px solid var(--line);
      border-radius: 10px; box-shadow: 0 6px 28px #0004; font: 13px/1.45 system-ui, sans-serif;
    }
    header { display: flex; align-items: center; gap: 8px; padding: 6px 6px 6px 12px; }
    h2 { margin: 0; font-size: 13px; }
    #count { flex: 1; color: var(--quiet); }
    button {
      width: 32px; height: 32px; padding: 0; border: 0; border-radius: 6px; cursor: pointer;
      background: none; color: inherit; font: 18px/1 system-ui, sans-serif;
    }
    button:hover, summary:hover { background: var(--raised); }
    :focus-visible { outline: 2px solid var(--focus); outline-offset: -2px; }
    ol { flex: 1; min-height: 0; overflow: auto; margin: 0; padding: 0; list-style: none; }
    section.small ol, section.small #none { display: none; }
    li { border-top: 1px solid var(--line); overflow-wrap: anywhere; }
    #none, li > p { margin: 0; padding: 8px 12px; }
    #none { border-top: 1px solid var(--line); color: var(--quiet); }
    summary { display: grid; grid-template-columns: 1fr auto; gap: 0 12px; padding: 8px 12px;
      cursor: pointer; list-style: none; }
    summary::-webkit-details-marker { display: none; }
    .name { font-weight: 600; }
    .name::before { content: "▸"; display: inline-block; width: 1.2em; color: var(--quiet); }
    details[open] > summary .name::before { content: "▾"; }
    .at { color: var(--quiet); font-variant-numeric: tabular-nums; }
    .state { grid-column: 1 / -1; padding-left: 1.2em; }
    .good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); }
    table { width: calc(100% - 40px); margin: 0 12px 8px 28px; border-collapse: collapse; }
    caption { padding: 6px 0 2px; text-align: left; font-weight: 600; }
    th, td { padding: 2px 0; text-align: left; vertical-align: top; font-weight: 400; }
    th { width: 38%; padding-right: 10px; color: var(--quiet); }
    td { font-family: ui-monospace, monospace; font-size: 12px; white-space: pre-wrap; }
    .rest { margin: 0 0 8px; } .rest summary { padding: 4px 12px 4px 28px; color: var(--quiet); }
    .rest .name { font-weight: 400; }
  `;

  const entries = new Map();
  const seen = new WeakSet();
  const counts = { events: 0, warnings: 0 };
  let section, list, none, count;

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function several(number, word) {
    return number + " " + word + (number === 1 ? "" : "s");
  }

  // --- one event -----------------------------------------------------------------------------

  /** What became of an event, in words and in how they look. */
  function stateOf(entry) {
    const { last } = entry;
    if (last.type === "held") return ["wait", last.text || "Held until there is consent"];
    if (last.type === "sent") {
      const isMute = last.transport === "SB" || last.transport === "GET";
      return isMute ? ["", "Sent; this way no answer is told"] : ["wait", "Sent, no answer yet"];
    }
    const status = Number(last.status) || 0;
    const reason = last.refused || last.text;
    if (status >= 200 && status < 300) return ["good", "Taken (" + status + ")"];
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      return ["bad", "Refused (" + status + ")" + (reason ? ": " + reason : "")];
    }
    const why = status ? "Answered " + status : "Not reached";
    return ["wait", why + (reason ? ": " + reason : "") + "; is sent again"];
  }

  function shortened(value) {
    return value.length > SHORT_LENGTH ? value.slice(0, SHORT_LENGTH) + "…" : value;
  }

  function table(caption, rows) {
    const made = element("table");
    if (caption) made.append(element("caption", "", caption));
    rows.forEach(([key, value]) => {
      const row = made.insertRow();
      const cell = element("td", "", value);
      if (key) {
        const head = element("th", "", key);
        head.scope = "row";
        row.append(head, cell);
      } else {
        cell.colSpan = 2;
        row.append(cell);
      }
    });
    return made;
  }

  /** The parameters `group[key]`, without the group's name. */
  function groupOf(params, group) {
    const inGroup = params.filter(([name]) => name.startsWith(group + "["));
    return inGroup.map(([name, value]) => [name.slice(group.length + 1, -1), String(value)]);
  }

  function describe(entry) {
    const params = entry.params;
    const value = (name) => (params.find((pair) => pair[0] === name) || [])[1];
    const user = groupOf(params, "ud");
    const found = groupOf(params, "udff").map(([key, text]) => [key + " (found in a form)", text]);
    const people = user.concat(found).map(([key, text]) => [key, shortened(text)]);
    const facts = [
      ["Pixel", entry.id],
      ["Event id", entry.eventID],
      ["Transport", entry.transport],
      ["Answer", entry.last.status ? String(entry.last.status) : ""],
      ["Refused because", entry.last.refused],
      ["_fbp", value("fbp") || "none"],
      ["_fbc", value("fbc") || "none"],
      ["Test code", value("test_event_code")],
    ];
    const parts = [table("", facts.filter((row) => row[1]))];
    const groups = [
      ["Warnings", entry.warnings.map((text) => ["", text])],
      ["Parameters", groupOf(params, "cd")],
      ["User data, hashed", people],
      ["Consent", groupOf(params, "cs")],
    ];
    groups.filter(([, rows]) => rows.length > 0).forEach((group) => parts.push(table(...group)));
    const rest = params.filter(([name]) => !/^(cd|ud|udff|cs)\[|^(fbp|fbc|id|ev|eid)$/.test(name));
    if (rest.length > 0) parts.push(restOf(entry, rest));
    return parts;
  }

  function restOf(entry, rows) {
    const rest = element("details", "rest");
    const summary = element("summary");
    summary.append(element("span", "name", "All else that was sent"));
    rest.append(summary, table("", rows.map(([name, value]) => [name, String(value)])));
    rest.open = entry.restIsOpen;
    rest.addEventListener("toggle", () => { entry.restIsOpen = rest.open; });
    return rest;
  }

  function show(entry) {
    const [look, text] = stateOf(entry);
    entry.state.replaceChildren(element("span", look, text));
    const warnings = entry.warnings.length;
    const mark = element("span", "wait", " ⚠ " + several(warnings, "warning"));
    if (warnings > 0) entry.state.append(mark);
    entry.body.replaceChildren(...describe(entry));
  }

  // --- records → entries ---------------------------------------------------------------------

  function addItem(content) {
    const item = element("li");
    item.append(content);
    list.prepend(item);
    while (list.childElementCount > ENTRIES_MAX) list.lastElementChild.remove();
    return item;
  }

  function keyOf(record) {
    return [record.id, record.name, record.eventID].join(" ");
  }

  function newEntry(record) {
    const details = element("details");
    const summary = element("summary");
    const at = new Date(record.at || Date.now());
    const entry = {
      id: String(record.id),
      name: record.name,
      eventID: record.eventID,
      params: [],
      warnings: [],
      restIsOpen: false,
      state: element("span", "state"),
      body: element("div"),
    };
    summary.append(
      element("span", "name", record.name),
      element("time", "at", at.toLocaleTimeString()),
      entry.state
    );
    details.append(summary, entry.body);
    addItem(details);
    entries.set(keyOf(record), entry);
    counts.events += 1;
    return entry;
  }

  function takeWarning(record) {
    counts.warnings += 1;
    const entry = entries.get(keyOf(record));
    if (entry) {
      entry.warnings.push(record.text);
      show(entry);
    } else {
      const about = [record.name || record.id, record.text].filter(Boolean).join(": ");
      addItem(element("p", "wait", "⚠ " + about));
    }
  }

  function take(record) {
    if (seen.has(record)) return;
    seen.add(record);
    if (record.type === "warning") {
      takeWarning(record);
    } else {
      const entry = entries.get(keyOf(record)) || newEntry(record);
      entry.last = record;
      if (record.params) entry.params = record.params;
      if (record.transport) entry.transport = record.transport;
      show(entry);
    }
    none.hidden = true;
    const warnings = counts.warnings > 0 ? ", " + several(counts.warnings, "warning") : "";
    count.textContent = several(counts.events, "event") + warnings;
  }

  // --- the panel -----------------------------------------------------------------------------

  function button(text, label, onClick) {
    const made = element("button", "", text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.addEventListener("click", onClick);
    return made;
  }

  function build() {
    const host = element(NAME);
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
    section = element("section");
    section.setAttribute("aria-label", "Doublet pixel");
    const header = element("header");
    list = element("ol");
    none = element("p", "", "No event so far.");
    none.id = "none";
    count = element("span", "", "0 events");
    count.id = "count";
    count.setAttribute("role", "status");
    const close = () => {
      host.remove();
      document.removeEventListener("keydown", onKey);
    };
    const onKey = (event) => { if (event.key === "Escape") close(); };
    const fold = button("–", "Fold", () => {
      const small = section.classList.toggle("small");
      fold.textContent = small ? "+" : "–";
      fold.setAttribute("aria-expanded", String(!small));
    });
    fold.setAttribute("aria-expanded", "true");
    header.append(element("h2", "", "Doublet"), count, fold, button("×", "Close (Escape)", close));
    section.append(header, none, list);
    root.append(section);
    document.addEventListener("keydown", onKey);
    document.documentElement.append(host);
  }

  const script = document.currentScript;
  const fbq = window[(script && script.dataset.name) || "fbq"];
  if (!fbq || document.querySelector(NAME)) return;
  build();
  (fbq.log || []).slice().forEach(take);
  fbq("on", "doublet", take);
})(window, document);
