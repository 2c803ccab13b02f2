"""Which column of a shop's export holds what: guessed from the names, put right by whoever asks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from doublet.errors import SenderError

FIELDS: dict[str, tuple[str, ...]] = {
    "order_id": (
        *("order id", "orderid", "bestell id", "id", "order number", "order no", "order", "number"),
        *("name", "bestellnummer", "auftragsnummer", "transaction id"),
    ),
    "name": ("name", "order name", "order number", "order no", "number", "bestellnummer"),
    "created_at": (
        *("created at", "date created", "order date", "date created gmt", "processed at"),
        *("purchase date", "bestelldatum", "erstellt am", "date", "datum", "created"),
    ),
    "total": (
        *("total", "order total", "total price", "order total amount", "total inc tax"),
        *("order total inc tax", "grand total", "total amount", "gesamtsumme", "gesamtbetrag"),
        *("gesamt", "summe", "betrag", "amount", "value"),
    ),
    "refunded": (
        *("refunded amount", "refunded", "refund amount", "order refund amount", "refunded total"),
        *("total refunded", "refund total", "order refund", "erstattet", "rückerstattet"),
    ),
    "tax": (
        *("taxes", "tax", "total tax", "tax total", "order total tax amount", "order tax"),
        *("steuern", "steuer", "mwst", "ust"),
    ),
    "shipping": (
        *("shipping", "shipping total", "order shipping amount", "shipping cost inc tax"),
        *("shipping cost", "shipping amount", "total shipping", "versand", "versandkosten"),
    ),
    "discount": (
        *("discount amount", "discount total", "total discounts", "cart discount amount"),
        *("discount", "rabatt"),
    ),
    "currency": (
        *("currency", "order currency", "currency code", "order currency code", "währung"),
    ),
    "status": (
        *("financial status", "status", "order status", "payment status", "state"),
        *("bestellstatus", "zahlungsstatus"),
    ),
    "cancelled_at": ("cancelled at", "canceled at", "cancelled", "canceled", "storniert am"),
    "test": ("test", "is test", "test order"),
    "email": (
        *("email", "e mail", "customer email", "billing email", "email billing", "contact email"),
    ),
}
"""The fields, and the names that columns of exports have for each, the surest first: Shopify's
(*Order export*), those of WooCommerce's and BigCommerce's export tools, and plain words."""

NEEDED = ("order_id", "created_at", "total")

_SHOPIFYS = "financial status"
"""A column that only Shopify's export has; there `Name` is the order's."""


class Mapped(NamedTuple):
    """A field and the column that holds it: by its place in a line, with its name."""

    field: str
    column: str
    place: int
    is_given: bool


def plain(name: str) -> str:
    """A column's name without case, signs and doubled spaces.

    >>> plain(" Order_Total (inc tax) ")
    'order total inc tax'
    """
    return " ".join(re.sub(r"[\W_]+", " ", name.lower()).split())


def map_columns(columns: Sequence[str], given: Mapping[str, str]) -> list[Mapped]:
    """Which column holds which field. `given` says it by the field's name, an empty column for
    none. Raises SenderError for what cannot be."""
    for field in given:
        if field not in FIELDS:
            raise SenderError(f"There is no field {field!r}.", f"Fields: {', '.join(FIELDS)}.")
    names = [plain(column) for column in columns]
    if _SHOPIFYS not in names:
        # Elsewhere it is the customer's.
        names = ["" if name == "name" else name for name in names]
    found: dict[str, Mapped] = {}
    for field, column in given.items():
        if column:
            place = _place_of(column, columns)
            found[field] = Mapped(field, columns[place], place, True)
    for field, known in FIELDS.items():
        if field in given:
            continue
        taken = {mapped.place for mapped in found.values()}
        places = [names.index(name) for name in known if name in names]
        if free := [place for place in places if place not in taken]:
            found[field] = Mapped(field, columns[free[0]], free[0], False)
    missing = [field for field in NEEDED if field not in found]
    if missing:
        there = ", ".join(column for column in columns if column)
        raise SenderError(
            f"No column is taken for {' and '.join(missing)}. There are: {there}.",
            f"Name it: --map {missing[0]}=COLUMN.",
        )
    return [found[field] for field in FIELDS if field in found]


def _place_of(column: str, columns: Sequence[str]) -> int:
    for same in (lambda name: name == column, lambda name: plain(name) == plain(column)):
        places = [place for place, name in enumerate(columns) if same(name)]
        if len(places) == 1:
            return places[0]
        if places:
            raise SenderError(
                f"{len(places)} columns are called {column!r}.", "Give each a name of its own."
            )
    near = difflib.get_close_matches(column, columns, n=1)
    raise SenderError(
        f"There is no column {column!r}.",
        f"Do you mean {near[0]!r}?" if near else f"There are: {', '.join(columns)}.",
    )
