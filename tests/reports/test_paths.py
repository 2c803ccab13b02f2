"""Paths and times to conversion, against a plain walk over the touches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.engine.duckdb import DuckDBEngine
from doublet.reports.paths import PathsAsked, paths
from doublet.reports.time_to_conversion import TimeAsked, time_to_conversion
from tests.reports.world import DAY_S, RATES, SHOP, WORLDS, World, fill, random_world

HOUR_S = 3600


def walk(world: World, days: int) -> Iterator[tuple[list[dict[str, object]], int]]:
    """Each Purchase's touches within the windows, oldest first, and its time."""
    windows = {"click": days * DAY_S, "engaged_view": DAY_S, "view": DAY_S}
    for event in world.conversions:
        if event["event_name"] == "Purchase":
            time = event["event_time"]
            yield (
                sorted(
                    (
                        touch
                        for touch in world.touches
                        if touch["person_id"] == event["person_id"]
                        and time - windows[touch["kind"]] < touch["touched_time"] <= time
                    ),
                    key=lambda touch: (touch["touched_time"], touch["touchpoint_key"]),
                ),
                time,
            )


def test_a_path_names_its_channels_in_order(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, "meta")
    world.touch(1, 60, "meta")
    world.touch(1, 120, "google")
    world.touch(2, 0, "tiktok")
    world.convert(1, 180, "30")
    world.convert(2, 29 * DAY_S, "5", currency="JPY")
    fill(engine, world)
    report = paths(engine, SHOP, RATES, PathsAsked())
    assert [["meta", "google"], []] == [row.path for row in report.rows]
    assert [0.5, 0.5] == [row.share for row in report.rows]
    assert [Decimal(30), Decimal(0)] == [row.value for row in report.rows]
    assert (2, 1, ["JPY"]) == (report.conversions, report.touched, report.without_rate)
    whole = paths(engine, SHOP, RATES, PathsAsked(repeats=True, days=30))
    assert {("meta", "meta", "google"), ("tiktok",)} == {
        tuple(row.path or ()) for row in whole.rows
    }


def test_the_limit_is_of_paths_with_a_touch(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, "meta")
    world.convert(1, 60)
    world.convert(2, 60)
    world.convert(3, 60)
    fill(engine, world)
    report = paths(engine, SHOP, RATES, PathsAsked(limit=1))
    assert [["meta"], []] == [row.path for row in report.rows]


def test_campaigns_are_called_by_their_names(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, "meta", campaign_id="7")
    world.touch(1, 10, "google", utm_campaign="brand")
    world.touch(1, 20, "bing")
    world.touch(1, 30, "facebook / cpc", platform=None, ad_id="70")
    names = {"account_id": SHOP.account_id, "platform": "meta", "campaign_id": "7"}
    world.ads += [
        {**names, "level": "campaign", "campaign_name": "X"},
        {**names, "level": "ad", "campaign_name": "X", "ad_id": "70"},
    ]
    world.convert(1, 60)
    fill(engine, world)
    (row,) = paths(engine, SHOP, RATES, PathsAsked(by="campaign")).rows
    assert ["X", "brand", "bing", "X"] == row.path


def test_only_the_first_conversion_after_a_touch_counts_on_demand(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0)
    world.convert(1, 60)
    world.convert(1, 120)
    world.touch(1, 180)
    world.convert(1, 240)
    world.convert(None, 300)
    world.convert(None, 300)
    fill(engine, world)
    assert 5 == paths(engine, SHOP, RATES, PathsAsked()).conversions
    assert 4 == paths(engine, SHOP, RATES, PathsAsked(first=True)).conversions


def test_what_no_touch_claims_is_never_the_second_after_it(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0)
    world.convert(1, 60)
    for n in range(3):
        world.convert(1, (40 + n) * DAY_S)
    fill(engine, world)
    assert 4 == paths(engine, SHOP, RATES, PathsAsked(first=True)).conversions
    assert 4 == paths(engine, SHOP, RATES, PathsAsked(first=True, days=7)).conversions


def test_days_are_the_accounts(engine: DuckDBEngine) -> None:
    # START is 22:26 on the 28th in the shop's zone.
    world = World()
    world.convert(1, 0)
    world.convert(2, 2 * HOUR_S)
    fill(engine, world)
    day = date(2026, 5, 29)
    assert 1 == paths(engine, SHOP, RATES, PathsAsked(since=day, until=day)).conversions


@WORLDS
@given(st.integers(0, 10**6), st.sampled_from([1, 7, 28]), st.booleans(), st.integers(1, 4))
def test_paths_are_those_of_a_plain_walk(
    engine: DuckDBEngine, seed: int, days: int, repeats: bool, limit: int
) -> None:
    world = random_world(seed)
    fill(engine, world)
    expected = Counter(
        tuple(steps if repeats else (name for name, _ in groupby(steps)))
        for steps in ([touch["channel"] for touch in found] for found, _ in walk(world, days))
    )
    asked = PathsAsked(days=days, repeats=repeats, limit=10_000)
    report = paths(engine, SHOP, RATES, asked)
    assert expected == {tuple(row.path or ()): row.conversions for row in report.rows}
    few = paths(engine, SHOP, RATES, PathsAsked(days=days, repeats=repeats, limit=limit))
    for found in (report, few):
        assert report.conversions == found.conversions == sum(r.conversions for r in found.rows)
        assert report.value == found.value == sum(row.value for row in found.rows)
        assert len(expected) == sum(row.paths for row in found.rows)
    own = [row for row in few.rows if row.path]
    assert min(limit, len([path for path in expected if path])) == len(own)


@WORLDS
@given(st.integers(0, 10**6), st.sampled_from([1, 7, 28]))
def test_lags_are_those_of_a_plain_walk(engine: DuckDBEngine, seed: int, days: int) -> None:
    world = random_world(seed)
    fill(engine, world)
    lags: dict[str, list[int]] = {"first": [], "last": []}
    for found, time in walk(world, days):
        for name, touch in zip(("first", "last"), (found[:1], found[-1:]), strict=True):
            lags[name] += [time - int(str(t["touched_time"])) for t in touch]
    report = time_to_conversion(engine, SHOP, RATES, TimeAsked(days=days))
    assert len(lags["first"]) == report.touched
    for measured in report.quantiles:
        known = sorted(lags[measured.from_touch])
        assert pytest.approx(sum(known) / len(known)) == measured.mean_s
        assert measured.p50_s in known
        assert measured.p50_s == known[-(-len(known) // 2) - 1]
        rows = [row for row in report.rows if row.from_touch == measured.from_touch]
        assert [sum(row.lower_s <= lag < row.upper_s for lag in known) for row in rows] == [
            row.conversions for row in rows
        ]
        assert len(known) == sum(row.conversions for row in rows) == report.touched


def test_lengths_are_of_all_paths_whether_or_not_they_have_a_row(engine: DuckDBEngine) -> None:
    fill(engine, random_world(3, persons=4, events=200))
    short, whole = (
        paths(engine, SHOP, RATES, PathsAsked(limit=limit, repeats=True)) for limit in (1, 10_000)
    )
    assert short.lengths == whole.lengths
    assert None in [row.path for row in short.rows]
    assert None not in [row.path for row in whole.rows]
    assert len(whole.lengths) > 2
    for length in whole.lengths:
        own = [row for row in whole.rows if row.steps == length.steps]
        assert (length.paths, length.conversions, length.value) == (
            len(own),
            sum(row.conversions for row in own),
            sum((row.value for row in own), Decimal(0)),
        )
    (others,) = (row for row in short.rows if row.path is None)
    named = [row for row in short.rows if row.path is not None]
    assert others.paths == sum(row.paths for row in whole.rows) - len(named)
    assert short.conversions == sum(row.conversions for row in short.rows) == whole.conversions
