"""The ledger beside the books of a simulated shop, whose orders are truly known."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import msgspec

from doublet.demo.market import Life, in_order, lives, read_market, records
from doublet.demo.market.story import Order
from tests.factories import ACCOUNT, NOON, PIXEL, Pipeline, make_order
from tests.orders.ledgers import DAY, at, orders

SEED = 5
PERSONS = 1500


def said(order: Order) -> list[bytes]:
    """What the shop says about an order: that it was placed, edited, refunded."""
    told = [("placed", order.ordered_at, order.value_cents)]
    total = order.value_cents
    for change in order.changes:
        if change.kind == "edit":
            total += change.amount_cents
            told.append(("edited", change.happened_at, total))
        else:
            told.append(("refunded", change.happened_at, -change.amount_cents))
    return [
        make_order(
            kind,
            happened_at - NOON,
            NOON + 60 * DAY,
            order_id=order.order_id,
            value=cents / 100,
            currency=order.currency,
        )
        for kind, happened_at, cents in told
        if cents
    ]


def test_the_ledger_agrees_with_the_books_whatever_is_lost_or_repeated(tmp_path: Path) -> None:
    market = msgspec.structs.replace(read_market(), refund_share=0.3, edit_share=0.3)
    people: list[Life] = list(lives(market, SEED, range(PERSONS), NOON, 5.0))
    books = [order for life in people for order in life.story.orders]
    pipeline = Pipeline(tmp_path)
    pipeline.append(list(records(in_order(people), ACCOUNT, PIXEL, 0, 0)))
    pipeline.refresh()
    by_events = {row["order_id"]: row["net"] for row in orders(pipeline)}
    # Every message comes, some twice or three times, in any order, in two parts.
    chance = random.Random(SEED)
    messages = [message for order in books for message in said(order)]
    messages += chance.sample(messages, len(messages) // 3)
    chance.shuffle(messages)
    stamped = [at(message, NOON + 60 * DAY + n) for n, message in enumerate(messages)]
    for part in (stamped[::2], stamped[1::2]):
        pipeline.append(part, slot=1)
        pipeline.refresh()
    found = {row["order_id"]: row["net"] for row in orders(pipeline)}
    pipeline.close()
    assert len(books) > 80
    assert sum(len(order.changes) for order in books) > 40
    assert {order.order_id: Decimal(order.net_cents) / 100 for order in books} == found
    # Events alone miss some orders, and know of no refund; but none of them is counted twice.
    assert by_events.keys() < found.keys()
    truth = {order.order_id: Decimal(order.value_cents) / 100 for order in books}
    assert by_events.items() <= truth.items()
    assert sum(by_events.values()) > sum(found[order_id] for order_id in by_events)
