"""Under the blocking lists that people have: what becomes of Meta's pixel, and of this one on the
shop's own host. Meta's addresses are answered here; nothing leaves the machine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from adblock import Engine, FilterSet
from playwright.sync_api import Browser, BrowserContext, Route

from doublet import pixel
from tests.collector import Collector
from tests.web_server import ENDPOINT, HOST, SCRIPT, Front, front, required

pytestmark = pytest.mark.browser

PACKAGE = "webext-ublock-origin-chromium"
ASSETS = Path("/usr/share/chromium/extensions/ublock-origin/assets")
LISTS = [
    *(f"thirdparties/easylist/{name}.txt" for name in ("easylist", "easyprivacy")),
    *(f"ublock/{name}.min.txt" for name in "filters privacy quick-fixes unbreak badware".split()),
]
TYPES = {"xhr": "xmlhttprequest", "fetch": "xmlhttprequest", "beacon": "ping"}
"""Kinds of requests in the lists' words, where the browser has others."""

EVENTS = "PageView ViewContent Search AddToCart InitiateCheckout Purchase".split()
META_SCRIPT = "https://connect.facebook.net/en_US/fbevents.js"
META_HOSTS = ("connect.facebook.net", "www.facebook.com")

# Sends as Meta's library does: by image, and by beacon what is too long for one.
META_CLIENT = """
(function (queue) {
  function send(id, name, params) {
    var body = new FormData();
    var query = Object.entries({id: id, ev: name, dl: location.href, rl: "", if: false,
      ts: Date.now(), ...params}).map(function (pair) {
        body.append(pair[0], pair[1]);
        return pair.map(encodeURIComponent).join("=");
      }).join("&");
    var address = "https://www.facebook.com/tr/";
    if (query.length > 2048) navigator.sendBeacon(address, body);
    else new Image(1, 1).src = address + "?" + query;
  }
  queue.forEach(function (call) {
    if (call[0] === "track") send("1234567890123456", call[1], call[2]);
  });
})(window.fbq.queue);
"""

PARAMS: dict[str, dict[str, object]] = {
    "InitiateCheckout": {"content_ids": "sku-1000," * 300},
    "Purchase": {"value": 49.9, "currency": "EUR", "order_id": "1001"},
}


def calls(*names: str) -> str:
    """JavaScript that reports these events."""
    return "".join(
        f"fbq('track', '{name}', {json.dumps(PARAMS.get(name, {}))});\n" for name in names
    )


@pytest.fixture(scope="module")
def lists() -> Engine:
    """EasyList, EasyPrivacy and uBlock Origin's own, in the engine of Brave."""
    required(str(ASSETS) if ASSETS.is_dir() else None, "Blocking lists are missing", PACKAGE)
    filters = FilterSet()
    for name in LISTS:
        filters.add_filter_list((ASSETS / name).read_text("utf-8"))
    return Engine(filters)


def is_blocked(lists: Engine, url: str, kind: str, page: str = f"https://{HOST}/") -> bool:
    """Whether a page's request of that kind is stopped."""
    return bool(lists.check_network_urls(url, page, TYPES.get(kind, kind)).matched)


Q = "id=1234567890123456&ev=PageView&dl=https%3A%2F%2Fshop.example%2F"


@pytest.mark.parametrize(
    ("address", "kind", "first_party", "third_party"),
    [
        ("/px.js", "script", False, False),
        (SCRIPT, "script", False, False),
        ("/fbevents.js", "script", True, True),
        ("/assets/fbevents.js", "script", True, True),
        *((path, "fetch", False, False) for path in ("/px", "/tr/", ENDPOINT)),
        *((path, "beacon", False, True) for path in ("/px", "/tr/", ENDPOINT)),
        *((f"{path}?{Q}", "image", True, True) for path in ("/px", "/tr/", ENDPOINT)),
        *((f"{path}?{Q}", "fetch", True, True) for path in ("/px", "/tr/", ENDPOINT)),
        ("/px?id=1234567890123456&noscript=1&ev=PageView", "image", False, False),
        ("/tr/?id=1234567890123456&ev=Purchase&dl=x", "image", False, False),
    ],
)
def test_the_page_says_what_lists_block(
    lists: Engine, address: str, kind: str, first_party: bool, third_party: bool
) -> None:
    hosts = (HOST, "doublet.example")
    found = [is_blocked(lists, f"https://{host}{address}", kind) for host in hosts]
    assert [first_party, third_party] == found


class Visit:
    """A visitor whose requests the lists decide on; without lists all pass."""

    def __init__(self, context: BrowserContext, lists: Engine | None) -> None:
        self.context = context
        self._lists = lists
        self.blocked: list[str] = []
        self.passed: list[tuple[str, str]] = []
        """Address and kind of what was let through."""
        self.reached_meta: list[str] = []
        """Names of events that Meta would have got."""
        context.route("**/*", self._decide)

    def open(self, url: str, look: Callable[[], bool]) -> None:
        """Open a page and wait for `look`. Only while a page is waited for are requests decided."""
        page = self.context.new_page()
        page.goto(url)
        give_up_at = time.monotonic() + 20
        while not look():
            assert time.monotonic() < give_up_at, (self.blocked, self.passed)
            page.wait_for_timeout(20)

    def _decide(self, route: Route) -> None:
        request = route.request
        url, kind = request.url, request.resource_type
        if kind != "document" and self._lists is not None:
            page = request.frame.url
            if is_blocked(self._lists, url, kind, page):
                self.blocked.append(url)
                route.abort("blockedbyclient")
                return
        self.passed.append((url, kind))
        if urlsplit(url).hostname not in META_HOSTS:
            route.continue_()
        elif url == META_SCRIPT:
            route.fulfill(content_type="text/javascript", body=META_CLIENT)
        else:
            posted = (request.post_data_buffer or b"").decode("utf-8", "replace")
            names = parse_qs(urlsplit(url).query).get("ev")
            names = names or re.findall(r'name="ev"\r\n\r\n(\w+)', posted)
            self.reached_meta += names
            route.fulfill(content_type="image/gif", body=b"")


@contextmanager
def visit(browser: Browser, lists: Engine | None) -> Iterator[Visit]:
    """A new visitor."""
    context = browser.new_context(ignore_https_errors=True)
    yield Visit(context, lists)
    context.close()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("blockers"), "trusted_proxies=127.0.0.1")
    yield running
    running.close()


@pytest.fixture(scope="module")
def shop(collector: Collector) -> Iterator[Front]:
    """The shop's web server, as the docs have it, with a page for each pixel."""
    with front("nginx", collector.port) as running:
        queue = "window.fbq = function () { fbq.queue.push(arguments); }; fbq.queue = [];"
        script = f"<script>{queue}{calls(*EVENTS)}</script>"
        ours = pixel.snippet(collector.pixel.pixel_id, f"{running.origin}/assets")
        pages = {
            "meta": f'{script}<script src="{META_SCRIPT}"></script>',
            "bundled": f'{script}<script src="/bundle.js"></script>',
            # The snippet reports the first itself.
            "doublet": re.sub(r"/px\b", "/shop", ours) + f"<script>{calls(*EVENTS[1:])}</script>",
        }
        for name, body in pages.items():
            page = f'<!doctype html><link rel="icon" href="data:,">{body}<p>shop</p>'
            (running.pages / f"{name}.html").write_text(page)
        (running.pages / "bundle.js").write_text(META_CLIENT)
        yield running


@pytest.mark.parametrize("page", ["meta", "bundled"])
def test_meta_gets_all_events_without_lists_and_none_with_them(
    page: str, browser: Browser, shop: Front, lists: Engine
) -> None:
    with visit(browser, None) as visitor:
        visitor.open(f"{shop.origin}/{page}.html", lambda: len(visitor.reached_meta) >= len(EVENTS))
        assert sorted(EVENTS) == sorted(visitor.reached_meta)
    with visit(browser, lists) as visitor:
        # A script of the shop's own host asks for each of them; Meta's script does not even come.
        expected = 1 if page == "meta" else len(EVENTS)
        visitor.open(f"{shop.origin}/{page}.html", lambda: len(visitor.blocked) >= expected)
        got = len(visitor.reached_meta)
        assert 0 == got
        print(f"\nMeta, {page}: lost {len(EVENTS) - got} of {len(EVENTS)}", end="")


def test_a_first_party_installation_gets_all_events_under_lists(
    browser: Browser, shop: Front, lists: Engine, collector: Collector
) -> None:
    collector.new_records()
    with visit(browser, lists) as visitor:
        received: list[str] = []

        def look() -> bool:
            received.extend(record["event_name"] for record in collector.new_records())
            return len(received) >= len(EVENTS)

        visitor.open(f"{shop.origin}/doublet.html", look)
        asked = [kind for url, kind in visitor.passed if url == shop.origin + ENDPOINT]
    assert ([], ["fetch"] * len(EVENTS)) == (visitor.blocked, asked)
    assert sorted(EVENTS) == sorted(received)
    print(f"\nDoublet: received {len(received)} of {len(EVENTS)}", end="")
