"""Carts and orders of the demo shop, and what its events say about them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doublet.demo.products import CURRENCY, PRODUCT_BY_SLUG, Product

QUANTITY_MAX = 9
_FIRST_ORDER_NUMBER = 1001


class Line(NamedTuple):
    """Some of one product."""

    product: Product
    quantity: int

    @property
    def amount_cents(self) -> int:
        """What the line costs."""
        return self.product.price_cents * self.quantity


Cart = tuple[Line, ...]


def read_cart(text: str) -> Cart:
    """The cart in a cookie such as `mittens.2-teacups.1`; what is not for sale is left out."""
    quantities: dict[str, int] = {}
    for part in text.split("-"):
        slug, _, quantity = part.partition(".")
        if slug in PRODUCT_BY_SLUG and quantity.isascii() and quantity.isdecimal():
            quantities[slug] = min(int(quantity[:3]), QUANTITY_MAX)
    return tuple(Line(PRODUCT_BY_SLUG[slug], n) for slug, n in quantities.items() if n > 0)


def write_cart(cart: Cart) -> str:
    """The cookie of a cart."""
    return "-".join(f"{line.product.slug}.{line.quantity}" for line in cart)


def with_quantity(cart: Cart, product: Product, change: int) -> Cart:
    """The cart with `change` more of one product, at most `QUANTITY_MAX`."""
    quantities = {line.product: line.quantity for line in cart}
    quantities[product] = min(quantities.get(product, 0) + change, QUANTITY_MAX)
    return tuple(
        Line(product, quantity) for product, quantity in quantities.items() if quantity > 0
    )


def amount_cents(cart: Sequence[Line]) -> int:
    """What a cart costs in all."""
    return sum(line.amount_cents for line in cart)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase, with what the shop's server knows of the buyer. `ordered_at` is Unix seconds.

    `email` is plain and lives in memory only. `fbp` and `fbc` are the pixel's cookies, empty when
    the browser has none.
    """

    order_id: str
    cart: Cart
    email: str
    visitor_id: str
    url: str
    ordered_at: int
    client_ip_address: str
    client_user_agent: str
    fbp: str
    fbc: str

    @property
    def value(self) -> float:
        """What was paid, in `CURRENCY`."""
        return amount_cents(self.cart) / 100


def custom_data(cart: Sequence[Line]) -> dict[str, Any]:
    """What browser and server both say of a cart (Meta, Object properties)."""
    return {
        "value": amount_cents(cart) / 100,
        "currency": CURRENCY,
        "content_type": "product",
        "content_ids": [line.product.slug for line in cart],
        "contents": [
            {"id": line.product.slug, "quantity": line.quantity, "item_price": line.product.price}
            for line in cart
        ],
        "num_items": sum(line.quantity for line in cart),
    }


class OrderNumbers:
    """Order ids that go on where the last run of the shop ended."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def next(self) -> str:
        """A new order id; it is on disk before anyone sees it, since it is an event id too and
        would make two purchases one if it came a second time."""
        with self._lock:
            try:
                number = int(self._file.read_text("ascii")) + 1
            except FileNotFoundError:
                number = _FIRST_ORDER_NUMBER
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = self._file.with_suffix(".new")
            with scratch.open("w") as stream:
                stream.write(str(number))
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(self._file)
            return f"TS-{number}"
