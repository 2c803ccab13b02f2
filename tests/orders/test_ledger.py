"""Every order once, whatever the shop says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from doublet import models
from tests.factories import ACCOUNT, HOUR, NOON, SECOND, Pipeline, make_order, make_record
from tests.orders.ledgers import DAY, ledgers, make_purchase, orders, told


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


# Sums are gross, refunds, cancelled, net, pending.
CASES: dict[str, tuple[Sequence[bytes], dict[str, tuple[Any, ...]]]] = {
    "a Purchase alone": ([make_purchase()], {"EUR": ("sale", 100, 0, 0, 100, 0)}),
    "a reload": (
        [make_purchase(), make_purchase(40 * DAY)],
        {"EUR": ("sale", 100, 0, 0, 100, 0)},
    ),
    "another pixel": (
        [make_purchase(), make_purchase(SECOND, pixel_id="1000000000000002")],
        {"EUR": ("sale", 100, 0, 0, 100, 0)},
    ),
    "the shop's total wins over the event's": (
        [make_purchase(), make_order("placed", SECOND, value=95, currency="EUR")],
        {"EUR": ("sale", 95, 0, 0, 95, 0)},
    ),
    "also in another currency": (
        [make_purchase(currency="USD"), make_order("placed", -SECOND, value=95, currency="EUR")],
        {"EUR": ("sale", 95, 0, 0, 95, 0), "USD": ("sale", 0, 0, 0, 0, 0)},
    ),
    "an edit is the new total": (
        [make_purchase(), make_order("edited", DAY, value=120)],
        {"EUR": ("sale", 120, 0, 0, 120, 0)},
    ),
    "an edit into another currency ends the old total": (
        [make_purchase(), make_order("edited", DAY, value=120, currency="USD")],
        {"EUR": ("sale", 0, 0, 0, 0, 0), "USD": ("sale", 120, 0, 0, 120, 0)},
    ),
    "partial refunds": (
        [make_purchase(), *(make_order("refunded", n * DAY, value=30) for n in (1, 2))],
        {"EUR": ("sale", 100, 60, 0, 40, 0)},
    ),
    "the same refund twice": (
        [make_purchase(), *[make_order("refunded", DAY, value=30)] * 2],
        {"EUR": ("sale", 100, 30, 0, 70, 0)},
    ),
    "a full refund is what is left": (
        [make_purchase(), make_order("refunded", DAY, value=30), make_order("refunded", 2 * DAY)],
        {"EUR": ("sale", 100, 100, 0, 0, 0)},
    ),
    "a refund of more than was paid": (
        [make_purchase(), make_order("refunded", DAY, value=130)],
        {"EUR": ("sale", 100, 100, 0, 0, 0)},
    ),
    "a refund dated before the sale": (
        [make_purchase(), make_order("refunded", -HOUR, value=30)],
        {"EUR": ("sale", 100, 30, 0, 70, 0)},
    ),
    "a refund in a currency that was not paid": (
        [make_purchase(), make_order("refunded", DAY, value=30, currency="USD")],
        {"EUR": ("sale", 100, 0, 0, 100, 0), "USD": ("sale", 0, 0, 0, 0, 0)},
    ),
    "a refund of an unknown order": (
        [make_order("refunded", DAY, value=30)],
        {"": ("unknown", 0, 0, 0, 0, 0)},
    ),
    "a cancellation": (
        [make_purchase(), make_order("cancelled", DAY)],
        {"EUR": ("cancelled", 100, 0, 100, 0, 0)},
    ),
    "a cancellation after a refund is what is left": (
        [make_purchase(), make_order("refunded", DAY, value=30), make_order("cancelled", 2 * DAY)],
        {"EUR": ("cancelled", 100, 30, 70, 0, 0)},
    ),
    "a refund of what was cancelled": (
        [make_purchase(), make_order("cancelled", DAY), make_order("refunded", 2 * DAY, value=100)],
        {"EUR": ("cancelled", 100, 100, 0, 0, 0)},
    ),
    "a cancellation undone": (
        [make_purchase(), make_order("cancelled", DAY), make_order("reopened", 2 * DAY)],
        {"EUR": ("sale", 100, 0, 0, 100, 0)},
    ),
    "cash on delivery is pending": (
        [make_purchase(), make_order("cash_on_delivery", SECOND)],
        {"EUR": ("pending", 0, 0, 0, 0, 100)},
    ),
    "cash on delivery that was confirmed": (
        [
            make_order("cash_on_delivery", value=80, currency="EUR"),
            make_order("refunded", DAY, value=10),
            make_order("confirmed", 3 * DAY),
        ],
        {"EUR": ("sale", 80, 10, 0, 70, 0)},
    ),
    "cash on delivery that was refused": (
        [make_purchase(), make_order("cash_on_delivery", SECOND), make_order("refused", 5 * DAY)],
        {"EUR": ("refused", 0, 0, 0, 0, 0)},
    ),
    "a draft is no sale": (
        [make_order("drafted", value=50, currency="EUR")],
        {"EUR": ("draft", 0, 0, 0, 0, 0)},
    ),
    "a completed draft is one": (
        [make_order("drafted", value=50, currency="EUR"), make_order("completed", DAY)],
        {"EUR": ("sale", 50, 0, 0, 50, 0)},
    ),
    "split payments add up": (
        [make_order("paid", n * HOUR, value=n, currency="EUR", message_id=n) for n in (20, 30)],
        {"EUR": ("sale", 50, 0, 0, 50, 0)},
    ),
    "a deposit is no smaller order": (
        [make_purchase(), make_order("paid", HOUR, value=30, currency="EUR")],
        {"EUR": ("sale", 100, 0, 0, 100, 0)},
    ),
    "payments beat the first part that a Purchase told": (
        [
            make_purchase(value=60),
            *(make_order("paid", HOUR * n, value=n, currency="EUR") for n in (40, 60)),
        ],
        {"EUR": ("sale", 100, 0, 0, 100, 0)},
    ),
    "payments in two currencies stay apart": (
        [
            make_purchase(value=80),
            *(make_order("paid", value=30, currency=c) for c in ("EUR", "USD")),
        ],
        {"EUR": ("sale", 30, 0, 0, 30, 0), "USD": ("sale", 30, 0, 0, 30, 0)},
    ),
    "an order of a point of sale": (
        [make_order("placed", value=9, currency="JPY", action_source="physical_store")],
        {"JPY": ("sale", 9, 0, 0, 9, 0)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_order_counts_once(pipeline: Pipeline, case: str) -> None:
    records, expected = CASES[case]
    assert expected == told(pipeline, *records)
    assert all(row["net"] >= 0 for row in orders(pipeline))
    entries = pipeline.table("order_entries", "position")
    for row in orders(pipeline):
        own = [entry for entry in entries if entry["currency"] == row["currency"]]
        for name in ("gross", "refunds", "cancelled", "pending"):
            assert row[name] == sum(entry[name] for entry in own), name


def test_a_renewal_is_an_order_of_its_own_with_its_own_day(pipeline: Pipeline) -> None:
    renewed = make_order(
        "renewed", 30 * DAY, order_id="1001/2", parent_order_id="1001", value=10, currency="EUR"
    )
    told(pipeline, make_purchase(value=10), renewed)
    first, second = orders(pipeline)
    assert ("1001/2", "1001") == (second["order_id"], second["parent_order_id"])
    assert 30 == (second["ordered_at"] - first["ordered_at"]).days


def test_what_disagrees_is_shown(pipeline: Pipeline) -> None:
    told(
        pipeline,
        make_purchase(),
        make_purchase(SECOND, pixel_id="1000000000000002", value=95),
        make_order("placed", 2 * SECOND, value=95, currency="EUR"),
        make_order("refunded", DAY, value=130, message_id="a"),
        make_order("edited", 2 * DAY, value=50, message_id="b"),
        make_order("edited", 3 * DAY, value=40, message_id="b"),
    )
    flags = ("is_in_conflict", "is_capped", "is_total_below_refunds", "is_id_reused")
    found = [
        (entry["kind"], [flag for flag in flags if entry[flag]])
        for entry in pipeline.table("order_entries", "position")
    ]
    assert found == [
        ("purchase", ["is_in_conflict"]),
        ("purchase", []),
        ("placed", []),
        ("refunded", ["is_capped"]),
        ("edited", ["is_total_below_refunds", "is_id_reused"]),
    ]
    assert [3] == [row["conflicts"] for row in orders(pipeline)]


def test_corrections_belong_to_the_day_of_the_order(pipeline: Pipeline) -> None:
    late = NOON + 90 * DAY
    told(pipeline, make_purchase(), make_order("refunded", 60 * DAY, received_at=late, value=5))
    bought, refunded = pipeline.table("order_entries", "position")
    assert bought["ordered_at"] == refunded["ordered_at"] == bought["changed_at"]
    assert 60 == (refunded["changed_at"] - bought["changed_at"]).days
    assert 90 == (refunded["learned_at"] - bought["learned_at"]).days


def test_only_the_orders_that_are_touched_are_made_anew(pipeline: Pipeline) -> None:
    told(pipeline, *(make_purchase(n * SECOND, order_id=str(n)) for n in range(9)))
    # A mark that every order made anew loses.
    with pipeline.engine.transaction() as tx:
        tx.run("update orders set state = 'old'")
    told(
        pipeline,
        make_order("refunded", HOUR, order_id="3", value=1),
        make_purchase(HOUR, order_id="5"),
    )
    assert ["3", "5"] == [row["order_id"] for row in orders(pipeline) if row["state"] != "old"]


def test_an_event_that_gets_another_order_id_leaves_the_old_order(pipeline: Pipeline) -> None:
    def purchase(at: int, source: str, order_id: str) -> bytes:
        custom = {"value": 10, "currency": "EUR", "order_id": order_id}
        return make_record(NOON + at, source, event_id="e", custom_data=custom)

    told(pipeline, purchase(0, "server", "A"))
    # Within five minutes the browser's copy is preferred, and with it its order id.
    told(pipeline, purchase(SECOND, "browser", "B"))
    assert ["B"] == [row["order_id"] for row in orders(pipeline)]


def test_accounts_keep_orders_apart(pipeline: Pipeline) -> None:
    told(
        pipeline,
        make_purchase(),
        make_purchase(SECOND, account_id="act_2", pixel_id="1000000000000002"),
        make_order("refunded", HOUR, account_id="act_2"),
    )
    assert [(ACCOUNT, 100), ("act_2", 0)] == [(r["account_id"], r["net"]) for r in orders(pipeline)]


def test_an_order_of_many_messages_costs_no_more_than_they_are(pipeline: Pipeline) -> None:
    codes = [f"{a}{b}{c}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ" for c in "ABCDEFGHIJ"]
    told(
        pipeline,
        *(make_purchase(n, pixel_id=f"10000000000{n:05d}") for n in range(60)),
        *(make_order("paid", (60 + n) * SECOND, value=1, currency=c) for n, c in enumerate(codes)),
    )
    found = orders(pipeline)
    assert ["AAA", "AAB", "AAC", "AAD", "AAE", "AAF", "AAG", "EUR"] == [
        r["currency"] for r in found
    ]
    assert 50 == sum(row["purchases"] for row in found)


def test_compaction_changes_no_ledger(pipeline: Pipeline) -> None:
    for n in range(9):
        told(pipeline, make_order("placed", n * SECOND, order_id=str(n), value=n, currency="EUR"))
    before = ledgers(pipeline)
    table = pipeline.lake.order_messages
    for group in table.mergeable(models.seen_files(pipeline.engine)):
        made = table.replace(group, table.merge(pipeline.engine.connection.cursor(), group))
        models.adopt(pipeline.engine, made, [file.path for file in group])
    assert 1 == len(table.files())
    pipeline.refresh()
    # Files that somebody else compacted look new; their rows are recognised.
    with pipeline.engine.transaction() as tx:
        tx.run("delete from lake_files")
    pipeline.refresh()
    assert before == ledgers(pipeline)
    assert 9 == len(pipeline.table("order_copies", "log_offset"))
