"""The pixel's debugging panel on a page with a strict policy, fed by what the pixel tells it: here
most by a stand-in, at last by the pixel itself on a page with its base code."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from doublet.pixel import snippet
from tests.collector import Collector

pytestmark = pytest.mark.browser

PIXEL = "1234567890123456"
EM = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
POLICY = "default-src 'none'; script-src 'self'"

PARAMS = [
    *(["id", PIXEL], ["ev", "Purchase"], ["dl", "https://shop.example/thanks?step=3"]),
    *(["cd[value]", "49.90"], ["cd[currency]", "EUR"], ["cd[contents]", '[{"id":"mug"}]']),
    *(["ud[em]", EM], ["udff[ph]", EM[::-1]], ["v", "0.1.0"], ["fbp", "fb.1.1.77"]),
    *(["eid", "order.1"], ["cs[ad_storage]", "granted"], ["rqm", "fetch"]),
]

# The pixel's side of the contract: it keeps what happened before the panel came.
STUB = """
const listeners = [];
window.fbq = (verb, topic, listener) => {
  if (verb === "on" && topic === "doublet") listeners.push(listener);
};
window.fbq.log = [];
window.tell = (record) => {
  window.fbq.log.push(record);
  listeners.forEach((listener) => listener(record));
};
"""

PAGE = """<!doctype html><title>Shop</title><meta name="viewport" content="width=device-width">
<script src="/stub.js"></script><body><h1>Thank you</h1><a href="#more">more</a></body>"""


class Visit(BaseHTTPRequestHandler):
    shop = ""

    def do_GET(self) -> None:
        kind, text = {
            "/stub.js": ("text/javascript", STUB),
            "/px-debug.js": (
                "text/javascript",
                files("doublet.pixel").joinpath("debug.js").read_text("utf-8"),
            ),
        }.get(self.path, ("text/html", self.shop if self.path.startswith("/shop") else PAGE))
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        if not self.path.startswith("/shop"):
            self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Visit)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Panel:
    """A page with the panel, and all that its console says."""

    def __init__(self, page: Page, url: str, *before: dict[str, Any]) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.goto(f"{url}/?doublet_debug")
        for record in before:
            self.tell(**record)
        page.add_script_tag(url="/px-debug.js")
        self.host = page.locator("doublet-debug")
        self.items = self.host.locator("ol > li")

    def tell(self, **record: Any) -> None:
        """A record of the pixel."""
        known = {"id": PIXEL, "name": "Purchase", "eventID": "order.1", "at": 1777863721234}
        self.page.evaluate(f"tell({json.dumps({**known, **record})})")


SENT = {"type": "sent", "params": PARAMS, "transport": "fetch"}
TAKEN = {"type": "answer", "status": 200}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


def test_an_event_is_shown_with_what_was_sent_and_answered(page: Page, url: str) -> None:
    panel = Panel(page, url, SENT)
    expect(panel.items).to_have_count(1)
    expect(panel.items).to_contain_text("Sent, no answer yet")
    panel.tell(**TAKEN)
    expect(panel.items).to_have_count(1)
    expect(panel.items.locator(".state")).to_have_text("Taken (200)")
    panel.items.locator("summary").first.click()
    table = panel.items.locator("table")
    expect(table.first).to_contain_text(PIXEL)
    for shown in ("order.1", "fetch", "fb.1.1.77", "_fbcnone"):
        expect(table.first).to_contain_text(shown)
    expect(table.nth(1)).to_have_text('Parametersvalue49.90currencyEURcontents[{"id":"mug"}]')
    expect(table.nth(2)).to_contain_text("em62a14e44…")
    expect(table.nth(2)).to_contain_text("ph (found in a form)f26f0aa9…")
    assert EM[:12] not in (panel.items.text_content() or "")
    # What was opened stays open.
    panel.tell(type="answer", status=200)
    expect(panel.items.locator("details[open]")).to_have_count(1)
    expect(panel.host.get_by_role("status")).to_have_text("1 event")
    assert [] == panel.said


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"type": "answer", "status": 400, "refused": "pixel_unknown"}, "400): pixel_unknown"),
        ({"type": "answer", "status": 503, "refused": "busy"}, "Answered 503: busy; is sent again"),
        ({"type": "answer", "status": 0, "text": "TypeError"}, "Not reached: TypeError; is sent"),
        ({"type": "sent", "transport": "SB"}, "this way no answer is told"),
        ({"type": "held"}, "Held until there is consent"),
    ],
)
def test_what_became_of_an_event_is_said_in_words(
    page: Page, url: str, record: dict[str, Any], text: str
) -> None:
    panel = Panel(page, url)
    expect(panel.host).to_contain_text("No event so far.")
    panel.tell(**record)
    expect(panel.items.locator(".state")).to_contain_text(text)
    expect(panel.host.locator("#none")).to_be_hidden()


def test_warnings_stand_with_their_event_or_alone(page: Page, url: str) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    panel = Panel(page, url, SENT, {"type": "warning", "text": hostile})
    panel.tell(type="warning", id="NO_EVENT_NAME", name="", eventID="", text="track needs one")
    expect(panel.items).to_have_count(2)
    expect(panel.items.first).to_have_text("⚠ NO_EVENT_NAME: track needs one")
    expect(panel.items.nth(1).locator(".state")).to_contain_text("1 warning")
    panel.items.nth(1).locator("summary").first.click()
    expect(panel.items.nth(1)).to_contain_text(hostile)
    expect(panel.host.get_by_role("status")).to_have_text("1 event, 2 warnings")
    assert [] == panel.said


def test_the_keyboard_reaches_folds_and_closes_it(page: Page, url: str) -> None:
    panel = Panel(page, url, SENT)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="more")).to_be_focused()
    page.keyboard.press("Tab")
    fold = panel.host.get_by_role("button", name="Fold")
    expect(fold).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel.items).to_be_hidden()
    expect(fold).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(panel.items).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel.host).to_have_count(0)
    panel.tell(**TAKEN)
    assert [] == panel.said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_goes_by_the_colour_scheme(
    browser: Browser, url: str, width: int, scheme: Any
) -> None:
    size: Any = {"width": width, "height": 740}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        panel = Panel(context.new_page(), url)
        for number in range(30):
            panel.tell(**SENT, eventID=f"order.{number}-" + "x" * 60)
        panel.items.locator("summary").first.click()
        box = panel.host.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] > 740 / 3
        assert box["y"] + box["height"] <= 740
        assert width == panel.page.evaluate("document.documentElement.scrollWidth")
        section = panel.host.locator("section")
        assert section.evaluate("node => node.scrollWidth <= node.clientWidth")
        colour = section.evaluate("node => getComputedStyle(node).backgroundColor")
        assert ("rgb(255, 255, 255)" == colour) is (scheme == "light")
        assert [] == panel.said


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path)
    yield running
    running.close()


@pytest.mark.parametrize("asked", ["?doublet_debug", ""])
def test_the_pixel_brings_the_panel_when_the_address_asks_for_it(
    page: Page, url: str, collector: Collector, asked: str
) -> None:
    address = f"http://127.0.0.1:{collector.port}"
    base = snippet(collector.pixel.pixel_id, address)
    refused = 'fbq("init", "111111111111111"); fbq("trackSingle", "111111111111111", "Lead");'
    Visit.shop = f"<!doctype html><title>Shop</title>{base}<script>{refused}</script>"
    with page.expect_response(lambda answer: answer.status == 400 and "/px" in answer.url):
        page.goto(f"{url}/shop{asked}")
    panel = page.locator("doublet-debug")
    if not asked:
        expect(panel).to_have_count(0)
        return
    shown = panel.locator("ol > li")
    expect(shown.filter(has_text="PageView").locator(".state")).to_have_text("Taken (200)")
    expect(shown.filter(has_text="Lead").locator(".state")).to_contain_text(
        "Refused (400): pixel_unknown"
    )
