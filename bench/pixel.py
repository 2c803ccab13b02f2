"""What the pixel costs the page: the browser's main thread, and bytes on the wire.

A page of a shop in Chromium loads a script from a real collector, calls `init` and tracks 100
events, until all are answered. Chromium counts the processor time of the page's main thread
(DevTools protocol, Performance.getMetrics). The references are the same page and calls with an
empty script, and with the least that could report: one bare `fetch` per event.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from measure import Collectors, collectors, print_table, say
from playwright.sync_api import Browser, Page, Response, sync_playwright

from doublet import pixel

_OPERATOR_EXIT = 3
_EVENTS = 100
_AT_ONCE = 10
_ANSWERS_S = 60.0
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

SCRIPTS = ("/px-core.js", "/px.js")

_LINKS = "".join(f'<a class="card" href="/p/{n}">Mug {n}</a> ' for n in range(60))
_PAGE = f"""<!doctype html><title>Mug</title><link rel="icon" href="data:,">
<script type="application/ld+json">{{"@type": "Product", "sku": "mug-1", "offers":
  {{"price": "12.50", "priceCurrency": "EUR"}}}}</script>
<h1>Mug</h1>{_LINKS}<form><label>E-mail <input type="email" name="email"></label>
<button>Add to cart</button></form>"""

# The base code, then the calls in small portions, as a page's own work lies between them too.
_LOAD = """address => new Promise((resolve, reject) => {
  const fbq = window.fbq = window._fbq = function () {
    if (fbq.callMethod) fbq.callMethod.apply(fbq, arguments);
    else fbq.queue.push(arguments);
  };
  fbq.queue = [];
  const script = document.createElement("script");
  Object.assign(script, { src: address, onload: resolve, onerror: reject });
  document.head.append(script);
})"""
_BARE = """{
  const to = new URL(document.currentScript.src).searchParams.get("to");
  let id = "";
  fbq.callMethod = (verb, name, params, options) => {
    if (verb === "init") id = name;
    const body = new URLSearchParams({ id, ev: name, eid: options ? options.eventID : "" });
    if (verb === "track") fetch(to, { method: "POST", keepalive: true, body });
  };
}"""
_TRACK = """async ([id, count, atOnce]) => {
  let spent = 0;
  const task = (work) => new Promise((resolve) => {
    setTimeout(() => {
      const start = performance.now();
      work();
      spent += performance.now() - start;
      resolve();
    }, 20);
  });
  await task(() => fbq("init", id));
  for (let first = 0; first < count; first += atOnce) {
    await task(() => {
      for (let n = first; n < first + atOnce; n++) {
        fbq("track", "AddToCart",
          { content_ids: ["mug-" + n], content_type: "product", value: 12.5, currency: "EUR" },
          { eventID: "bench." + n });
      }
    });
  }
  return spent;
}"""


class Shop(BaseHTTPRequestHandler):
    """The page on every path, and the scripts of reference."""

    def do_GET(self) -> None:
        """Answer."""
        scripts = {"/empty.js": "", "/bare.js": _BARE}
        script = scripts.get(urlsplit(self.path).path)
        body = (_PAGE if script is None else script).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html" if script is None else "text/javascript")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served_shop() -> Iterator[str]:
    """The address of the shop."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def sizes(address: str, path: str) -> dict[str, int]:
    """Bytes of a script as written, as served, and as served compressed."""
    written = len(pixel.source(path).encode())
    served = {}
    for encoding in ("identity", "gzip"):
        headers = {"accept-encoding": encoding}
        with httpx.stream("GET", address + path, headers=headers) as answer:
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
            body = b"".join(answer.iter_raw())
            served[encoding] = body
            assert (answer.headers.get("content-encoding") == "gzip") is (encoding == "gzip")
    assert gzip.decompress(served["gzip"]) == served["identity"]
    compressed = len(served["gzip"])
    return {"raw": written, "minified": len(served["identity"]), "gzip": compressed}


class Visit:
    """One page in a new browser profile, and the main thread's time there."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.answered: set[str] = set()
        page.on("response", self._note)
        page.goto(url)
        self._devtools = page.context.new_cdp_session(page)
        # Processor time of the thread: what else the machine does stays out of it.
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def _note(self, response: Response) -> None:
        request = response.request
        sent = dict(parse_qsl(request.post_data or urlsplit(request.url).query))
        if sent.get("eid", "").startswith("bench."):
            self.answered.add(sent["eid"])

    def slow_down(self, factor: float) -> None:
        """As on a device that is slower by this factor."""
        self._devtools.send("Emulation.setCPUThrottlingRate", {"rate": factor})

    def spent_ms(self) -> tuple[float, float]:
        """What tasks and scripts have taken so far, once nothing is left to do."""
        self.page.evaluate("() => new Promise(resolve => requestIdleCallback(resolve))")
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        found = {metric["name"]: metric["value"] * 1000 for metric in metrics}
        return found["TaskDuration"], found["ScriptDuration"]

    def wait_for_answers(self) -> None:
        """Until each event was answered."""
        while len(self.answered) < _EVENTS:
            self.page.wait_for_event("response", timeout=_ANSWERS_S * 1000)


def run(
    browser: Browser, url: str, script: str, pixel_id: str, slowdown: float
) -> dict[str, float]:
    """One visit: milliseconds of loading, of the calls themselves, and of all until answered."""
    with browser.new_context() as context:
        visit = Visit(context.new_page(), url)
        if slowdown > 1:
            visit.slow_down(slowdown)
        before = visit.spent_ms()
        visit.page.evaluate(_LOAD, script)
        loaded = visit.spent_ms()
        calls_ms = visit.page.evaluate(_TRACK, [pixel_id, _EVENTS, _AT_ONCE])
        if not script.endswith("/empty.js"):
            visit.wait_for_answers()
        after = visit.spent_ms()
    return {
        "load_ms": loaded[0] - before[0],
        "calls_ms": calls_ms,
        "task_ms": after[0] - before[0],
        "script_ms": after[1] - before[1],
    }


def measure(
    server: Collectors, chromium: str, rounds: int, slowdown: float
) -> list[dict[str, Any]]:
    """A row per script: medians over the rounds, in which the scripts take turns."""
    address = f"http://127.0.0.1:{server.server.port}"
    rows: list[dict[str, Any]] = []
    with served_shop() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        scripts = {"empty": f"{url}/empty.js", "bare fetch": f"{url}/bare.js?to={address}/px"}
        scripts |= {path: address + path for path in SCRIPTS}
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in scripts}
        # The first round warms caches up and is left out.
        for number in range(rounds + 1):
            for name, script in scripts.items():
                took = run(browser, url, script, server.pixel_id, slowdown)
                if number > 0:
                    seen[name].append(took)
            say(f"round {number} of {rounds}")
        browser.close()
    for name, visits in seen.items():
        row = {key: median(visit[key] for visit in visits) for key in visits[0]}
        rows.append({"script": name, **row, **(sizes(address, name) if name in SCRIPTS else {})})
    return rows


def main() -> None:
    """Print a line per script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="visits per script (default 15)")
    parser.add_argument("--slowdown", type=float, default=1.0, help="of the processor (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        say("Chromium is not installed: apt-get install chromium")
        sys.exit(_OPERATOR_EXIT)
    with (
        tempfile.TemporaryDirectory(prefix="doublet-bench-") as folder,
        collectors(Path(folder) / "collectors", 1) as server,
    ):
        rows = measure(server, chromium, given.rounds, given.slowdown)
    if given.json:
        print(json.dumps({"events": _EVENTS, "rounds": given.rounds, "rows": rows}, indent=2))
        return
    times = ("load_ms", "calls_ms", "task_ms", "script_ms")
    lines = [
        (
            row["script"],
            *(f"{row[name]:.1f}" for name in times),
            *(f"{row[name]:,}" if name in row else "" for name in ("raw", "minified", "gzip")),
        )
        for row in rows
    ]
    print(f"milliseconds of the main thread, loading, init and {_EVENTS} events; bytes")
    print_table(
        ("script", *(name.removesuffix("_ms") for name in times), *("raw", "minified", "gzip")),
        lines,
    )


if __name__ == "__main__":
    main()
