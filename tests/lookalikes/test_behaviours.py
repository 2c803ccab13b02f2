"""Lookalikes read the warehouse's own table of behaviours, of events that came in over the wire."""

from __future__ import annotations

from pathlib import Path

import msgspec

from doublet.demo.market import in_order, into_log, lives, read_market
from doublet.lookalikes import LookalikeSpec, make_lookalike
from tests.factories import ACCOUNT, NOON, PIXEL, Pipeline
from tests.lookalikes.shop import COLUMNS, DAY_S

DAYS = 40


def test_the_table_is_the_one_that_tests_and_benchmarks_make(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    found = {
        row["column_name"]: row["column_type"].lower()
        for row in pipeline.engine.query("select * from (describe behaviours)")
    }
    pipeline.close()
    types = {"timestamptz": "timestamp with time zone"}
    for column in COLUMNS.replace("(18,4)", "").split(", "):
        name, kind = column.split(" ")
        assert types.get(kind, kind) == found[name].partition("(")[0], name


def test_a_market_that_came_in_over_the_wire_has_lookalikes(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    market = msgspec.structs.replace(read_market(), taste_effect=0.8)
    told = lives(market, 3, range(700), NOON - DAYS * DAY_S * 1_000_000, DAYS)
    into_log(in_order(told), pipeline.log, ACCOUNT, PIXEL)
    pipeline.refresh()
    now_s = NOON // 1_000_000

    def buyers(at_s: int) -> list[int]:
        rows = pipeline.engine.query(
            "select distinct person_id from behaviours where event_name = 'Purchase' "
            "and event_time <= $at and person_id is not null",
            {"at": at_s},
        )
        return [row["person_id"] for row in rows]

    seed = buyers(now_s)
    assert len(seed) > 100
    found = make_lookalike(
        pipeline.engine, ACCOUNT, seed, None, LookalikeSpec(0.05), now_s, seed_at=buyers
    )
    everyone = {
        row["person_id"]
        for row in pipeline.engine.query(
            "select distinct person_id from behaviours where person_id is not null "
            "and event_time <= $now",
            {"now": now_s},
        )
    }
    pipeline.close()
    assert len(everyone) == found.figures.population
    assert round(0.05 * len(everyone)) == len(found.members)
    assert set(found.members.tolist()) <= everyone - set(seed)
    # Products by name are among the tastes.
    assert found.figures.items >= 6
