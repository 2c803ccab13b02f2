"""Credit under every model: it adds up, and SQL shares like the library."""

from __future__ import annotations

import typing
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.attribution import (
    Paths,
    first_touch,
    linear,
    position_based,
    time_decay,
)
from doublet.engine.duckdb import DuckDBEngine
from doublet.reports import report_sql
from doublet.reports.asked import DAY_S, Setting
from doublet.reports.campaigns import CampaignsAsked, campaigns
from doublet.reports.conversions import ask, conversion_parameters, fitting
from doublet.reports.credit import FIRST_SHARE, HALF_LIFE_S, LAST_SHARE, LEVELS, Model, credited
from doublet.reports.windows import all_windows, window_parameters
from tests.factories import ACCOUNT
from tests.reports.world import RATES, SHOP, START, WORLDS, World, fill, random_world

MODELS = typing.get_args(Model)
MULTI_TOUCH = [model for model in MODELS if model != "last_touch"]
BY_RULE = {
    "first_touch": first_touch,
    "linear": linear,
    "time_decay": time_decay,
    "position_based": position_based,
}


def shared(engine: DuckDBEngine, models: list[str], text: str) -> list[dict[str, Any]]:
    """The rows of a text of ours, for all windows."""
    asked = CampaignsAsked(event_name=("Purchase", "AddToCart"))
    given = {
        **conversion_parameters(SHOP, RATES, asked),
        **window_parameters(all_windows(Setting())),
        "ads_only": True,
        "models": models,
        "half_life_s": HALF_LIFE_S,
        "first_share": FIRST_SHARE,
        "last_share": LAST_SHARE,
        "weight_models": [""],
        "weight_windows": [""],
        "weight_nodes": [""],
        "weights": [0.0],
    }
    names = (
        "rates",
        "ad_parents",
        "chosen_conversions",
        "window_touches",
        "touch_shares",
        "multi_touch",
        "multi_touch_sums",
        "last_touch",
    )
    texts = {name: report_sql(name) for name in names}
    used = {name: texts[name] for name in texts if name != "last_touch" or "last_touch" in text}
    head = ",\n".join(f"{name} as (\n{body}\n)" for name, body in used.items())
    sql = f"with {head}\n{text}"
    return engine.query(sql, fitting(sql, given))


@given(st.integers(0, 10_000))
@WORLDS
def test_all_models_add_up_at_every_level_and_window(engine: DuckDBEngine, seed: int) -> None:
    fill(engine, random_world(seed))
    totals: dict[int, Any] = {}
    for level in LEVELS:
        asked = CampaignsAsked(level=level, event_name=("Purchase", "AddToCart"), model=MODELS)
        report = campaigns(engine, SHOP, RATES, asked)
        for n, result in enumerate(report.total.results):
            rows = [row.results[n] for row in report.rows]
            assert result.conversions == sum(row.conversions or 0 for row in rows)
            assert result.value == sum(row.value or 0 for row in rows)
            known = totals.setdefault(n, (result.conversions, result.value))
            assert known == (result.conversions, result.value)
    # Whatever the model and window, the same conversions are shared out.
    assert 1 == len(set(totals.values()))


@given(st.integers(0, 10_000))
@WORLDS
def test_each_conversion_is_shared_out_once_and_whole(engine: DuckDBEngine, seed: int) -> None:
    fill(engine, random_world(seed))
    rows = shared(
        engine,
        MULTI_TOUCH,
        "select model, window_name, pixel_id, event_key, anchor_at, sum(share) as share, "
        "sum(multi_touch.amount) as amount, any_value(chosen_conversions.amount) as whole, "
        "min(share) as least from multi_touch inner join chosen_conversions "
        "using (pixel_id, event_key, anchor_at) group by all",
    )
    for row in rows:
        assert Decimal(1) == row["share"]
        assert (row["whole"] or 0) == row["amount"]
        assert row["least"] > 0
    each: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        each[row["model"], row["window_name"]] += 1
    assert 1 == len(set(each.values()))


@given(st.integers(0, 10_000))
@WORLDS
def test_sql_shares_by_the_rules_of_the_library(engine: DuckDBEngine, seed: int) -> None:
    fill(engine, random_world(seed))
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in shared(
        engine,
        [*BY_RULE],
        "select model, window_name, channel, cast(sum(share) as double) as share from multi_touch "
        "where kind is not null group by all",
    ):
        found[row["model"], row["window_name"]][row["channel"]] = row["share"]
    touches: dict[str, dict[Any, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in shared(
        engine, [], "select * from window_touches order by touched_time, touchpoint_key"
    ):
        key = (row["pixel_id"], row["event_key"], row["anchor_at"])
        touches[row["window_name"]][key].append(row)
    for window, journeys in touches.items():
        paths = Paths(
            [[touch["channel"] for touch in path] for path in journeys.values()],
            [1] * len(journeys),
            ages=[[touch["age_s"] / DAY_S for touch in path] for path in journeys.values()],
        )
        for model, share_out in BY_RULE.items():
            expected = {c: v for c, v in share_out(paths).items() if v > 1e-12}
            assert expected == pytest.approx(dict(found[model, window]), abs=1e-9)


@given(st.integers(0, 10_000))
@WORLDS
def test_the_last_touch_is_the_same_by_both_ways(engine: DuckDBEngine, seed: int) -> None:
    fill(engine, random_world(seed))
    counted = "window_name, kind, campaign_id, ad_id, count(*) as n from"
    by_touches = shared(
        engine,
        [],
        f"select {counted} (select * from window_touches qualify row_number() over ("
        "partition by window_name, pixel_id, event_key, anchor_at "
        "order by touched_time desc, touchpoint_key desc) = 1) group by all order by all",
    )
    by_columns = shared(
        engine,
        [],
        f"select {counted} last_touch where kind is not null group by all order by all",
    )
    assert by_columns == by_touches


@given(st.integers(0, 10_000))
@WORLDS
def test_sums_are_those_of_the_single_shares(engine: DuckDBEngine, seed: int) -> None:
    fill(engine, random_world(seed))
    one, other = (
        shared(
            engine,
            MULTI_TOUCH,
            "select model, window_name, kind, channel, ad_id, sum(share) as share, "
            f"sum(amount) as amount from {name} group by all order by all",
        )
        for name in ("multi_touch", "multi_touch_sums")
    )
    assert one == other


def test_data_driven_models_weigh_what_all_journeys_say(engine: DuckDBEngine) -> None:
    # Everybody is shown a, which sells little by itself; where b follows, half of them buy.
    world = World()
    for person in range(40):
        world.touch(person, 0, "meta", campaign_id="a")
        if person < 20:
            world.touch(person, 3600, "meta", campaign_id="b")
        if person < 10 or person == 20:
            world.convert(person, 7200, "10")
    fill(engine, world)
    asked = CampaignsAsked(model=("linear", "markov", "shapley"), window=("7d_click",))
    report = campaigns(engine, SHOP, RATES, asked)
    parts = {
        row.campaign_id: [round(float(result.conversions or 0), 6) for result in row.results]
        for row in report.rows
    }
    # a alone sold 1 of 20, both 11 of 40: shapley a (1/20 + 11/40 - 0) / 2 = 13/80, b
    # (0 + 11/40 - 1/20) / 2 = 9/80. Without b, 1/40 is left of 11/40; without a nothing:
    # markov a 1, b 10/11.
    shapley_b, markov_b = 9 / (13 + 9), (10 / 11) / (1 + 10 / 11)
    expected = [10 * 0.5, round(10 * markov_b, 6), round(10 * shapley_b, 6)]
    assert expected == pytest.approx(parts["b"], abs=1e-5)
    assert [11 - part for part in expected] == pytest.approx(parts["a"], abs=1e-5)


def test_money_is_shared_out_to_the_last_digit(engine: DuckDBEngine) -> None:
    world = World()
    for n in range(3):
        world.touch(1, n, "meta", campaign_id=f"c{n}")
    world.convert(1, 60, "10")
    fill(engine, world)
    given = conversion_parameters(SHOP, RATES, CampaignsAsked()) | {"depth": 2}
    windows = [window for window in all_windows(Setting()) if window.name == "7d_click"]
    rows = credited(engine, given, "campaigns", ["linear"], windows)
    assert [Decimal("3.3333"), Decimal("3.3334"), Decimal("3.3333")] == [
        row["value"] for row in rows
    ]


def weights(engine: DuckDBEngine, world: World, setting: str) -> list[float]:
    """The parts of all conversions that Shapley's values give to campaigns a and b."""
    fill(engine, world)
    asked = CampaignsAsked(model=("shapley",), setting=setting, window=("default",))
    report = campaigns(engine, SHOP, RATES, asked)
    parts = {row.campaign_id: float(row.results[0].conversions or 0) for row in report.rows}
    return [parts["a"], parts["b"]]


def test_losses_count_whenever_they_were(engine: DuckDBEngine) -> None:
    # Two campaigns that sell to one in ten, one of them early, one late; and twenty who met both.
    world = World()
    for n in range(400):
        world.touch(n, (n % 2) * 60 * DAY_S, "meta", campaign_id="ab"[n % 2])
        if n % 20 < 2:
            world.convert(n, (n % 2) * 60 * DAY_S + 60, "10")
    for n in range(400, 420):
        world.touch(n, 30 * DAY_S, "meta", campaign_id="ab"[n % 2])
        world.touch(n, 30 * DAY_S + 60, "meta", campaign_id="ba"[n % 2])
        world.convert(n, 30 * DAY_S + 120, "10")
    assert [30.0, 30.0] == pytest.approx(weights(engine, world, "7d_click"), abs=1e-6)


def test_what_was_bought_after_the_days_asked_for_is_not_lost(engine: DuckDBEngine) -> None:
    world = World()
    day = datetime.fromtimestamp(START, ZoneInfo(SHOP.time_zone)).date()
    for n in range(6):
        world.touch(n, 0, "meta", campaign_id="ab"[n % 2])
        world.convert(n, 60 if n < 4 else 2 * DAY_S, "10")
    # Whoever was two is one by now, with all that both did.
    world.persons.append({"account_id": ACCOUNT, "person_id": 0, "root_id": 7})
    merged_s = START + 30 * DAY_S
    world.touches.append({**world.touches[0], "person_id": 7, "since_s": merged_s})
    world.touches[0]["until_s"] = merged_s
    fill(engine, world)
    windows = all_windows(Setting())[:1]
    asked = CampaignsAsked(since=day, until=day)
    given = {**conversion_parameters(SHOP, RATES, asked), **window_parameters(windows)}
    given |= {"ads_only": True, "begins_at": given["since"], "ends_at": given["until"]}
    rows = ask(engine, given, "journeys", "chosen_conversions", "window_touches")
    assert {0} == {row["losses"] for row in rows}
    assert 4 == sum(row["conversions"] for row in rows)


def test_what_was_only_seen_can_be_lost_too(engine: DuckDBEngine) -> None:
    world = World()
    for n in range(400):
        world.touch(n, 0, "meta", kind="click" if n % 2 else "view", campaign_id="ab"[n % 2])
        if n % 20 < 2:
            world.convert(n, 60, "10")
    for n in range(400, 420):
        world.touch(n, 0, "meta", campaign_id="ab"[n % 2])
        world.touch(n, 60, "meta", campaign_id="ba"[n % 2])
        world.convert(n, 120, "10")
    found = weights(engine, world, "7d_click,1d_view")
    assert [30.0, 30.0] == pytest.approx(found, abs=1e-6)
