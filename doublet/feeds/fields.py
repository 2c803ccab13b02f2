"""One row of a feed as a product: what its fields are called, and what may stand in them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from doublet.catalog.products import Product
from doublet.imports.values import Decimals, Unclear, read_currency, read_sum
from doublet.products import clean_category

_ID_LENGTH_MAX = 100
_TITLE_LENGTH_MAX = 500
_CATEGORY_LENGTH_MAX = 750
_BRAND_LENGTH_MAX = 100
_LINK_LENGTH_MAX = 2000
_AVAILABILITY_LENGTH_MAX = 32

_NAMES: dict[str, tuple[str, ...]] = {
    "product_id": ("id", "retailer_id", "content_id", "product_id", "item_id"),
    "item_group_id": ("item_group_id", "retailer_product_group_id"),
    "title": ("title", "name"),
    "category": ("product_type", "google_product_category", "fb_product_category", "category"),
    "brand": ("brand", "vendor"),
    "price": ("price",),
    "currency": ("currency",),
    "availability": ("availability",),
    "link": ("link", "url"),
    "image_link": ("image_link", "image[0].url", "image_url"),
}
"""What each field is called in feeds; the first that says something counts."""

_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}
_RANK_OF = {name: n for names in _NAMES.values() for n, name in enumerate(names)}
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search
_controls = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class FieldError(ValueError):
    """A field that cannot be read: its column, a stable `reason` and what to write. It never holds
    what is in the field."""

    def __init__(self, column: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.reason = reason


class Reading(NamedTuple):
    """Whose products they are, in which currency prices are that name none, and which sign stands
    before decimals where that is not plain."""

    account_id: str
    currency: str
    decimals: Decimals = ""


def name_of(heading: str) -> str:
    """A column's or element's name as the other feeds write it.

    >>> name_of("Google product category"), name_of("g:id"), name_of("IMAGE_LINK")
    ('google_product_category', 'id', 'image_link')
    """
    plain = re.sub(r"[\s_-]+", "_", heading.strip().strip("\ufeff").lower())
    return plain.removeprefix("g:")


def is_known(name: str) -> bool:
    """Whether a feed's field is one that is kept."""
    return name in _FIELD_OF


def product_of(values: Mapping[str, Any], reading: Reading) -> Product:
    """The product that a row names. Raises FieldError."""
    said: dict[str, str] = {}
    ranks: dict[str, int] = {}
    for heading, value in values.items():
        name = name_of(heading)
        field, rank = _FIELD_OF.get(name), _RANK_OF.get(name, 0)
        text = _text(value)
        if field and text and rank < ranks.get(field, len(_FIELD_OF)):
            said[field], ranks[field] = text, rank
    return Product(
        reading.account_id,
        _id(said.get("product_id", ""), "id", is_needed=True),
        _id(said.get("item_group_id", ""), "item_group_id"),
        _words(said, "title", _TITLE_LENGTH_MAX),
        clean_category(_controls.sub(" ", said.get("category", "")))[:_CATEGORY_LENGTH_MAX],
        _words(said, "brand", _BRAND_LENGTH_MAX),
        *_price(said.get("price", ""), said.get("currency", ""), reading),
        _availability(said.get("availability", "")),
        _link(said.get("link", "")),
        _link(said.get("image_link", "")),
    )


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return ""
    return str(value).strip()


def _id(text: str, column: str, *, is_needed: bool = False) -> str:
    if is_needed and not text:
        raise FieldError(column, "id", "It has no id; give the one that events name it by.")
    if len(text) > _ID_LENGTH_MAX or _has_control(text):
        raise FieldError(
            column, "id", f"An id has at most {_ID_LENGTH_MAX} characters, all of them printable."
        )
    return text


def _words(said: Mapping[str, str], name: str, length: int) -> str:
    return " ".join(_controls.sub(" ", html.unescape(said.get(name, ""))).split())[:length]


_WORDS_OF_STOCK = {"true": "in_stock", "yes": "in_stock", "false": "out_of_stock"}


def _availability(text: str) -> str:
    word = re.sub(r"[\s-]+", "_", _controls.sub(" ", text).lower())
    return _WORDS_OF_STOCK.get(word, word)[:_AVAILABILITY_LENGTH_MAX]


def _link(text: str) -> str:
    fits = text.lower().startswith(("http://", "https://")) and len(text) <= _LINK_LENGTH_MAX
    return text if fits and not _has_control(text) else ""


def _price(text: str, currency: str, reading: Reading) -> tuple[str, str]:
    """The amount as plain decimals, and its currency; two empty texts where there is none."""
    if not text:
        return "", ""
    found = _clear("price", lambda: read_sum(text, reading.decimals))
    if found.currencies and reading.currency in found.currencies:
        code = reading.currency
    elif len(found.currencies) == 1:
        (code,) = found.currencies
    elif found.currencies:
        raise FieldError("price", "currency", "Its sign stands for several; write 49.90 USD.")
    else:
        code = _clear("currency", lambda: read_currency(currency)) if currency else reading.currency
    return _plain(found.amount), code


def _clear(column: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Unclear as unclear:
        raise FieldError(column, unclear.reason, str(unclear)) from unclear


def _plain(amount: Decimal) -> str:
    if amount < 0 or amount >= 10**14:
        raise FieldError("price", "value", "A price is not below zero, and below 10^14.")
    text = format(amount.quantize(Decimal("0.0001")), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
