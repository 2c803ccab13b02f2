"""The difference report: each rule by hand, and parts that add up whatever there is."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.engine.duckdb import DuckDBEngine
from doublet.reports.differences import (
    PARTS,
    DifferenceRow,
    DifferencesAsked,
    differences,
    part_rows,
    portions,
)
from tests.reports.tables import COUNTED
from tests.reports.world import DAY_S, RATES, SHOP, WORLDS, World, fill, random_world

ZERO = Decimal(0)
DAY = date(2026, 5, 29)
ASKED = DifferencesAsked(since=DAY, until=DAY)


def report_day(world: World, windows: dict[str, Any], day: date = DAY, **fields: Any) -> None:
    """What Meta reports of campaign 7 on a day, as count and value by window."""
    figures = {
        name: {"count": str(count), "value": str(value)} for name, (count, value) in windows.items()
    }
    world.ad_days.append(
        {
            "account_id": SHOP.account_id,
            "platform": "meta",
            "level": "campaign",
            "campaign_id": "7",
            "date": day,
            "currency": "EUR",
            "reported": json.dumps({"purchase": figures}),
            **COUNTED,
            **fields,
        }
    )


def parts(row: DifferenceRow) -> dict[str, int]:
    """The parts that are not zero."""
    assert list(PARTS) == [part.part for part in row.parts]
    return {part.part: int(part.conversions) for part in row.parts if part.conversions}


def clicked(at_s: int = 0, **fields: Any) -> World:
    """A person who clicked on campaign 7; START is 22:26 on the 28th, so an hour is the 28th."""
    world = World()
    world.touch(1, at_s, campaign_id="7", **fields)
    return world


def only(engine: DuckDBEngine, world: World, asked: DifferencesAsked = ASKED) -> DifferenceRow:
    fill(engine, world)
    (row,) = differences(engine, SHOP, RATES, asked).rows
    return row


def test_figures_that_agree_leave_nothing(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 7200, "10")
    report_day(world, {"value": (1, 10), "7d_click": (1, 10)})
    row = only(engine, world)
    assert [1, 1, 0] == [int(row.theirs), int(row.ours), int(row.difference)]
    assert {} == parts(row)
    assert (Decimal(10), Decimal(10)) == (row.theirs_value, row.ours_value)


def test_a_longer_window_is_named(engine: DuckDBEngine) -> None:
    world = clicked(-3 * DAY_S)
    world.convert(1, 7200)
    report_day(world, {"7d_click": (1, 10)})
    row = only(engine, world, DifferencesAsked(since=DAY, until=DAY, setting="1d_click"))
    assert [1, 0] == [int(row.theirs), int(row.ours)]
    assert {"window": 1} == parts(row)


def test_views_are_what_the_platform_says(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 7200)
    report_day(world, {"value": (6, 60), "7d_click": (1, 10), "1d_view": (5, 50)})
    row = only(engine, world)
    assert {"view_through": 5} == parts(row)
    assert "not observable" in row.parts[1].meaning
    # What a log shows of them is no difference.
    world.touch(2, 0, kind="view", campaign_id="7")
    world.convert(2, 7200)
    row = only(engine, world)
    assert 2 == int(row.ours)
    assert {"view_through": 4} == parts(row)


def test_hours_of_another_zone_are_named(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 60)
    report_day(world, {"7d_click": (1, 10)}, time_zone="Asia/Tokyo")
    row = only(engine, world)
    assert 0 == int(row.ours)
    assert {"time_zone": 1} == parts(row)


def test_copies_that_only_an_order_id_joins_are_two_for_the_platform(
    engine: DuckDBEngine,
) -> None:
    world = clicked()
    world.convert(1, 7200, "10")
    event = world.conversions[0]
    world.joins.append(
        {
            "rule": "order_id",
            "pixel_id": event["pixel_id"],
            "root_key": event["event_key"],
            "root_at": event["anchor_at"],
        }
    )
    # Another pixel's event of the same key is another event.
    world.joins.append({**world.joins[0], "pixel_id": "1000000000000009"})
    report_day(world, {"7d_click": (2, 20)})
    row = only(engine, world)
    assert {"deduplication": 1} == parts(row)
    assert Decimal(10) == row.parts[3].value


def test_a_platform_may_claim_what_nobody_claims_here(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 7200)
    world.convert(2, 7200)
    world.convert(3, 7200)
    report_day(world, {"7d_click": (2, 20)})
    assert {"unattributed": 1} == parts(only(engine, world))
    world.ad_days.clear()
    report_day(world, {"7d_click": (9, 90)})
    row = only(engine, world)
    assert {"unattributed": 2, "unexplained": 6} == parts(row)
    assert 2 == differences(engine, SHOP, RATES, ASKED).unattributed


def test_what_is_reported_less_is_left_unexplained(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 7200)
    report_day(world, {"value": (0, 0)})
    assert {"unexplained": -1} == parts(only(engine, world))


def test_other_currencies_are_converted_or_named(engine: DuckDBEngine) -> None:
    world = clicked()
    report_day(world, {"7d_click": (1, 10)}, currency="USD")
    assert Decimal(9) == only(engine, world).theirs_value
    world.ad_days.clear()
    report_day(world, {"7d_click": (1, 10)}, currency="JPY")
    assert only(engine, world).theirs_value is None
    assert ["JPY"] == differences(engine, SHOP, RATES, ASKED).without_rate


def test_a_value_that_is_not_told_is_no_zero(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 7200, "10")
    report_day(world, {}, reported='{"purchase": {"value": {"count": "3"}}}')
    row = only(engine, world)
    assert (3, 1, Decimal(10)) == (int(row.theirs), int(row.ours), row.ours_value)
    assert [None] * 8 == [
        row.theirs_value,
        row.difference_value,
        *(part.value for part in row.parts),
    ]
    # Where one of its days has none, that of all is not known.
    report_day(world, {"value": (1, 10)}, DAY + timedelta(days=1))
    assert only(engine, world, DifferencesAsked(since=DAY)).theirs_value is None


def test_days_that_a_platform_told_nothing_of_are_not_compared(engine: DuckDBEngine) -> None:
    world = clicked()
    for day in range(6):
        world.convert(1, day * DAY_S + 7200, "10")
    report_day(world, {"value": (1, 10)}, DAY + timedelta(days=1))
    report_day(world, {"value": (1, 10)}, DAY + timedelta(days=3), campaign_id="8")
    # The other platform has told of all days that are asked for.
    world.touch(2, 0, "tiktok", campaign_id="9")
    world.convert(2, 7200)
    for day in range(5):
        report_day(world, {"value": (0, 0)}, DAY + timedelta(days=day), platform="tiktok")
    fill(engine, world)
    found = {row.platform: row for row in differences(engine, SHOP, RATES, DifferencesAsked()).rows}
    meta, other = found["meta"], found["tiktok"]
    assert (DAY + timedelta(days=1), DAY + timedelta(days=3)) == (meta.first_day, meta.last_day)
    assert (3, 2) == (int(meta.ours), int(meta.theirs))
    assert (DAY, DAY + timedelta(days=4)) == (other.first_day, other.last_day)
    assert 1 == int(other.ours)


@pytest.mark.parametrize(
    "text", ['{"purchase": {"7d_click": {"count": "NaN"}}}', '{"lead": {}}', "[]"]
)
def test_what_makes_no_sense_counts_nothing(engine: DuckDBEngine, text: str) -> None:
    world = clicked()
    report_day(world, {}, reported=text)
    fill(engine, world)
    report = differences(engine, SHOP, RATES, ASKED)
    assert ZERO == sum((row.theirs for row in report.rows), ZERO)


def test_without_any_report_there_is_no_row(engine: DuckDBEngine) -> None:
    world = clicked()
    world.convert(1, 7200)
    fill(engine, world)
    assert [] == differences(engine, SHOP, RATES, ASKED).rows


@given(
    st.decimals(0, 1000, places=2),
    st.dictionaries(st.integers(0, 9), st.decimals(-50, 50, places=2), max_size=6),
)
def test_portions_never_exceed_wishes_or_the_pool(
    pool: Decimal, wishes: dict[int, Decimal]
) -> None:
    found = portions(pool, wishes, Decimal("0.01"))
    whole = sum((wish for wish in wishes.values() if wish > 0), ZERO)
    assert min(pool, whole) == sum(found.values(), ZERO)
    assert all(ZERO <= part <= wishes[key] + Decimal("0.01") for key, part in found.items())


def test_a_wish_below_a_whole_unit_is_not_exceeded() -> None:
    wishes = {"a": Decimal("0.5"), "b": Decimal("0.6")}
    assert {"a": ZERO, "b": Decimal("0.6")} == portions(Decimal(1), wishes, Decimal(1))


@WORLDS
@given(
    st.integers(0, 10**6),
    st.sampled_from(["7d_click,1d_ev,1d_view", "1d_click", "28d_click,1d_view"]),
    st.sampled_from(["7d_click,1d_ev,1d_view", "7d_click", "1d_view"]),
    st.booleans(),
)
def test_the_parts_add_up_exactly(
    engine: DuckDBEngine, seed: int, ours: str, theirs: str, is_dated: bool
) -> None:
    world = random_world(seed)
    pick = random.Random(seed)
    zone = pick.choice((None, "America/Los_Angeles", "Asia/Tokyo", "Nowhere/None"))
    for told in world.ad_days:
        names = pick.sample(("value", "1d_click", "7d_click", "1d_ev", "1d_view"), 3)
        figures = {
            name: {"count": str(pick.randrange(4)), "value": str(pick.randrange(99999) / 1000)}
            for name in names
        }
        told |= {"reported": json.dumps({"purchase": figures}), "time_zone": zone}
        told["platform"] = pick.choice(("meta", "tiktok"))
    for event in pick.sample(world.conversions, 9):
        world.joins.append(
            {
                "rule": "order_id",
                "pixel_id": event["pixel_id"],
                "root_key": event["event_key"],
                "root_at": event["anchor_at"],
            }
        )
    fill(engine, world)
    since, until = (date(2026, 6, 1), date(2026, 6, 20)) if is_dated else (None, None)
    sums = []
    levels: tuple[Literal["platform", "campaign"], ...] = ("platform", "campaign")
    for level in levels:
        asked = DifferencesAsked(
            level=level, setting=ours, platform_setting=theirs, since=since, until=until
        )
        report = differences(engine, SHOP, RATES, asked)
        for row in report.rows:
            assert row.difference == row.theirs - row.ours
            assert row.difference == sum((part.conversions for part in row.parts), ZERO)
            values = [part.value for part in row.parts if part.value is not None]
            if row.theirs_value is None:
                assert (None, []) == (row.difference_value, values)
                continue
            assert row.difference_value == row.theirs_value - row.ours_value
            assert (row.difference_value, 6) == (sum(values, ZERO), len(values))
        used = sum((row.parts[4].conversions for row in report.rows), ZERO)
        assert ZERO <= used <= report.unattributed
        assert len(part_rows(report)) == 6 * len(report.rows)
        sums.append(
            {
                (row.platform, n): sum(
                    (r.parts[n].conversions for r in report.rows if r.platform == row.platform),
                    ZERO,
                )
                for row in report.rows
                for n in range(6)
            }
        )
    assert sums[0] == sums[1]
