"""The shops' own interfaces: all orders that were made in a time, page by page.

A page that cannot be had is asked for again, later where the platform says so; one that stays
broken ends everything, since a part must never pass for the whole. Nothing is changed in the shop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from doublet.catalog import Shop
from doublet.errors import DestinationError, OperatorError
from doublet.shops.client import LaterError, StatusError, ask, client_of
from doublet.shops.contract import Resource, UnreadableError
from doublet.shops.fields import text
from doublet.shops.orders import ShopOrder, bigcommerce_order, shopify_order, woocommerce_order

_ATTEMPTS_MAX = 6
_WAIT_S_MAX = 60.0
_PAGES_MAX = 100_000

_SHOPIFY_FIELDS = (
    "id,name,email,created_at,cancelled_at,currency,presentment_currency,financial_status,test,"
    "total_price,current_total_price,total_price_set,total_tax,total_discounts,"
    "total_shipping_price_set,refunds"
)


class Subscription(NamedTuple):
    """A webhook as the shop has it."""

    topic: str
    address: str
    is_active: bool


class Span(NamedTuple):
    """From a moment until before another, in Unix seconds."""

    since: int
    until: int


class _Page(NamedTuple):
    resources: list[Resource]
    following: str | None
    """The address of the next page."""


class ShopApi:
    """One shop's interface. Use it as a context manager."""

    def __init__(self, shop: Shop, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises OperatorError where the shop's row lacks the address or the token."""
        if shop.platform not in _PLATFORMS:
            raise OperatorError(
                f"Orders cannot be asked of a shop on {shop.platform}.",
                "Give an export of its orders as a file.",
            )
        if not shop.api_token:
            raise OperatorError(
                f"The shop {shop.name!r} has no API token.",
                f"Add one that may read orders ({_PLATFORMS[shop.platform].right}), or give an "
                "export of the orders as a file.",
            )
        self._shop = shop
        self._platform = _PLATFORMS[shop.platform]
        self._client = client_of(shop)
        self._base = str(self._client.base_url).rstrip("/")
        self._retrying = Retrying(
            retry=retry_if_exception_type(LaterError),
            stop=stop_after_attempt(_ATTEMPTS_MAX),
            wait=_wait_s,
            sleep=sleep,
            reraise=True,
        )

    def __enter__(self) -> ShopApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def orders(self, span: Span) -> Iterator[ShopOrder]:
        """All orders that were made in a time. Raises OperatorError where the shop lets nobody in,
        DestinationError where it does not answer as it should."""
        address: str | None = self._platform.first(self._base, span)
        for number in range(1, _PAGES_MAX + 1):
            assert address is not None
            resources, address = self._page(address, number)
            for resource in resources:
                try:
                    yield self._platform.read(resource)
                except UnreadableError as error:
                    raise self._broken(number, str(error)) from None
            if address is None:
                return
        raise self._broken(_PAGES_MAX, "There is no end to its pages.")

    def subscriptions(self) -> list[Subscription]:
        """The shop's webhooks. Raises like `orders`."""
        found: list[Subscription] = []
        address: str | None = self._base + self._platform.webhooks
        while address is not None and len(found) < 1000:
            resources, address = self._page(address, 1)
            found += [self._platform.subscription(resource) for resource in resources]
        return found

    def _page(self, address: str, number: int) -> _Page:
        try:
            page: _Page = self._retrying(self._ask, address)
        except LaterError as error:
            raise self._broken(number, str(error)) from None
        return page

    def _ask(self, address: str) -> _Page:
        try:
            answer = ask(self._client, address)
        except StatusError as error:
            raise self._refused(error.status) from None
        if answer.response.status_code == 204:
            return _Page([], None)
        resources = _unwrap(answer.found)
        if resources is None:
            raise LaterError("It is no list of objects.")
        return _Page(resources, self._following(answer.response, len(resources)))

    def _following(self, answer: httpx.Response, count: int) -> str | None:
        following = self._platform.following(answer, count)
        if following is None:
            return None
        url = httpx.URL(following)
        # Whoever is asked there gets the token.
        if (url.scheme, url.host, url.port) != (
            (own := httpx.URL(self._base)).scheme,
            own.host,
            own.port,
        ):
            raise LaterError("It names a next page at another host.")
        return following

    def _refused(self, status: int) -> OperatorError | DestinationError:
        if status in (401, 403):
            return OperatorError(
                f"{self._platform.name} does not let the token of {self._shop.name!r} read orders "
                f"({status}).",
                f"The token needs {self._platform.right}.",
            )
        if status == 404:
            return OperatorError(
                f"{self._base} has no orders (404).", "Look at the shop's address and platform."
            )
        return DestinationError(
            f"{self._platform.name} answered {status} for orders of {self._shop.name!r}.",
            "Look at the shop's address; a redirect is not followed.",
        )

    def _broken(self, number: int, why: str) -> DestinationError:
        return DestinationError(
            f"Page {number} of the orders of {self._shop.name!r} cannot be had from "
            f"{self._platform.name}. {why}",
            "Try again later, or give an export of the orders as a file.",
        )


_EXPONENTIAL = wait_random_exponential(multiplier=1.0, max=_WAIT_S_MAX)


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, LaterError) and error.wait_s is not None:
        return min(error.wait_s, _WAIT_S_MAX)
    return _EXPONENTIAL(state)


# --- the platforms -----------------------------------------------------------------------------


class _Platform(NamedTuple):
    name: str
    right: str
    first: Callable[[str, Span], str]
    following: Callable[[httpx.Response, int], str | None]
    read: Callable[[Resource], ShopOrder]
    webhooks: str
    subscription: Callable[[Resource], Subscription]


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _unwrap(found: Any) -> list[Resource] | None:
    """The list that a page is, or that it holds under a name of its own. What has something else in
    it is none: that could not be told from what was left out."""
    for key in ("orders", "webhooks", "data"):
        found = found[key] if isinstance(found, dict) and key in found else found
    is_list = isinstance(found, list) and all(isinstance(entry, dict) for entry in found)
    return found if is_list else None


def _by_link(answer: httpx.Response, count: int) -> str | None:
    """Shopify's `Link` (*Paginated requests*)."""
    return answer.links.get("next", {}).get("url")


def _by_number(answer: httpx.Response, count: int) -> str | None:
    """The same address with the next number; WooCommerce says how many there are (*Pagination*),
    BigCommerce ends with a page that is not full."""
    number = int(answer.url.params["page"])
    said = answer.headers.get("x-wp-totalpages", "")
    size = answer.url.params.get("limit") or answer.url.params["per_page"]
    is_last = number >= int(said) if said.isdecimal() else count < int(size)
    return None if is_last else str(answer.url.copy_set_param("page", number + 1))


def _shopify_first(base: str, span: Span) -> str:
    url = httpx.URL(f"{base}/orders.json")
    return str(
        url.copy_merge_params(
            {
                "status": "any",
                "limit": "250",
                "created_at_min": f"{_iso(span.since)}Z",
                "created_at_max": f"{_iso(span.until)}Z",
                "fields": _SHOPIFY_FIELDS,
            }
        )
    )


def _woocommerce_first(base: str, span: Span) -> str:
    url = httpx.URL(f"{base}/orders")
    return str(
        url.copy_merge_params(
            {
                "status": "any",
                "per_page": "100",
                # Both bounds are left out.
                "after": _iso(span.since - 1),
                "before": _iso(span.until),
                "dates_are_gmt": "true",
                "orderby": "date",
                "order": "asc",
                "page": "1",
            }
        )
    )


def _bigcommerce_first(base: str, span: Span) -> str:
    url = httpx.URL(f"{base}/v2/orders")
    return str(
        url.copy_merge_params(
            {
                "min_date_created": f"{_iso(span.since)}+00:00",
                "max_date_created": f"{_iso(span.until)}+00:00",
                "sort": "date_created:asc",
                "limit": "250",
                "page": "1",
            }
        )
    )


_PLATFORMS: dict[str, _Platform] = {
    "shopify": _Platform(
        "Shopify",
        "the scope read_orders, and read_all_orders for orders older than 60 days",
        _shopify_first,
        _by_link,
        shopify_order,
        "/webhooks.json?limit=250",
        lambda hook: Subscription(text(hook.get("topic")), text(hook.get("address")), True),
    ),
    "woocommerce": _Platform(
        "WooCommerce",
        "a REST API key with the permission Read, as consumer key:consumer secret",
        _woocommerce_first,
        _by_number,
        woocommerce_order,
        "/webhooks?per_page=100&page=1",
        lambda hook: Subscription(
            text(hook.get("topic")), text(hook.get("delivery_url")), hook.get("status") == "active"
        ),
    ),
    "bigcommerce": _Platform(
        "BigCommerce",
        "the scope Orders, read-only",
        _bigcommerce_first,
        _by_number,
        bigcommerce_order,
        "/v3/hooks?limit=250&page=1",
        lambda hook: Subscription(
            text(hook.get("scope")), text(hook.get("destination")), hook.get("is_active") is True
        ),
    ),
}
