"""The interfaces of the platforms over real sockets: all pages or an error, never a part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from doublet.catalog import Shop, ShopRules
from doublet.errors import DestinationError, OperatorError
from doublet.shops.api import ShopApi, Span, Subscription
from doublet.shops.contract import UnreadableError
from doublet.shops.orders import (
    ShopOrder,
    bigcommerce_order,
    shopify_order,
    woocommerce_order,
)
from tests.factories import sha256
from tests.reconcile.resources import (
    Platform,
    bigcommerce,
    made_at,
    shopify,
    shopify_refund,
    woocommerce,
)
from tests.server import served

MAKERS = {"shopify": shopify, "woocommerce": woocommerce, "bigcommerce": bigcommerce}
TOKENS = {"shopify": "token-1", "woocommerce": "ck_1:cs_2", "bigcommerce": "token-1"}
SPAN = Span(int(made_at(0).timestamp()), int(made_at(10_000).timestamp()))
MARY = sha256("mary@example.com")


class Api:
    """A platform that answers, its shop, and how long the client would have waited."""

    def __init__(self, platform: Platform, url: str, token: str | None = None) -> None:
        self.platform = platform
        self.waited: list[float] = []
        # As `doublet shop add` keeps it: BigCommerce's address names the store.
        store = "/stores/abc123" if platform.kind == "bigcommerce" else ""
        target = {"api_url": url + store, "store_hash": "abc123"}
        given = TOKENS[platform.kind] if token is None else token
        self.shop = Shop(
            *("shp_100000000001", "act_1", "1", platform.kind, "Corner Shop", 0),
            *(target, [], given, ShopRules()),
        )

    def client(self) -> ShopApi:
        """A client that does not really wait."""
        return ShopApi(self.shop, self.waited.append)

    def orders(self, span: Span = SPAN) -> list[ShopOrder]:
        """All orders of a time."""
        with self.client() as client:
            return list(client.orders(span))


@contextmanager
def api(kind: str, count: int = 3, size: int = 0, token: str | None = None) -> Iterator[Api]:
    """A platform with so many orders."""
    platform = Platform(kind, [MAKERS[kind](number) for number in range(1, count + 1)], size)
    with served(platform) as url:
        yield Api(platform, url, token)


@pytest.mark.parametrize("kind", MAKERS)
def test_all_pages_are_read_once(kind: str) -> None:
    size = 100 if kind == "woocommerce" else 250
    with api(kind, 2 * size + 7) as made:
        orders = made.orders()
        assert 2 * size + 7 == len({order.order_id for order in orders}) == len(orders)
        assert 3 == len(made.platform.asked)
    with api(kind, 2 * size) as made:
        assert 2 * size == len(made.orders())
    with api(kind, 0) as made:
        assert [] == made.orders()


@pytest.mark.parametrize("kind", ["shopify", "woocommerce"])
def test_only_orders_of_the_time_are_asked_for(kind: str) -> None:
    with api(kind, 10) as made:
        span = Span(int(made_at(3).timestamp()), int(made_at(6).timestamp()))
        made_by = {round(order.created_at / 1e6) for order in made.orders(span)}
        # The last moment may be within; the comparison leaves it out.
        expected = {int(made_at(number).timestamp()) for number in (3, 4, 5)}
        assert expected <= made_by <= expected | {span.until}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry-after": "2.0"}, 2.0),
        ({"x-rate-limit-time-reset-ms": "1500"}, 1.5),
        ({"retry-after": "100000"}, 60.0),
    ],
)
def test_a_platform_that_asks_to_wait_is_obeyed(
    kind: str, headers: dict[str, str], waited: float
) -> None:
    with api(kind, 5, size=250) as made:
        made.platform.trouble = lambda number: (429, headers, b"{}") if number < 3 else None
        assert 5 == len(made.orders())
        assert [waited, waited] == made.waited


TROUBLES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "no JSON": (200, {}, b"<html>Please log in</html>"),
    "cut off": (200, {}, b'{"orders": [{"id": 1'),
    "an object": (200, {}, b'{"message": "ok"}'),
    "more than orders": (200, {}, b"[null]"),
    "out of order": (503, {}, b""),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_broken_page_is_asked_for_again_and_ends_everything_if_it_stays_so(
    kind: str, trouble: str
) -> None:
    size = 100 if kind == "woocommerce" else 250
    with api(kind, size + 1) as made:
        made.platform.trouble = lambda number: TROUBLES[trouble] if number == 2 else None
        assert size + 1 == len(made.orders())
        assert 1 == len(made.waited)
        made.platform.asked.clear()
        made.platform.trouble = lambda number: TROUBLES[trouble] if number > 1 else None
        with pytest.raises(DestinationError, match="Page 2 of the orders of 'Corner Shop'"):
            made.orders()
        assert 7 == len(made.platform.asked)


@pytest.mark.parametrize("kind", MAKERS)
def test_an_order_that_cannot_be_read_ends_everything(kind: str) -> None:
    with api(kind, 3) as made:
        made.platform.orders[1].pop("id")
        with pytest.raises(DestinationError, match=r"Page 1 .* An order has no id"):
            made.orders()


@pytest.mark.parametrize("kind", MAKERS)
def test_whoever_is_not_let_in_is_told_what_the_token_needs(kind: str) -> None:
    with api(kind, token="wrong") as made, pytest.raises(OperatorError) as raised:
        made.orders()
    assert "(401)" in raised.value.message
    assert "The token needs" in raised.value.hint
    with api(kind, token="") as made, pytest.raises(OperatorError, match="has no API token"):
        made.client()


@pytest.mark.parametrize("status", [301, 302, 307])
def test_the_token_goes_to_no_other_host(status: int) -> None:
    with api("shopify", 300) as made, api("shopify", 3) as other:
        url = other.shop.target["api_url"]
        made.platform.trouble = lambda number: (status, {"location": url}, b"")
        with pytest.raises(DestinationError, match="a redirect is not followed"):
            made.orders()
        link = f'<{url}/admin/api/2025-10/orders.json?page_info=1>; rel="next"'
        made.platform.trouble = lambda number: (200, {"link": link}, b'{"orders": []}')
        with pytest.raises(DestinationError, match="a next page at another host"):
            made.orders()
        assert [] == other.platform.asked


HOOKS: dict[str, tuple[dict[str, Any], Subscription]] = {
    "shopify": (
        {"id": 4, "topic": "orders/create", "address": "https://e.example/1", "format": "json"},
        Subscription("orders/create", "https://e.example/1", True),
    ),
    "woocommerce": (
        {
            **{"id": 142, "name": "Orders", "status": "disabled", "topic": "order.created"},
            **{"resource": "order", "event": "created", "hooks": ["woocommerce_new_order"]},
            "delivery_url": "https://e.example/1",
        },
        Subscription("order.created", "https://e.example/1", False),
    ),
    "bigcommerce": (
        {
            **{"id": 18048287, "client_id": "c", "store_hash": "abc123", "is_active": False},
            **{"scope": "store/order/created", "destination": "https://e.example/1"},
            "headers": {"X-Doublet-Secret": "s"},
        },
        Subscription("store/order/created", "https://e.example/1", False),
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_webhooks_are_listed(kind: str) -> None:
    with api(kind) as made:
        resource, subscription = HOOKS[kind]
        made.platform.hooks = [resource]
        with made.client() as client:
            assert [subscription] == client.subscriptions()


def test_an_order_of_shopify() -> None:
    at = int(made_at(1).timestamp()) * 1_000_000
    plain = ShopOrder(
        *("5550000001", at, "100", "EUR", "#1001", "sale", False, "0", "15.97", "5", "0"),
        *("100", "EUR", MARY),
    )
    assert plain == shopify_order(shopify(1))
    # 30 of 100 went back; a second refund did not succeed.
    refunds = [shopify_refund("30.00"), shopify_refund("9.00", "failure")]
    fields = {"current_total_price": "70.00", "refunds": refunds}
    refunded = shopify_order(shopify(1, financial_status="partially_refunded", **fields))
    assert ("100", "30", "sale") == (refunded.total, refunded.refunded, refunded.state)
    fields = {"current_total_price": "0.00", "cancelled_at": at_text(2)}
    cancelled = shopify_order(shopify(1, financial_status="voided", **fields))
    assert ("100", "cancelled") == (cancelled.total, cancelled.state)
    assert shopify_order(shopify(1, test=True)).is_test
    assert "pending" == shopify_order(shopify(1, financial_status="authorized")).state
    edited = shopify_order(shopify(1, current_total_price="120.00"))
    assert "120" == edited.total


def at_text(number: int) -> str:
    """When an order was made, in ISO 8601."""
    return made_at(number).isoformat()


def test_an_order_of_woocommerce() -> None:
    at = int(made_at(7).timestamp()) * 1_000_000
    assert ShopOrder(
        *("7", at, "100", "EUR", "", "sale", False, "0", "15.97", "5", "0"), em=MARY
    ) == woocommerce_order(woocommerce(7))
    refunds = [{"id": 8, "reason": "", "total": "-30.00"}, {"id": 9, "total": "-5.50"}]
    assert "35.5" == woocommerce_order(woocommerce(7, refunds=refunds)).refunded
    assert "100" == woocommerce_order(woocommerce(7, status="refunded")).refunded
    assert "2007" == woocommerce_order({**woocommerce(7), "number": "2007"}).name
    states = {
        status: woocommerce_order(woocommerce(7, status=status)).state
        for status in ("on-hold", "completed", "cancelled", "failed", "checkout-draft", "custom")
    }
    assert ["pending", "sale", "cancelled", "failed", "failed", ""] == list(states.values())
    assert "pending" == woocommerce_order(woocommerce(7, payment_method="cod")).state


def test_an_order_of_bigcommerce() -> None:
    at = int(made_at(250).timestamp()) * 1_000_000
    assert ShopOrder(
        *("250", at, "100", "EUR", "", "sale", False, "0", "15.97", "5", "0"), em=MARY
    ) == bigcommerce_order(bigcommerce(250))
    assert "12.5" == bigcommerce_order(bigcommerce(1, refunded_amount="12.5000")).refunded
    assert bigcommerce_order(bigcommerce(1, payment_method="Test Payment Gateway")).is_test
    words = ("Incomplete", "Cancelled", "Declined", "Awaiting Payment", "Refunded", "Completed")
    states = [bigcommerce_order(bigcommerce(1, status=word)).state for word in words]
    assert ["failed", "cancelled", "failed", "pending", "sale", "sale"] == states


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_no_order_names_a_field_and_no_value(kind: str) -> None:
    read = {"shopify": shopify_order, "woocommerce": woocommerce_order}.get(kind, bigcommerce_order)
    order = MAKERS[kind](1)
    for name in ("id", "created_at", "date_created", "date_created_gmt", "total", "total_inc_tax"):
        if name not in order or (name, kind) == ("date_created", "woocommerce"):
            continue
        values: tuple[Any, ...] = (None, "", [], {}, True, "Mary")
        for value in values:
            if (name, value) == ("id", "Mary"):
                continue
            with pytest.raises(UnreadableError) as raised:
                read({**order, name: value})
            assert name in str(raised.value)
            assert "Mary" not in str(raised.value)
