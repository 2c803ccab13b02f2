"""The pixel for Shopify in a real sandboxed frame, against a real collector. The page around it
plays Shopify's part by the shapes of its Web Pixels API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

from doublet.normalize import hash_user_value
from doublet.pixel.snippets import shopify_snippet
from tests.collector import Collector
from tests.server import wait_for
from tests.shopify import CHECKOUT, SANDBOX, SHOP, VARIANT

pytestmark = pytest.mark.browser

ALLOWED = {
    "analyticsProcessingAllowed": True,
    "marketingAllowed": True,
    "preferencesProcessingAllowed": True,
    "saleOfDataAllowed": True,
}
DENIED = dict.fromkeys(ALLOWED, False)
EVENT_TIME = int(time.time()) - 60
AT = datetime.fromtimestamp(EVENT_TIME, UTC).strftime("%Y-%m-%dT%H:%M:%S.234Z")


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path)
    yield running
    running.close()


class Shop(ThreadingHTTPServer):
    """Serves the shop's page on every path, and its sandbox with the pixel below /sandbox."""

    daemon_threads = True

    def __init__(self, code: str) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.code = code
        # A name below localhost is secure without TLS, so that the sandbox may hash.
        self.url = f"http://www.shop.localhost:{self.server_address[1]}"


class Visit(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        page = SANDBOX.replace("CODE", self.server.code) if "/sandbox" in self.path else SHOP
        body = page.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


Serve = Callable[[str], Shop]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes shops whose custom pixel has this code."""
    made: list[Shop] = []

    def one(code: str) -> Shop:
        shop = Shop(code)
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        made.append(shop)
        return shop

    yield one
    for shop in made:
        shop.shutdown()
        shop.server_close()


@pytest.fixture
def shop(serve: Serve, collector: Collector) -> Shop:
    address = f"http://127.0.0.1:{collector.port}"
    return serve(shopify_snippet(collector.pixel.pixel_id, address))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as visitor:
        yield visitor


class Visitor:
    """One page of the shop, what it says on the console, and what its pixel sends."""

    def __init__(self, context: BrowserContext, url: str, privacy: dict[str, bool]) -> None:
        self.said: list[str] = []
        self.sent: list[dict[str, str]] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self.page.add_init_script(f"window.privacy = {json.dumps(privacy)}")
        self.page.goto(url)
        self.page.wait_for_function("window.subscribed.size === 8")

    def _note(self, request: Request) -> None:
        if request.url.endswith("/px") and request.post_data:
            values = parse_qs(request.post_data, keep_blank_values=True)
            self.sent.append({key: value for key, (value,) in values.items()})

    def publish(self, name: str, data: Any = None, event_id: str = "sh-1", at: str = AT) -> None:
        """What Shopify does when something happens in the shop."""
        self.page.evaluate("values => window.publish(...values)", [name, data, event_id, at])

    def consent(self, privacy: dict[str, bool]) -> None:
        self.page.evaluate("privacy => window.collectConsent(privacy)", privacy)

    def wait_for_sent(self, count: int) -> list[dict[str, str]]:
        """The requests so far, once there are that many."""
        self.until(lambda: len(self.sent) >= count)
        return self.sent

    def queue(self) -> list[dict[str, Any]]:
        """What the pixel keeps for later."""
        text = self.page.evaluate("localStorage.getItem('doublet_shopify_queue')")
        found: list[dict[str, Any]] = json.loads(text or "[]")
        return found

    def wait_for_queue(self, length: int) -> None:
        self.until(lambda: len(self.queue()) == length)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait; Playwright's events come only while it is asked something."""
        wait_for(lambda: self.page.evaluate("1") and is_so())


def records(collector: Collector, count: int) -> list[dict[str, Any]]:
    """So many stored events, in the order of their arrival."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        found.extend(collector.new_records())
        return len(found) >= count

    wait_for(all_there)
    return found


def test_a_visit_is_stored_with_what_shopify_tells(
    shop: Shop, collector: Collector, context: BrowserContext
) -> None:
    url = f"{shop.url}/products/mug?fbclid=AbC.dEf&utm_source=ig"
    visitor = Visitor(context, url, ALLOWED)
    visitor.publish("page_viewed", {}, "sh-page")
    visitor.publish("product_viewed", {"productVariant": VARIANT}, "sh-product")
    visitor.publish("search_submitted", {"searchResult": {"query": "mug"}}, "sh-search")
    line = {"merchandise": VARIANT, "quantity": 2}
    cost = {"totalAmount": {"amount": 25.0, "currencyCode": "EUR"}}
    visitor.publish("product_added_to_cart", {"cartLine": {**line, "cost": cost}}, "sh-cart")
    for name in ("checkout_started", "payment_info_submitted"):
        visitor.publish(name, {"checkout": {**CHECKOUT, "order": None}}, f"sh-{name}")
    visitor.publish("checkout_completed", {"checkout": CHECKOUT}, "sh-completed")
    found = {record["event_name"]: record for record in records(collector, 7)}
    assert {
        "PageView": "sh-page",
        "ViewContent": "sh-product",
        "Search": "sh-search",
        "AddToCart": "sh-cart",
        "InitiateCheckout": "sh-checkout_started",
        "AddPaymentInfo": "sh-payment_info_submitted",
        "Purchase": "5551",
    } == {name: record["event_id"] for name, record in found.items()}
    for record in found.values():
        assert EVENT_TIME == record["event_time"]
        assert url == record["event_source_url"].replace("%2E", ".")
        assert "website" == record["action_source"]
    mug = {"id": "71", "quantity": 1, "item_price": 12.5}
    viewed = found["ViewContent"]["custom_data"]
    assert ("Mug", "Kitchen", "product_group", [mug]) == tuple(
        viewed[key] for key in ("content_name", "content_category", "content_type", "contents")
    )
    assert "mug" == found["Search"]["custom_data"]["search_string"]
    added = found["AddToCart"]["custom_data"]
    assert (25, "EUR", 2) == (float(added["value"]), added["currency"], int(added["num_items"]))
    bought = found["Purchase"]["custom_data"]
    assert (40.5, "EUR", 3) == (
        float(bought["value"]),
        bought["currency"],
        int(bought["num_items"]),
    )
    assert ("5551", ["71", "72"]) == (bought["order_id"], bought["content_ids"])
    visitor.wait_for_queue(0)
    assert [] == visitor.said


def test_the_buyer_is_hashed_as_the_server_would(
    shop: Shop, collector: Collector, context: BrowserContext
) -> None:
    visitor = Visitor(context, shop.url, ALLOWED)
    visitor.publish("checkout_completed", {"checkout": CHECKOUT})
    (record,) = records(collector, 1)
    plain = {
        "em": "jane.doe@example.com",
        "ph": "+49 170 1234567",
        "fn": "Zoë",
        "ln": "O'Brien-Smith",
        "ct": "Frankfurt a. M.",
        "st": "Hessen",
        "zp": "60311",
        "country": "DE",
        "external_id": "900",
    }
    for key, value in plain.items():
        assert [hash_user_value(key, value)] == record["user_data"][key], key
    (sent,) = visitor.wait_for_sent(1)
    assert not any("Brien" in value or "@" in value for value in sent.values())
    assert ("fetch", "shopify") == (sent["rqm"], sent["a"])


PHONES = [
    *(("US", "(650) 555-1212"), ("US", "1 650 555 1212"), ("CA", "+1 416 555 0123")),
    *(("DE", "0170 1234567"), ("DE", "0049 170 1234567"), ("DE", "+49 (0)170 1234567")),
    *(("GB", "020 7946 0958"), ("FR", "06 12 34 56 78"), ("IT", "06 6982 1234")),
    *(("ES", "612 34 56 78"), ("HU", "06 20 123 4567"), ("NL", "31612345678")),
    *(("BR", "11 96123-4567"), ("JP", "090-1234-5678"), ("DE", "12")),
]


def test_phone_numbers_become_what_the_numbering_plans_say(
    shop: Shop, context: BrowserContext
) -> None:
    visitor = Visitor(context, shop.url, ALLOWED)
    for number, (country, phone) in enumerate(PHONES):
        address = {**CHECKOUT["billingAddress"], "countryCode": country, "phone": phone}
        checkout = {**CHECKOUT, "phone": None, "billingAddress": address, "shippingAddress": None}
        visitor.publish("checkout_started", {"checkout": checkout}, f"sh-{number}")
    sent = {hit["eid"]: hit for hit in visitor.wait_for_sent(len(PHONES))}
    for number, (country, phone) in enumerate(PHONES):
        expected = hash_user_value("ph", phone, country)
        assert expected == sent[f"sh-{number}"].get("ud[ph]"), (country, phone)


def test_the_browser_keeps_its_ids_from_page_to_page(shop: Shop, context: BrowserContext) -> None:
    first = Visitor(context, f"{shop.url}/?fbclid=AbC.dEf&gclid=G1&test_event_code=T9", ALLOWED)
    first.publish("page_viewed", {}, "sh-1")
    (landed,) = first.wait_for_sent(1)
    first.page.goto(f"{shop.url}/cart")
    first.page.wait_for_function("window.subscribed.size === 8")
    first.publish("page_viewed", {}, "sh-2")
    later = first.wait_for_sent(2)[1]
    assert f"{shop.url}/cart" == later["dl"]
    for key in ("fbp", "fbc", "tp[gclid]", "tp[ts]"):
        assert landed[key] == later[key], key
    assert landed["fbc"].startswith("fb.1.")
    assert landed["fbc"].endswith(".AbC.dEf")
    assert ("T9", "T9") == (landed["test_event_code"], later["test_event_code"])
    kept = {cookie["name"]: cookie for cookie in context.cookies()}
    assert ".shop.localhost" == kept["_fbp"].get("domain")
    assert landed["fbp"] == kept["_fbp"].get("value")


@pytest.mark.parametrize("rights", ["allow-scripts", "allow-scripts allow-forms"])
def test_it_needs_no_more_than_a_sandbox_on_another_origin(
    shop: Shop, collector: Collector, context: BrowserContext, rights: str
) -> None:
    origin = shop.url.replace("www.shop", "sandbox.preview")
    context.add_init_script(
        f"window.sandboxOrigin = {json.dumps(origin)}; window.sandboxRights = {json.dumps(rights)}"
    )
    visitor = Visitor(context, f"{shop.url}/?fbclid=AbC", ALLOWED)
    frame = visitor.page.frames[1]
    assert (f"{origin}/sandbox", "null") == (frame.url, frame.evaluate("self.origin"))
    visitor.publish("checkout_completed", {"checkout": CHECKOUT})
    visitor.page.evaluate(
        "lead => window.publishCustom('doublet_lead', lead)",
        {"event_id": "lead-1", "content_name": "contact", "value": 25, "currency": "EUR"},
    )
    bought, lead = sorted(records(collector, 2), key=lambda each: each["event_id"])
    assert ("Purchase", "5551") == (bought["event_name"], bought["event_id"])
    assert ("Lead", "lead-1") == (lead["event_name"], lead["event_id"])
    assert ("contact", 25) == (lead["custom_data"]["content_name"], float(lead["value"]))
    cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
    for record in (bought, lead):
        assert cookies["_fbp"] == record["user_data"]["fbp"]
        assert cookies["_fbc"] == record["user_data"]["fbc"]
    assert [] == visitor.said


def test_nothing_leaves_and_nothing_is_kept_before_consent(
    shop: Shop, collector: Collector, context: BrowserContext
) -> None:
    visitor = Visitor(context, shop.url, DENIED)
    visitor.publish("page_viewed", {}, "sh-held")
    visitor.publish("product_viewed", {"productVariant": VARIANT}, "sh-held-too")
    # What the page answers the frame has come and gone when this has.
    visitor.page.evaluate("window.settle()")
    kept = visitor.page.evaluate("localStorage.length + sessionStorage.length")
    assert ([], [], 0) == (visitor.sent, context.cookies(), kept)
    visitor.consent({**ALLOWED, "saleOfDataAllowed": False, "analyticsProcessingAllowed": False})
    found = records(collector, 2)
    assert ["sh-held", "sh-held-too"] == [record["event_id"] for record in found]
    assert {EVENT_TIME} == {record["event_time"] for record in found}
    consent = found[0]["extra"]["consent"]
    assert ("granted", "denied") == (consent["ad_storage"], consent["ad_personalization"])
    assert "shopify" == consent["source"]
    sent = visitor.wait_for_sent(2)[0]
    words = {key: value for key, value in sent.items() if key.startswith(("cs[", "dpo"))}
    assert {
        "cs[ad_storage]": "granted",
        "cs[ad_user_data]": "granted",
        "cs[ad_personalization]": "denied",
        "cs[analytics_storage]": "denied",
        "cs[source]": "shopify",
        "dpo": "LDU",
        "dpoco": "0",
        "dpost": "0",
    } == words


def test_consent_that_is_withdrawn_ends_it(
    shop: Shop, collector: Collector, context: BrowserContext
) -> None:
    visitor = Visitor(context, shop.url, ALLOWED)
    context.route("**/px", lambda route: route.abort())
    visitor.publish("page_viewed", {}, "sh-before")
    visitor.wait_for_queue(1)
    visitor.consent(DENIED)
    visitor.wait_for_queue(0)
    context.unroute("**/px")
    visitor.publish("page_viewed", {}, "sh-after")
    visitor.consent(ALLOWED)
    (record,) = records(collector, 1)
    assert "sh-after" == record["event_id"]


@pytest.mark.parametrize("status", [503, 429, 408, 0])
def test_what_was_not_taken_is_sent_again_unchanged(
    shop: Shop, collector: Collector, context: BrowserContext, status: int
) -> None:
    bodies: list[str | None] = []

    def fail_once(route: Route) -> None:
        bodies.append(route.request.post_data)
        if len(bodies) > 1:
            route.continue_()
        elif status:
            route.fulfill(status=status, headers={"access-control-allow-origin": "null"})
        else:
            route.abort()

    context.route("**/px", fail_once)
    visitor = Visitor(context, shop.url, ALLOWED)
    visitor.publish("checkout_completed", {"checkout": CHECKOUT})
    visitor.until(lambda: len(bodies) >= 2)
    (record,) = records(collector, 1)
    assert "5551" == record["event_id"]
    assert 1 == len(set(bodies))
    visitor.wait_for_queue(0)


def test_the_next_page_sends_what_the_one_before_could_not(
    shop: Shop, collector: Collector, context: BrowserContext
) -> None:
    context.route("**/px", lambda route: route.abort())
    visitor = Visitor(context, shop.url, ALLOWED)
    visitor.publish("checkout_completed", {"checkout": CHECKOUT})
    visitor.until(lambda: any(entry["tries"] for entry in visitor.queue()))
    visitor.page.close()
    context.unroute("**/px")
    following = Visitor(context, f"{shop.url}/account", ALLOWED)
    following.wait_for_queue(0)
    (record,) = records(collector, 1)
    assert ("5551", shop.url + "/") == (record["event_id"], record["event_source_url"])


def test_what_is_refused_is_said_and_not_sent_again(
    serve: Serve, collector: Collector, context: BrowserContext
) -> None:
    shop = serve(shopify_snippet("111111111111111", f"http://127.0.0.1:{collector.port}/"))
    visitor = Visitor(context, shop.url, ALLOWED)
    visitor.publish("page_viewed", {})
    visitor.until(lambda: any("pixel_unknown" in text for text in visitor.said))
    visitor.wait_for_queue(0)
    assert 1 == len(visitor.sent)


def test_the_queue_is_bounded(shop: Shop, context: BrowserContext) -> None:
    context.route("**/px", lambda route: route.abort())
    visitor = Visitor(context, shop.url, ALLOWED)
    for number in range(60):
        visitor.publish("page_viewed", {}, f"sh-{number}")
    visitor.until(lambda: any("sh-59" in entry["key"] for entry in visitor.queue()))
    assert 50 == len(visitor.queue())
