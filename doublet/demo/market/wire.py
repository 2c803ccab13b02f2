"""What clients put on the wire: the query of a pixel hit, the body of a server event.

Hits are built as the browser's library builds them, server events as WooCommerce's plug-in sends
them, lists as JSON text included. Pixel id and access token are added by whoever sends.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from doublet.demo.market.population import Browser, Person
from doublet.demo.market.story import TrueEvent
from doublet.demo.orders import Line, amount_cents

_SHOP = "https://shop.example"
_PARTNER_AGENT = "woocommerce-9.8.5-3.5.4"
_PAGES = {
    "AddToCart": "/cart",
    "InitiateCheckout": "/checkout",
    "Purchase": "/thank-you",
}


class _Cart(NamedTuple):
    """A cart in the forms that both sides write."""

    cents: int
    hit: str
    custom_data: dict[str, Any]


@lru_cache(maxsize=20_000)
def _cart(lines: tuple[Line, ...]) -> _Cart:
    ids = [line.product.slug for line in lines]
    contents = [{"id": line.product.slug, "quantity": line.quantity} for line in lines]
    cents = amount_cents(lines)
    custom_data = {
        "content_type": "product",
        "content_ids": msgspec.json.encode(ids).decode(),
        "contents": msgspec.json.encode(contents).decode(),
        "num_items": sum(line.quantity for line in lines),
        "value": cents / 100,
    }
    pairs = {**custom_data, "value": f"{cents / 100:.15g}"}
    hit = "".join(f"&cd[{key}]={quote(str(value), safe='')}" for key, value in pairs.items())
    return _Cart(cents, hit, custom_data)


@lru_cache(maxsize=4096)
def _quoted(url: str) -> str:
    return quote(url, safe="")


def page_url(event: TrueEvent, click_id: str | None) -> str:
    """The page on which an event happens; the landing page bears the click id."""
    if event.event_name == "PageView":
        return f"{_SHOP}/?fbclid={click_id}" if click_id else f"{_SHOP}/"
    if event.event_name == "ViewContent":
        return f"{_SHOP}/products/{event.lines[0].product.slug}"
    page = _SHOP + _PAGES[event.event_name]
    return f"{page}?order={event.order_id}" if event.order_id else page


def hit_query(
    person: Person,
    browser: Browser,
    event: TrueEvent,
    event_id: str | None,
    url: str,
    fbp: str | None,
    fbc: str | None,
) -> str:
    """The query of a hit to `/tr/`, without the pixel's `id`."""
    milliseconds = event.happened_at // 1000
    width, height = browser.screen
    cart = f"{_cart(event.lines).hit}&cd[currency]={event.currency}" if event.lines else ""
    order = f"&cd[order_id]={event.order_id}" if event.order_id else ""
    user = f"&ud[em]={person.em}&ud[external_id]={person.external_id}"
    return (
        f"ev={event.event_name}&dl={_quoted(url)}&rl=&if=false&ts={milliseconds}{cart}"
        f"{order}&sw={width}&sh={height}{user if person.is_logged_in else ''}&v=2.9.324&r=stable"
        f"&ec=0&o=4126{f'&fbc={fbc}' if fbc else ''}{f'&fbp={fbp}' if fbp else ''}"
        f"{f'&eid={event_id}' if event_id else ''}&it={milliseconds - 400}&coo=false&rqm=GET"
    )


def events_body(
    person: Person,
    browser: Browser,
    event: TrueEvent,
    event_id: str | None,
    url: str,
    fbp: str | None,
    fbc: str | None,
) -> str:
    """The JSON body of a request with one server event."""
    user_data = {"client_ip_address": browser.client_ip, "client_user_agent": browser.agent}
    if person.is_logged_in or event.order_id:
        user_data |= {"em": person.em, "fn": person.fn, "ln": person.ln}
        if person.ph:
            user_data["ph"] = person.ph
    if person.is_logged_in:
        user_data["external_id"] = person.external_id
    if fbp:
        user_data["fbp"] = fbp
    if fbc:
        user_data["fbc"] = fbc
    custom_data = {**_cart(event.lines).custom_data, "currency": event.currency}
    if event.order_id:
        custom_data["order_id"] = event.order_id
    wire: dict[str, Any] = {
        "event_name": event.event_name,
        "event_time": event.happened_at // 1_000_000,
        "action_source": "website",
        "event_source_url": url,
        "user_data": user_data,
        "custom_data": custom_data,
    }
    if event_id:
        wire["event_id"] = event_id
    return msgspec.json.encode({"data": [wire], "partner_agent": _PARTNER_AGENT}).decode()


def value_cents(event: TrueEvent) -> int | None:
    """What an event is worth, None where it has no value."""
    return _cart(event.lines).cents if event.lines else None
