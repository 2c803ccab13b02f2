"""The ledger is the same in whatever order the messages arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet.accept import KINDS
from tests.factories import NOON, SECOND, Pipeline, make_order
from tests.orders.ledgers import AMOUNTS, DAY, amounts, at, ledgers, make_purchase, orders
from tests.orders.oracle import ORDER, expected


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def realistic(order_id: str) -> list[bytes]:
    """What a shop says about one order, and again; by the order's own time."""
    return [
        make_order("placed", -SECOND, order_id=order_id, value=95, currency="EUR", message_id="p"),
        make_order("refunded", 2 * DAY, order_id=order_id, value=30, message_id="r1"),
        make_order("edited", DAY, order_id=order_id, value=120, message_id="e"),
        make_order("refunded", 3 * DAY, order_id=order_id, value=200, message_id="r2"),
        make_order("edited", 4 * DAY, order_id=order_id, value=130, message_id="e2"),
        make_order("cancelled", 5 * DAY, order_id=order_id, message_id="c"),
    ]


def test_every_order_of_arrival_gives_the_same_ledger(pipeline: Pipeline) -> None:
    """Each of the 720 permutations is an order of its own; its messages come one per refresh."""
    ways = list(permutations(range(6)))
    said = {way: realistic(str(n)) for n, way in enumerate(ways)}
    pipeline.append(
        [make_purchase(n, order_id=str(n), event_time=NOON // SECOND) for n in range(720)]
    )
    for step in range(6):
        received_at = NOON + (10 + step) * DAY
        pipeline.append([at(said[way][way[step]], received_at + n) for n, way in enumerate(ways)])
        pipeline.refresh()
    rows, entries = ledgers(pipeline)
    assert 720 == len(rows)
    assert {("cancelled", 130, 120, 10, 0, 0)} == {amounts(row) for row in rows}
    by_order: dict[str, list[str]] = {}
    for entry in entries:
        by_order.setdefault(entry.pop("order_id"), []).append(json.dumps(entry, default=str))
    assert 720 == len(by_order)
    assert 1 == len({tuple(ledger) for ledger in by_order.values()})
    before = ledgers(pipeline)
    pipeline.rebuild(500)
    assert before == ledgers(pipeline)


def _said(kind: str, value: int | None, currency: str | None) -> dict[str, Any]:
    need = next(known.value for known in KINDS if known.name == kind)
    fields: dict[str, Any] = {"kind": kind, "currency": currency}
    if need == "needed" or (need == "optional" and value):
        fields["value"] = value or 70
    if kind in ("placed", "renewed", "paid"):
        fields["currency"] = currency or "EUR"
    if kind == "renewed":
        fields["parent_order_id"] = "1000"
    return fields


_messages = st.builds(
    lambda kind, value, currency, days, message_id: make_order(
        at=days * DAY,
        received_at=NOON + 9 * DAY,
        message_id=message_id,
        **_said(kind, value, currency),
    ),
    st.sampled_from([kind.name for kind in KINDS] + ["refunded", "edited", "placed"]),
    st.sampled_from([None, 10, 30, 100]),
    st.sampled_from([None, "EUR", "EUR", "USD"]),
    st.integers(-1, 3),
    st.sampled_from([None, "a", "b", "c", "d", "e", "f"]),
)
_purchases = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([60, 100]), st.sampled_from(["EUR", "USD"])),
    max_size=2,
    unique_by=lambda purchase: purchase[0],
)


def test_kinds_are_listed_in_the_order_in_which_they_count() -> None:
    assert [kind.name for kind in KINDS] == [kind for kind in ORDER if kind != "purchase"]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    records=st.lists(_messages, min_size=1, max_size=8),
    purchases=_purchases,
    order=st.randoms(use_true_random=False),
    parts=st.integers(1, 3),
)
def test_the_ledger_is_the_fold_of_the_set_of_messages(
    records: list[bytes], purchases: list[Any], order: Any, parts: int
) -> None:
    with TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder), rows_max=3)
        events = [
            make_purchase(
                5 * DAY + n,
                value,
                currency,
                event_time=(NOON + n * DAY) // SECOND,
                pixel_id=f"100000000000000{n}",
            )
            for n, value, currency in purchases
        ]
        shuffled = records + events + order.sample(records, len(records) // 2)
        order.shuffle(shuffled)
        received = [at(record, NOON + 6 * DAY + n) for n, record in enumerate(shuffled)]
        for part in range(parts):
            if received[part::parts]:
                pipeline.append(received[part::parts], slot=part)
                pipeline.refresh()
        state, sums = expected(records, purchases)
        found = orders(pipeline)
        assert sums == {row["currency"]: [row[name] for name in AMOUNTS] for row in found}
        assert {state} == {row["state"] for row in found}
        before = ledgers(pipeline)
        pipeline.rebuild(5)
        assert before == ledgers(pipeline)
        pipeline.close()
