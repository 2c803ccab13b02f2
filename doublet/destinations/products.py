"""What an event was about and what it was worth, for platforms with names of their own."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, NamedTuple

from doublet.destinations.contract import Outgoing
from doublet.destinations.encoding import number

_decimal = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?").fullmatch


class Product(NamedTuple):
    """One entry of `contents`, or one of `content_ids` alone. `quantity` is an integer, `price` a
    plain decimal of one piece in the event's currency; None where nothing readable was said."""

    id: str
    quantity: int | None = None
    price: str | None = None
    name: str | None = None
    brand: str | None = None
    category: str | None = None


def products(event: Outgoing) -> list[Product]:
    """The products of `contents`, or else of `content_ids`; entries without an id are left out."""
    contents = event.custom_data.get("contents")
    if isinstance(contents, list) and contents:
        found = [_product(entry) for entry in contents if isinstance(entry, dict)]
    else:
        ids = event.custom_data.get("content_ids")
        found = [Product(text(id) or "") for id in (ids if isinstance(ids, list) else [ids])]
    return [product for product in found if product.id]


def _product(entry: dict[str, Any]) -> Product:
    return Product(
        text(entry.get("id")) or "",
        integer(entry.get("quantity")),
        decimal_text(entry.get("item_price")),
        *(text(entry.get(key)) for key in ("title", "brand", "category")),
    )


def text(value: object) -> str | None:
    """A text, or an integer as one; None for all else."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def decimal_text(value: object) -> str | None:
    """A number of JSON, or a text that is one, as a plain decimal; None for all else.

    >>> decimal_text("49.9000"), decimal_text(1e3), decimal_text(7), decimal_text("7,50")
    ('49.9', '1000', '7', None)
    """
    if isinstance(value, float) and math.isfinite(value):
        value = f"{Decimal(repr(value)):f}"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _decimal(value):
        return None
    return value.rstrip("0").rstrip(".") if "." in value else value


def amount(value: object) -> Any:
    """The same as a number of JSON with just its digits, or None."""
    decimal = decimal_text(value)
    return None if decimal is None else number(decimal)


def integer(value: object) -> int | None:
    """The same where it is whole, or None."""
    decimal = decimal_text(value)
    return None if decimal is None or "." in decimal else int(decimal)


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something: neither None nor an empty list, text or object."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value != "" and value != [] and value != {}
    }


def touch(event: Outgoing, key: str) -> str | None:
    """The click id of that name in the visitor's last ad click, None where there is none."""
    last = event.extra.get("touch")
    found = last.get(key) if isinstance(last, dict) else None
    return found if isinstance(found, str) else None
