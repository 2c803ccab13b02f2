"""Events of the Conversions API, as every platform's module makes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from doublet.shops.contract import Resource
from doublet.shops.fields import present

PURCHASE_FRESH_S = 86_400
"""How long after an order was placed or paid its deliveries tell its Purchase. Two days after the
first copy, another one would be a Purchase of its own."""


class Item(NamedTuple):
    """What was bought: its id in the catalogue, how many, at what price each."""

    content_id: str
    quantity: object
    item_price: str


def wire_event(
    event_name: str,
    event_id: str,
    event_time: int,
    action_source: str,
    user_data: Resource,
    custom_data: Resource,
    url: str = "",
    referrer_url: str = "",
) -> Resource:
    """An event with its plain values; `url` is said of what happened on a website."""
    return present(
        {
            "event_name": event_name,
            "event_id": event_id,
            "event_time": event_time,
            "action_source": action_source,
            "event_source_url": url if action_source == "website" else None,
            "referrer_url": referrer_url,
            "user_data": present(user_data),
            "custom_data": present(custom_data),
        }
    )


def contents(items: Iterable[Item], is_group: bool) -> Resource:
    """`content_ids`, `contents` and `content_type` of what was bought, as far as it has ids; they
    are those of groups of variants when `is_group`."""
    known = [item for item in items if item.content_id]
    if not known:
        return {}
    return {
        "content_ids": [item.content_id for item in known],
        "contents": [
            present(
                {"id": item.content_id, "quantity": item.quantity, "item_price": item.item_price}
            )
            for item in known
        ],
        "content_type": "product_group" if is_group else "product",
    }
