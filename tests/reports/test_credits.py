"""Credit in long form: every share of every conversion, as many as are asked for."""

from __future__ import annotations

import typing
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.catalog import ReportRules
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import SenderError
from doublet.reports.campaigns import CampaignsAsked, campaigns
from doublet.reports.credit import Model
from doublet.reports.credits import CreditRow, CreditsAsked, credits
from doublet.reports.insights import insights
from doublet.reports.insights_rows import Question
from doublet.reports.periods import Period
from tests.reports.world import DAY_S, RATES, SHOP, START, WORLDS, World, fill, random_world

MODELS = typing.get_args(Model)
NAMES = ("Purchase", "AddToCart")


def _key(row: CreditRow) -> tuple[Any, ...]:
    return (row.event_at, row.event_name, row.order_id, row.person_id)


@given(st.integers(0, 10_000))
@WORLDS
def test_shares_add_up_to_what_campaigns_report(engine: DuckDBEngine, seed: int) -> None:
    fill(engine, random_world(seed))
    asked = CreditsAsked(event_name=NAMES, model=MODELS, window=("default", "7d_click"))
    found = credits(engine, SHOP, RATES, asked)
    every = CampaignsAsked(
        event_name=NAMES, model=MODELS, window=("default", "7d_click"), level="ad"
    )
    report = campaigns(engine, SHOP, RATES, every)
    sums: dict[tuple[Any, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in found.rows:
        ids = (row.channel, row.campaign_id, row.adset_id, row.ad_id)
        place = sums[row.model, row.window, row.kind is not None, *ids]
        place[0] += row.share
        place[1] += row.value
    for told in report.rows:
        ids = (told.channel, told.campaign_id, told.adset_id, told.ad_id)
        for result in told.results:
            mine = sums.pop((result.model, result.window, told.is_attributed, *ids), [0, 0])
            assert [result.conversions or 0, result.value or 0] == mine
    assert {} == sums
    assert found.is_complete


def test_a_row_tells_the_conversion_and_the_touch(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, campaign_id="C1", ad_id="A1")
    world.touch(1, 3600, "google", kind="click", campaign_id="C2")
    world.convert(1, 7200, order_id="1001", value="30")
    world.convert(2, 7300, order_id="1002", value="5")
    fill(engine, world)
    rows = credits(engine, SHOP, RATES, CreditsAsked(model=("linear",))).rows
    told = [(row.order_id, row.campaign_id, row.ad_id, row.kind, row.share) for row in rows]
    half = Decimal("0.5")
    assert [
        ("1001", "C1", "A1", "click", half),
        ("1001", "C2", None, "click", half),
        ("1002", None, None, None, Decimal(1)),
    ] == told
    first = rows[0]
    assert first.touched_at is not None
    assert (START, START + 7200) == (first.touched_at.timestamp(), first.event_at.timestamp())
    assert [Decimal(15), Decimal(15), Decimal(5)] == [row.value for row in rows]
    assert (None, None) == (rows[2].channel, rows[2].touched_at)


@given(
    st.integers(0, 10_000),
    st.sampled_from([(7, 1, 1), (28, 0, 1), (1, 0, 1), (0, 1, 0)]),
    st.sampled_from(["all", "first"]),
)
@WORLDS
def test_insights_and_campaigns_credit_the_same(
    engine: DuckDBEngine, seed: int, days: tuple[int, int, int], count: Literal["all", "first"]
) -> None:
    fill(engine, random_world(seed))
    rules = ReportRules(*days, count, ("Purchase",))
    asked = CampaignsAsked(level="account").under(rules)
    report = campaigns(engine, SHOP, RATES, asked)
    mine = [row.results[0] for row in report.rows if row.is_attributed]
    period = Period(date(2026, 5, 1), date(2026, 9, 1))
    rows = insights(engine, SHOP, rules, RATES, Question([period], delivery=False))
    theirs = [keys["value"] for row in rows for keys in row.results.values() if "value" in keys]
    assert sum(result.conversions or 0 for result in mine) == sum(t.conversions for t in theirs)
    assert sum(result.value or 0 for result in mine) == sum(tally.value for tally in theirs)


def test_two_conversions_of_one_event_id_and_time_are_two(engine: DuckDBEngine) -> None:
    world = World()
    for days in (0, 3):
        world.touch(1, 0, campaign_id=f"C{days}")
        anchor_at = datetime.fromtimestamp(START + days * DAY_S, UTC)
        world.convert(1, 60, event_key=1, anchor_at=anchor_at)
    fill(engine, world)
    report = credits(engine, SHOP, RATES, CreditsAsked(limit=1))
    assert (1, False) == (len(report.rows), report.is_complete)


@pytest.mark.parametrize("limit", [1, 7, 40, 10_000])
def test_a_limit_cuts_no_conversion_in_two(engine: DuckDBEngine, limit: int) -> None:
    fill(engine, random_world(5, events=120))
    asked: dict[str, Any] = {"event_name": NAMES, "model": ("last_touch", "linear")}
    whole = credits(engine, SHOP, RATES, CreditsAsked(limit=100_000, **asked))
    if limit == 1:
        with pytest.raises(SenderError, match="Raise limit"):
            credits(engine, SHOP, RATES, CreditsAsked(limit=limit, **asked))
        return
    part = credits(engine, SHOP, RATES, CreditsAsked(limit=limit, **asked))
    assert part.is_complete == (limit == 10_000)
    assert len(part.rows) <= limit
    assert whole.rows[: len(part.rows)] == part.rows
    for _, rows in groupby(part.rows, _key):
        shares: dict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            shares[row.model] += row.share
        assert {"last_touch", "linear"} == set(shares)
        assert all(share == share.to_integral_value() for share in shares.values())
