"""While conversions come and go, the rows of every report still add up to its totals."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from doublet.engine.duckdb import DuckDBEngine
from doublet.reports.registry import REPORTS
from tests.reports.world import RATES, SHOP, fill, random_world

ZERO = Decimal(0)
ROUNDS = 12


def _sum(rows: list[Any], name: str) -> Any:
    return sum((getattr(row, name) or 0 for row in rows), ZERO)


def _campaigns(report: Any) -> None:
    for n, total in enumerate(report.total.results):
        own = [row.results[n] for row in report.rows]
        assert (total.conversions, total.value) == (_sum(own, "conversions"), _sum(own, "value"))
    assert 1 == len({result.conversions for result in report.total.results})


def _windows(report: Any) -> None:
    for n, claimed in enumerate(report.claimed.results):
        own = [row.results[n] for row in report.rows if row.is_attributed]
        if claimed.is_observable:
            assert claimed.conversions == _sum(own, "conversions")


def _times(report: Any) -> None:
    for touch in ("first", "last"):
        rows = [row for row in report.rows if row.from_touch == touch]
        assert report.touched == _sum(rows, "conversions")
    assert report.untouched >= 0


def _credits(report: Any) -> None:
    shares: dict[Any, Decimal] = defaultdict(Decimal)
    for row in report.rows:
        shares[row.event_at, row.order_id, row.person_id] += row.share
    assert all(share == share.to_integral_value() for share in shares.values())


def _differences(report: Any) -> None:
    for row in report.rows:
        assert row.theirs - row.ours == _sum(row.parts, "conversions")
        if row.theirs_value is None:
            assert {None} == {part.value for part in row.parts}
        else:
            assert row.theirs_value - row.ours_value == _sum(row.parts, "value")


def _totals(*names: str, of: Callable[[Any], Any] = lambda report: report) -> Callable[..., None]:
    def check(report: Any) -> None:
        for name in names:
            assert getattr(of(report), name) == _sum(report.rows, name)

    return check


CHECKS: dict[str, Callable[[Any], None]] = {
    "campaigns": _campaigns,
    "windows": _windows,
    "credits": _credits,
    "paths": _totals("conversions", "value"),
    "time_to_conversion": _times,
    "cohorts": _totals("orders", "value"),
    "new_returning": _totals("new_orders", "returning_orders", "new_value", "unknown_value"),
    "server_extra": _totals("conversions", "extra", "extra_attributed", "value", "extra_value"),
    "refunds": _totals("orders", "gross", "net", of=lambda report: report.total),
    "differences": _differences,
}


@pytest.mark.parametrize("name", list(CHECKS))
def test_rows_add_up_while_the_tables_change(engine: DuckDBEngine, name: str) -> None:
    world = random_world(11, events=150)
    for row in world.ad_days:
        row["reported"] = json.dumps({"purchase": {"value": {"count": "3", "value": "30"}}})
    fill(engine, world)
    engine.connection.execute("create or replace table kept as from conversions")
    stop = threading.Event()
    turns: list[int] = []

    def change() -> None:
        while not stop.is_set():
            part = len(turns) % 3
            with engine.transaction() as tx:
                tx.run("delete from conversions")
                tx.run(f"insert into conversions from kept where event_key % 3 <> {part}")
            turns.append(part)

    writer = threading.Thread(target=change)
    writer.start()
    report = REPORTS[name]
    seen: set[str] = set()
    rounds = 0
    try:
        while rounds < ROUNDS or (len(seen) < 2 and rounds < 50 * ROUNDS):
            rounds += 1
            answer = report.make(engine, SHOP, RATES, report.asked())
            CHECKS[name](answer)
            seen.add(str(answer.rows))
    finally:
        stop.set()
        writer.join()
    assert len(turns) > 1
    assert len(seen) > 1, "nothing changed meanwhile"
