"""The browser pixel in real Chromium, against a server that writes down what it is sent."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from doublet import pixel
from doublet.collect.request import parse_form

PIXEL = "1234567890123456"
OTHER = "6543210987654321"
SHA256 = "a" * 64


class Recorder(ThreadingHTTPServer):
    """Serves one page on every path, the pixel on `/px.js`, and keeps what reaches `/tr/`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.page = "<!doctype html><title>page</title>"
        self.hits: list[dict[str, str]] = []
        self.forms: list[str] = []
        self.script_delay_s = 0.0

    def origin(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_address[1]}"

    def wait_for(self, count: int) -> list[dict[str, str]]:
        deadline = time.monotonic() + 10
        while len(self.hits) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert count == len(self.hits)
        return self.hits


class Visit(BaseHTTPRequestHandler):
    server: Recorder

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/px.js"):
            time.sleep(self.server.script_delay_s)
            self._answer("text/javascript", pixel.script())
        elif path.endswith("/tr/") or path == "/tr":
            self._keep("GET", dict(parse_qsl(query, keep_blank_values=True)))
        else:
            self._answer("text/html", self.server.page.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        content_type = self.headers["content-type"]
        pairs = parse_form(body, content_type)
        assert isinstance(pairs, list)
        self.server.forms.append(content_type.partition(";")[0])
        self._keep("POST", dict(pairs))

    def _keep(self, method: str, values: dict[str, str]) -> None:
        self.server.hits.append({"method": method, "path": urlsplit(self.path).path, **values})
        self._answer("image/gif", b"")

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Recorder]:
    """A web site with a recorder behind its pixel."""
    recorder = Recorder()
    thread = threading.Thread(target=recorder.serve_forever, daemon=True)
    thread.start()
    recorder.page = page_with("", recorder.origin())
    yield recorder
    recorder.shutdown()
    recorder.server_close()
    thread.join()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor without a past."""
    visitor = browser.new_context()
    yield visitor
    visitor.close()


def page_with(calls: str, address: str, pixel_id: str = PIXEL) -> str:
    """A page with the base code and further calls after it."""
    code = pixel.snippet(pixel_id, address)
    return f"<!doctype html><title>p</title><head>{code}</head><script>{calls}</script>"


def bare_page(calls: str, address: str) -> str:
    """A page whose base code fires nothing by itself."""
    code = pixel.snippet(PIXEL, address)
    code = re.sub(r'fbq\("(init|track)".*\n', "", code)
    return f"<!doctype html><title>p</title><head>{code}</head><script>{calls}</script>"


Open = Callable[[str], Page]


def open_page(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    """A page and everything it says on the console or throws."""
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"THROWN {error}"))
    page.goto(url)
    page.wait_for_function("!!(window.fbq && window.fbq.callMethod)")
    return page, said


def cookies(context: BrowserContext) -> dict[str, dict[str, Any]]:
    """The visitor's cookies by name."""
    return {cookie["name"]: dict(cookie) for cookie in context.cookies()}


def test_script_is_small() -> None:
    assert len(gzip.compress(pixel.script(), 9)) < 5 * 1024


def test_snippet_cannot_be_broken_out_of() -> None:
    code = pixel.snippet(PIXEL, 'https://x.example/"</script><b>')
    assert 1 == code.count("</script>")
    assert '"&gt;' not in code.partition("<noscript>")[0]


pytestmark = pytest.mark.browser


def test_base_code_reports_a_page_view(site: Recorder, context: BrowserContext) -> None:
    page, said = open_page(context, f"{site.origin()}/shelf?x=1")
    (hit,) = site.wait_for(1)
    assert ("GET", "/tr/") == (hit["method"], hit["path"])
    assert (PIXEL, "PageView") == (hit["id"], hit["ev"])
    assert f"{site.origin()}/shelf?x=1" == hit["dl"]
    assert ("", "false", "stable", "0", "GET") == tuple(
        hit[key] for key in ("rl", "if", "r", "ec", "rqm")
    )
    assert abs(time.time() * 1000 - int(hit["ts"])) < 60_000
    assert page.evaluate("String(screen.width)") == hit["sw"]
    assert hit["fbp"].startswith("fb.1.")
    assert re.fullmatch(r"[0-9a-f-]{36}", hit["eid"])
    assert [] == said


def test_parameters_come_in_the_order_of_the_known_library(
    site: Recorder, context: BrowserContext
) -> None:
    site.page = bare_page(
        f"fbq('init','{PIXEL}',{{em:'{SHA256}'}});fbq('track','Lead',{{value:1}})", site.origin()
    )
    open_page(context, f"{site.origin()}/?fbclid=Ab1")
    (hit,) = site.wait_for(1)
    names = "id ev dl rl if ts cd[value] sw sh ud[em] v r ec o fbc fbp eid it coo rqm".split()
    assert ["method", "path", *names] == list(hit)


def test_custom_data_travels_as_text_and_json(site: Recorder, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate(
        """fbq('track', 'Purchase', {
            value: 12.5, currency: 'EUR', contents: [{id: 'ä/1', quantity: 2}], gift: true,
            gone: undefined, none: null, call: () => 1, at: new Date(0),
        }, {eventID: 'o-1'})"""
    )
    hit = site.wait_for(2)[1]
    custom = {name: value for name, value in hit.items() if name.startswith("cd[")}
    assert {
        "cd[value]": "12.5",
        "cd[currency]": "EUR",
        "cd[contents]": '[{"id":"ä/1","quantity":2}]',
        "cd[gift]": "true",
        "cd[at]": "1970-01-01T00:00:00.000Z",
    } == custom
    assert ("o-1", "1") == (hit["eid"], hit["ec"])


def test_calls_made_before_the_script_arrives_are_sent(
    site: Recorder, context: BrowserContext
) -> None:
    site.script_delay_s = 0.3
    site.page = page_with("fbq('track','ViewContent',{},{eventID:'early'})", site.origin())
    open_page(context, site.origin())
    assert ["PageView", "ViewContent"] == sorted(hit["ev"] for hit in site.wait_for(2))


def test_track_reaches_all_pixels_with_one_id_and_track_single_only_one(
    site: Recorder, context: BrowserContext
) -> None:
    page, _ = open_page(context, site.origin())
    site.wait_for(1)
    page.evaluate(f"fbq('init', '{OTHER}'); fbq('track', 'Lead')")
    lead = site.wait_for(3)[1:]
    assert {PIXEL, OTHER} == {hit["id"] for hit in lead}
    assert 1 == len({hit["eid"] for hit in lead})
    page.evaluate(
        f"fbq('trackSingle', '{OTHER}', 'Contact'); fbq('trackSingleCustom', '{OTHER}', 'Mine')"
    )
    assert {(OTHER, "Contact"), (OTHER, "Mine")} == {
        (hit["id"], hit["ev"]) for hit in site.wait_for(5)[3:]
    }


def test_wrong_calls_warn_and_never_throw(site: Recorder, context: BrowserContext) -> None:
    site.page = bare_page("", site.origin())
    page, said = open_page(context, site.origin())
    page.evaluate(
        f"""fbq('track', 'Lead'); fbq('init', 'x'); fbq('init', 9007199254740993);
        fbq('init', '{PIXEL}', 'text'); fbq('init', '{PIXEL}'); fbq('track'); fbq('dance');
        fbq('trackCustom', 'Mine', 'text', {{eventID: 7}}); fbq('track', 'Odd');
        fbq(); fbq('consent', 'maybe'); fbq('set', 'endpoint', 'http://['); fbq('toString')"""
    )
    hits = site.wait_for(2)
    warnings = [re.sub(r"^\[Doublet pixel\] (\w+):.*", r"\1", text, flags=re.S) for text in said]
    assert [
        "PIXEL_NOT_INITIALIZED",
        "INVALID_PIXEL_ID",
        "INVALID_PIXEL_ID",
        "PII_INVALID_TYPE",
        "DUPLICATE_PIXEL_ID",
        "NO_EVENT_NAME",
        "INVALID_FBQ_METHOD",
        "INVALID_EVENT_ID_FORMAT",
        "NONSTANDARD_EVENT",
        "INVALID_FBQ_METHOD",
        "INVALID_CONSENT_ACTION",
        "INTERNAL",
        "INVALID_FBQ_METHOD",
    ] == warnings
    assert {("Mine", "7"), ("Odd", hits[-1]["eid"])} >= {
        (hit["ev"], hit["eid"]) for hit in hits if hit["ev"] == "Mine"
    }


def test_plain_user_data_never_leaves_the_page(site: Recorder, context: BrowserContext) -> None:
    site.page = bare_page(
        f"fbq('init','{PIXEL}',{{em:'ada@shop.example',ph:'{SHA256.upper()}'}});fbq('track','Lead')",
        site.origin(),
    )
    _, said = open_page(context, site.origin())
    (hit,) = site.wait_for(1)
    assert SHA256 == hit["ud[ph]"]
    assert "ada@" not in str(hit)
    assert 1 == len([text for text in said if "PII_UNHASHED_PII" in text])


def test_cookies_go_to_the_widest_domain(site: Recorder, context: BrowserContext) -> None:
    open_page(context, f"{site.origin('www.corner.shop.co.uk')}/?fbclid=IwAR.2_F-x")
    site.wait_for(1)
    kept = cookies(context)
    for name in ("_fbp", "_fbc"):
        assert ".shop.co.uk" == kept[name]["domain"]
        assert ("/", "Lax", False) == tuple(
            kept[name][key] for key in ("path", "sameSite", "httpOnly")
        )
        assert abs(time.time() + 90 * 86400 - kept[name]["expires"]) < 60
    assert re.fullmatch(r"fb\.2\.\d{13}\.\d+", kept["_fbp"]["value"])
    assert re.fullmatch(r"fb\.2\.\d{13}\.IwAR__DOT__2_F-x", kept["_fbc"]["value"])
    assert site.hits[0]["fbc"].endswith(".IwAR.2_F-x")


def test_fbp_stays_and_fbc_changes_only_with_a_new_click(
    site: Recorder, context: BrowserContext
) -> None:
    address = site.origin("www.shop.test")
    values = []
    for path in ("/?fbclid=First", "/", "/?fbclid=First", "/?fbclid=FIRST"):
        open_page(context, address + path)
        values.append({name: cookie["value"] for name, cookie in cookies(context).items()})
    assert 1 == len({value["_fbp"] for value in values})
    assert values[0]["_fbc"] == values[1]["_fbc"] == values[2]["_fbc"]
    assert values[0]["_fbc"].endswith(".First")
    assert values[3]["_fbc"].endswith(".FIRST")


def test_cookies_can_be_denied(site: Recorder, context: BrowserContext) -> None:
    site.page = bare_page(
        f"fbq('set','firstPartyCookies',false);fbq('init','{PIXEL}');fbq('track','Lead')",
        site.origin(),
    )
    open_page(context, f"{site.origin()}/?fbclid=x")
    (hit,) = site.wait_for(1)
    assert {} == cookies(context)
    assert "fbp" not in hit
    assert "fbc" not in hit


def test_long_events_go_by_beacon(site: Recorder, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('trackCustom', 'Long', {text: 'ß'.repeat(3000)}, {eventID: 'l'})")
    hit = site.wait_for(2)[1]
    assert ("POST", "SB", "ß" * 3000) == (hit["method"], hit["rqm"], hit["cd[text]"])
    assert ["multipart/form-data"] == site.forms


def test_a_test_event_code_in_the_address_holds_for_the_visit(
    site: Recorder, context: BrowserContext
) -> None:
    address = site.origin()
    page, said = open_page(context, f"{address}/landing?test_event_code=TEST1")
    page.goto(f"{address}/thanks")
    site.wait_for(2)
    page.goto(f"{address}/?test_event_code=")
    site.wait_for(3)
    page.goto(f"{address}/later")
    hits = site.wait_for(4)
    assert ["TEST1", "TEST1", None, None] == [hit.get("test_event_code") for hit in hits]
    assert [] == said


def test_events_too_long_for_a_beacon_go_by_fetch(site: Recorder, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('trackCustom', 'Longer', {text: 'x'.repeat(200000)})")
    hit = site.wait_for(2)[1]
    assert ("fetch", 200000) == (hit["rqm"], len(hit["cd[text]"]))
    assert ["application/x-www-form-urlencoded"] == site.forms


def test_an_event_on_leaving_the_page_outlives_it(site: Recorder, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("addEventListener('pagehide', () => fbq('trackCustom', 'Left'))")
    page.goto("about:blank")
    assert [("Left", "SB")] == [(hit["ev"], hit["rqm"]) for hit in site.wait_for(2)[1:]]


def test_without_consent_nothing_is_sent_or_stored_until_it_is_granted(
    site: Recorder, context: BrowserContext
) -> None:
    calls = (
        f"fbq('consent','revoke');fbq('init','{PIXEL}');fbq('track','Lead',{{}},{{eventID:'c'}})"
    )
    site.page = bare_page(calls, site.origin())
    page, _ = open_page(context, site.origin())
    page.wait_for_timeout(200)
    assert ([], {}) == (site.hits, cookies(context))
    page.evaluate("fbq('consent', 'grant')")
    assert ["c"] == [hit["eid"] for hit in site.wait_for(1)]


def test_limited_data_use_is_passed_on(site: Recorder, context: BrowserContext) -> None:
    page, _ = open_page(context, site.origin())
    page.evaluate("fbq('dataProcessingOptions', ['LDU'], 1, 1000); fbq('track', 'Lead')")
    page.evaluate("fbq('dataProcessingOptions', []); fbq('track', 'Contact')")
    hits = {hit["ev"]: hit for hit in site.wait_for(3)}
    assert ("LDU", "1", "1000") == tuple(hits["Lead"][key] for key in ("dpo", "dpoco", "dpost"))
    assert "" == hits["Contact"]["dpo"]
    assert "dpoco" not in hits["Contact"]


def test_endpoint_lies_beside_the_script_and_can_be_set(
    site: Recorder, context: BrowserContext
) -> None:
    site.page = page_with("", site.origin() + "/metrics")
    page, _ = open_page(context, site.origin())
    assert "/metrics/tr/" == site.wait_for(1)[0]["path"]
    page.evaluate("fbq('set', 'endpoint', '/else/tr/'); fbq('track', 'Lead')")
    assert "/else/tr/" == site.wait_for(2)[1]["path"]


def test_a_second_copy_of_the_script_changes_nothing(
    site: Recorder, context: BrowserContext
) -> None:
    site.page = page_with("", site.origin()) + '<script src="/px.js"></script>'
    page, said = open_page(context, site.origin())
    page.evaluate("fbq('track', 'Lead')")
    assert ["Lead", "PageView"] == sorted(hit["ev"] for hit in site.wait_for(2))
    assert [] == said


def test_without_javascript_the_image_reports(site: Recorder, browser: Browser) -> None:
    visitor = browser.new_context(java_script_enabled=False)
    visitor.new_page().goto(site.origin())
    (hit,) = site.wait_for(1)
    visitor.close()
    assert {"method": "GET", "path": "/tr", "id": PIXEL, "ev": "PageView", "noscript": "1"} == hit
