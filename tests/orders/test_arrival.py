"""The ledger is the same in whatever order the messages arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet import models
from doublet.accept import KINDS
from tests.factories import NOON, SECOND, Pipeline, make_order
from tests.orders.ledgers import AMOUNTS, DAY, amounts, at, ledgers, make_purchase, orders


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
    models.rebuild(
        pipeline.engine, pipeline.lake.events, 500, messages=pipeline.lake.order_messages
    )
    assert before == ledgers(pipeline)


_TOTALS = ("drafted", "placed", "renewed", "cash_on_delivery", "completed", "confirmed", "edited")
_ORDER = (
    "drafted placed renewed purchase cash_on_delivery completed paid confirmed edited refunded "
    "refused cancelled reopened".split()
)


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


def _expected(records: list[bytes], purchases: list[Any]) -> tuple[str, dict[str, list[Decimal]]]:
    """The rules of docs/orders.md, written a second time as plainly as possible: the state, and by
    currency gross, refunds, cancelled, net and pending."""
    by_id: dict[str, dict[str, Any]] = {}
    for said in map(msgspec.json.decode, records):
        known = by_id.get(said["message_id"], said)
        by_id[said["message_id"]] = max(
            said, known, key=lambda one: (one["changed_at"], one["message_key"])
        )
    facts = list(by_id.values()) + [
        {
            "kind": "purchase",
            "changed_at": NOON + n * DAY,
            "message_id": "",
            "value": v,
            "currency": c,
        }
        for n, v, c in purchases
    ]
    facts.sort(key=lambda f: (f["changed_at"], _ORDER.index(f["kind"]), f["message_id"]))

    def lends(fact: dict[str, Any]) -> bool:
        is_total = fact["kind"] in _TOTALS and "value" in fact
        return "currency" in fact and (is_total or fact["kind"] in ("paid", "purchase"))

    for n, fact in enumerate(facts):
        near = [*filter(lends, facts[n::-1]), *filter(lends, facts[n:])]
        fact["in"] = fact.get("currency") or next((one["currency"] for one in near), "")
        fact["sum"] = Decimal(fact["value"]) if "value" in fact else None

    stated: dict[str, Decimal] | None = None
    bought: dict[str, Decimal] = {}
    paid: dict[str, Decimal] = {}
    totals: list[dict[str, Decimal] | None] = []
    for fact in facts:
        kind, unit, amount = fact["kind"], fact["in"], fact["sum"]
        if kind in _TOTALS and amount is not None:
            stated = {unit: amount}
        elif kind == "purchase" and not bought:
            bought = {unit: amount}
        elif kind == "paid":
            paid[unit] = paid.get(unit, Decimal(0)) + amount
        told = paid if paid.keys() - bought.keys() else {**bought, **paid}
        told = {
            c: max(told[c], bought.get(c, Decimal(0)) if told is not paid else told[c])
            for c in told
        }
        totals.append(stated or told or None)
    refunded = dict.fromkeys({fact["in"] for fact in facts}, Decimal(0))
    for n, fact in enumerate(facts):
        ceilings = next((total for total in totals[n:] if total is not None), {})
        ceilings = totals[n] or ceilings
        for unit in refunded:
            more, ceiling = Decimal(0), ceilings.get(unit, Decimal(0))
            if fact["kind"] == "refunded" and fact["in"] == unit:
                more = ceiling if fact["sum"] is None else fact["sum"]
            refunded[unit] = min(refunded[unit] + more, ceiling)

    last = {fact["kind"]: n + 1 for n, fact in enumerate(facts)}
    state = "sale" if totals[-1] is not None else "unknown"
    if "cash_on_delivery" in last and "confirmed" not in last:
        state = "pending"
    if "drafted" in last and not last.keys() & {"placed", "renewed", "completed"}:
        state = "draft"
    is_counted = state == "sale"
    if is_cancelled := last.get("cancelled", 0) > last.get("reopened", 0):
        state = "cancelled"
    if last.get("refused", 0) > max(last.get("confirmed", 0), last.get("reopened", 0)):
        state, is_counted = "refused", False
    sums = {}
    for unit, back in refunded.items():
        total, nothing = (totals[-1] or {}).get(unit, Decimal(0)), Decimal(0)
        left = total - back
        sums[unit] = (
            [
                total,
                back,
                left if is_cancelled else nothing,
                nothing if is_cancelled else left,
                nothing,
            ]
            if is_counted
            else [nothing] * 4 + [left if state == "pending" else nothing]
        )
    return state, sums


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
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
        state, sums = _expected(records, purchases)
        found = orders(pipeline)
        assert sums == {row["currency"]: [row[name] for name in AMOUNTS] for row in found}
        assert {state} == {row["state"] for row in found}
        before = ledgers(pipeline)
        models.rebuild(
            pipeline.engine, pipeline.lake.events, 5, messages=pipeline.lake.order_messages
        )
        assert before == ledgers(pipeline)
        pipeline.close()
