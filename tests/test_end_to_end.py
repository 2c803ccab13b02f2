"""The whole way of a purchase: a visitor in real Chromium, the pixel, the shop's server with Meta's
own SDK, a real server, and one line on the report."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, Route

from doublet.demo.orders import Order, OrderNumbers
from doublet.demo.products import CURRENCY
from doublet.demo.shop import create_shop
from doublet.engine.duckdb import DuckDBEngine
from tests.factories import sha256
from tests.server import RunningServer, served, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EMAIL = "Ada.Byron+Shop@Example.com"
CLICK_ID = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
FRESH_S = 5.0
HIT = re.compile(r"/px(\?|$)")
ONE_BY_BOTH = {
    "event_name": "Purchase",
    "browser": 1,
    "server": 1,
    "events": 1,
    "both": 1,
    "browser_only": 0,
    "server_only": 0,
    "value": {"USD": 61.5},
}


class ShopServer:
    """The shop's server side, with Meta's SDK as it comes from the package index."""

    def __init__(self, pixel_id: str) -> None:
        self._pixel_id = pixel_id
        self.may_send = threading.Event()
        self.may_send.set()
        self.answered_at = 0.0
        self.answers: list[int] = []

    def __call__(self, order: Order) -> None:
        """Report one order, once the test lets it."""
        assert self.may_send.wait(60)
        request = EventRequest(events=[_event_of(order)], pixel_id=self._pixel_id)
        received = request.execute().events_received
        self.answered_at = time.monotonic()
        self.answers.append(received)


def _event_of(order: Order) -> Event:
    """E-mail and ids are given plain: hashing them is the SDK's work."""
    return Event(
        event_name="Purchase",
        event_time=order.ordered_at,
        event_id=order.order_id,
        event_source_url=order.url,
        action_source=ActionSource.WEBSITE,
        user_data=UserData(
            email=order.email,
            external_id=order.visitor_id,
            client_ip_address=order.client_ip_address,
            client_user_agent=order.client_user_agent,
            fbp=order.fbp or None,
            fbc=order.fbc or None,
        ),
        custom_data=CustomData(
            value=order.value,
            currency=CURRENCY,
            order_id=order.order_id,
            content_ids=[line.product.slug for line in order.cart],
            contents=[
                Content(line.product.slug, line.quantity, line.product.price) for line in order.cart
            ],
        ),
    )


class Market:
    """A running server, a shop with its server side, and what they are called."""

    def __init__(self, server: RunningServer, shop_server: ShopServer, shop_url: str) -> None:
        self.server = server
        self.shop_server = shop_server
        self.shop_url = shop_url

    def purchase(self) -> dict[str, Any]:
        """The report's row as it is now, empty before anything arrived."""
        return self.server.overview().get("Purchase", {})

    def wait_for_purchase(self, **counts: int) -> float:
        """Wait until the row has these counts; the moment it was seen."""
        wait_for(lambda: counts.items() <= self.purchase().items(), what=f"Purchase shows {counts}")
        return time.monotonic()


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Market]:
    """Everything real, on sockets of its own."""
    with ExitStack() as stack:
        server = stack.enter_context(RunningServer(tmp_path, workers=2))
        monkeypatch.setattr(FacebookSession, "GRAPH", server.url)
        monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
        api = FacebookAdsApi.init(access_token=server.access_token, crash_log=False)
        stack.callback(api._session.requests.close)
        shop_server = ShopServer(server.pixel_id)
        shop = create_shop(
            pixel_id=server.pixel_id,
            public_url=server.url,
            dashboard_url=f"{server.url}/overview",
            order_numbers=OrderNumbers(tmp_path / "shop" / "order-number"),
            report=shop_server,
        )
        yield Market(server, shop_server, stack.enter_context(served(shop)))


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own, without cookies."""
    context = browser.new_context()
    yield context
    context.close()


def go_to_checkout(visitor: BrowserContext, shop_url: str) -> Page:
    """Come by an ad, look at two products, add both, and fill in the checkout."""
    page = visitor.new_page()
    page.goto(f"{shop_url}/?fbclid={CLICK_ID}")
    for name in ("Teacups for two", "Salt and pepper mills"):
        page.get_by_role("link", name=name).click()
        page.get_by_role("button", name="Add to cart").click()
        page.get_by_role("button", name="Add another").wait_for()
        page.get_by_role("link", name="Twosome").click()
    page.get_by_role("link", name="Cart").click()
    page.get_by_role("link", name="Check out").click()
    page.get_by_label("Name").fill("Ada Byron")
    page.get_by_label("E-mail").fill(EMAIL)
    return page


def buy(page: Page) -> str:
    """Press the button; the order id on the thank-you page."""
    page.get_by_role("button", name="Buy").click()
    order_id = page.locator("#order").text_content()
    assert order_id
    return order_id


def is_purchase(request: Request) -> bool:
    """Whether a request is a Purchase of the pixel."""
    said = request.url + (request.post_data or "")
    return HIT.search(request.url) is not None and "ev=Purchase" in said


def answers_purchase(answer: Response) -> bool:
    """Whether it is answered."""
    return is_purchase(answer.request)


def buy_with_browser_first(market: Market, page: Page) -> str:
    """The server's copy waits until the browser's is on the report."""
    market.shop_server.may_send.clear()
    with page.expect_response(answers_purchase) as hit:
        order_id = buy(page)
    assert 200 == hit.value.status
    answered_at = time.monotonic()
    shown_at = market.wait_for_purchase(browser=1, server=0, events=1, browser_only=1)
    assert shown_at - answered_at < FRESH_S
    market.shop_server.may_send.set()
    shown_at = market.wait_for_purchase(browser=1, server=1)
    assert shown_at - market.shop_server.answered_at < FRESH_S
    return order_id


def buy_with_server_first(market: Market, page: Page) -> str:
    """The browser's hit waits on its way until the server's copy is on the report."""
    held: list[float] = []

    def hold(route: Route) -> None:
        if is_purchase(route.request):
            held.append(market.wait_for_purchase(browser=0, server=1, events=1, server_only=1))
        route.continue_()

    page.route(HIT, hold)
    with page.expect_response(answers_purchase) as hit:
        order_id = buy(page)
    assert 200 == hit.value.status
    answered_at = time.monotonic()
    assert 1 == len(held)
    assert held[0] - market.shop_server.answered_at < FRESH_S
    assert market.wait_for_purchase(browser=1, server=1) - answered_at < FRESH_S
    return order_id


def stored_copies(market: Market, engine: DuckDBEngine) -> list[dict[str, Any]]:
    """All rows of the lake's events, as any reader of Delta tables sees them."""
    files = DeltaTable(str(market.server.settings.lake_folder / "events")).file_uris()
    return engine.query("select * from read_parquet($files) order by source", {"files": files})


def files_with(folder: Path, text: str) -> list[Path]:
    """Files below a folder in whose bytes the text occurs, in whatever case."""
    sought = text.lower().encode()
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return [path for path in found if sought in path.read_bytes().lower()]


@pytest.mark.parametrize(
    ("buy_in_order", "kept_rule", "delay_sign"),
    [(buy_with_browser_first, "first", 1), (buy_with_server_first, "browser_preferred", -1)],
)
def test_a_purchase_told_by_browser_and_server_counts_once(
    market: Market,
    visitor: BrowserContext,
    buy_in_order: Any,
    kept_rule: str,
    delay_sign: int,
) -> None:
    page = go_to_checkout(visitor, market.shop_url)
    order_id = buy_in_order(market, page)

    assert [1] == market.shop_server.answers
    assert ONE_BY_BOTH == market.purchase()
    names = ("PageView", "ViewContent", "AddToCart", "InitiateCheckout", "Purchase")
    wait_for(lambda: len(market.server.overview()) == len(names), what="all events are shown")
    wait_for(lambda: market.server.overview()["PageView"]["events"] == 8, what="8 pages were seen")
    overview = market.server.overview()
    assert {
        "PageView": 8,
        "ViewContent": 2,
        "AddToCart": 2,
        "InitiateCheckout": 1,
        "Purchase": 1,
    } == {name: row["events"] for name, row in overview.items()}
    assert list(overview.values()) == market.server.run("report", "overview")

    # Loading the thank-you page again tells nothing again; a browser that has forgotten the order
    # tells it with the same event id.
    page.unroute(HIT)
    page.reload()
    wait_for(lambda: market.server.overview()["PageView"]["events"] == 9, what="9 pages were seen")
    assert ONE_BY_BOTH == market.purchase()
    page.evaluate("localStorage.clear()")
    with page.expect_response(answers_purchase):
        page.reload()
    market.wait_for_purchase(browser=2)
    assert {**ONE_BY_BOTH, "browser": 2} == market.purchase()

    cookies = {cookie["name"]: cookie["value"] for cookie in visitor.cookies()}
    assert 0 == market.server.stop()
    engine = DuckDBEngine(
        market.server.settings.warehouse_file, market.server.settings.tmp_folder / "test"
    )
    try:
        (kept,) = engine.query("from events_deduplicated where event_name = 'Purchase'")
        copies = stored_copies(market, engine)
    finally:
        engine.close()
    assert ("browser", kept_rule) == (kept["kept_source"], kept["kept_rule"])
    assert order_id == kept["event_id"] == kept["order_id"]
    assert 0 < kept["delay_s"] * delay_sign < 60
    assert [sha256(EMAIL.lower())] == kept["user_data"]["em"]
    assert 1 == len(kept["user_data"]["external_id"])

    purchases = [copy for copy in copies if copy["event_name"] == "Purchase"]
    assert ["browser", "browser", "server"] == [copy["source"] for copy in purchases]
    assert {cookies["_fbp"]} == {copy["user_data"]["fbp"] for copy in purchases}
    assert {cookies["_fbc"]} == {copy["user_data"]["fbc"] for copy in purchases}
    assert cookies["_fbc"].endswith(f".{CLICK_ID}")

    # Packed columns hide their text from a search of bytes, so the rows are looked at too.
    assert "ada.byron" not in str([kept, *copies]).lower()
    assert [] == files_with(market.server.settings.data, "ada.byron")


def test_a_purchase_whose_browser_copy_is_blocked_still_counts_once(
    market: Market, visitor: BrowserContext, browser: Browser
) -> None:
    buy(go_to_checkout(visitor, market.shop_url))
    market.wait_for_purchase(browser=1, server=1)

    blocker = browser.new_context()
    blocker.route(HIT, lambda route: route.abort())
    page = go_to_checkout(blocker, market.shop_url)
    with page.expect_event("requestfailed", is_purchase):
        order_id = buy(page)
    market.wait_for_purchase(server=2)
    blocker.close()

    assert [1, 1] == market.shop_server.answers
    both_purchases = {"events": 2, "server": 2, "server_only": 1, "value": {"USD": 123.0}}
    assert {**ONE_BY_BOTH, **both_purchases} == market.purchase()
    assert 0 == market.server.stop()
    engine = DuckDBEngine(
        market.server.settings.warehouse_file, market.server.settings.tmp_folder / "test"
    )
    try:
        kept = engine.query(
            "from events_deduplicated where event_name = 'Purchase' order by event_id"
        )
    finally:
        engine.close()
    assert [("browser", 1, 1), ("server", 0, 1)] == [
        (row["kept_source"], row["browser_copies"], row["server_copies"]) for row in kept
    ]
    assert (order_id, "only") == (kept[1]["event_id"], kept[1]["kept_rule"])
