"""An order's whole state as messages, for platforms that tell nothing else.

Each delivery tells what the order began as, what it is worth as of its last change, and whether it
stands; so each leads to the same ledger, whichever came before. What one message id names is always
the same, since an id holds whatever may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

from doublet.shops.contract import Resource
from doublet.shops.fields import plain, present


class Standing(NamedTuple):
    """An order as of `modified_at`; times as messages have them. `total` is before refunds,
    `parent_order_id` of a renewal. `confirmed_at` says when cash on delivery was paid, empty while
    it is not."""

    order_id: str
    kind: Literal["drafted", "placed", "renewed", "cash_on_delivery"]
    created_at: str
    modified_at: str
    total: Decimal
    currency: str
    action_source: str
    is_cancelled: bool
    confirmed_at: str = ""
    parent_order_id: str = ""


class Refund(NamedTuple):
    """Money that went back."""

    refund_id: str
    changed_at: str
    amount: Decimal


def messages_of(order: Standing) -> Iterator[Resource]:
    """What a delivery tells of an order, without refunds."""
    worth = {"value": plain(order.total), "currency": order.currency}
    is_worth = order.kind != "drafted"
    first = {
        "order_id": order.order_id,
        "kind": order.kind,
        "changed_at": order.created_at,
        **(worth if is_worth else {}),
        "parent_order_id": order.parent_order_id,
        # The total may have been edited since; each that was told is a message of its own.
        "message_id": "/".join((order.kind, *(reversed(worth.values()) if is_worth else ()))),
        "action_source": order.action_source,
    }
    yield present(first)
    if order.kind == "cash_on_delivery" and order.confirmed_at:
        yield _change(order, "confirmed", f"confirmed/{order.confirmed_at}", order.confirmed_at)
    yield _change(order, "edited", f"total/{order.modified_at}") | worth
    if order.is_cancelled:
        yield _change(order, "cancelled", f"cancelled/{order.modified_at}")
    elif order.modified_at != order.created_at:
        # Nothing tells whether it was cancelled before, so that each says that it stands.
        yield _change(order, "reopened", f"open/{order.modified_at}")


def refunds_of(
    order: Standing, refunds: list[Refund], is_fully_refunded: bool
) -> Iterator[Resource]:
    """A message for each refund with which money went back, and for what is left of an order that
    is said to be refunded fully."""
    left = order.total
    for refund in refunds:
        left -= refund.amount
        if refund.amount > 0:
            message_id = f"refund/{refund.refund_id}"
            yield _change(order, "refunded", message_id, refund.changed_at) | {
                "value": plain(refund.amount),
                "currency": order.currency,
            }
    if is_fully_refunded and left > 0:
        yield _change(order, "refunded", f"refunded/{order.modified_at}")


def _change(order: Standing, kind: str, message_id: str, changed_at: str = "") -> Resource:
    return {
        "order_id": order.order_id,
        "kind": kind,
        "changed_at": changed_at or order.modified_at,
        "message_id": message_id,
    }
