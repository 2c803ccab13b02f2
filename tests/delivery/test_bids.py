"""Bids by strategy, and the periods of budgets."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from doublet.catalog.campaign_rows import AdSet
from doublet.delivery.bids import Limit, bid_per_action, limit_of, start_pace
from doublet.delivery.budgets import Budget, budget_at

BERLIN = ZoneInfo("Europe/Berlin")


def make_ad_set(**others: Any) -> AdSet:
    """An ad set that began long ago."""
    return AdSet(adset_id="7", account_id="act_1", campaign_id="5", name="Shoes", **others)


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    """Unix seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("ad_set", "limit"),
    [
        ({}, Limit(inf)),
        ({"bid_strategy": "LOWEST_COST_WITH_BID_CAP", "bid_amount": 250}, Limit(25_000)),
        ({"bid_strategy": "COST_CAP", "bid_amount": 250}, Limit(25_000, is_mean=True)),
        (
            {"bid_strategy": "LOWEST_COST_WITH_MIN_ROAS", "roas_floor": 4.0},
            Limit(0.25, is_mean=True),
        ),
    ],
)
def test_each_strategy_has_its_limit(ad_set: dict[str, Any], limit: Limit) -> None:
    assert limit == limit_of(make_ad_set(**ad_set))


def test_a_bid_is_the_lower_of_pace_and_limit() -> None:
    bids = bid_per_action(
        np.array([100.0, 100.0, 100.0, 10.0]),
        np.array([inf, 30.0, 30.0, 30.0]),
        np.array([1.0, 1.0, 2.0, 2.0]),
    )
    assert [100, 30, 60, 10] == bids.tolist()


def test_the_first_pace_buys_a_tenth_of_the_requests() -> None:
    # 1,000 impressions at one action in 100 and 500 units an action cost 5,000 units.
    assert 500 == pytest.approx(start_pace(5_000, 10_000, 0.01, Limit()))
    assert 300 == start_pace(5_000, 10_000, 0.01, Limit(300.0))
    assert 0 < start_pace(0, 0, 0, Limit()) < start_pace(1, 0, 0, Limit()) < inf


@pytest.mark.parametrize(
    ("ad_set", "now", "budget"),
    [
        (
            {"daily_budget": 1000},
            "2026-11-27T00:00",
            ("2026-11-27", 100_000, "2026-11-27", "2026-11-28"),
        ),
        (
            {"daily_budget": 1000},
            "2026-11-27T23:59:59",
            ("2026-11-27", 100_000, "2026-11-27", "2026-11-28"),
        ),
        (
            # The day on which clocks are put forward has 23 hours.
            {"daily_budget": 1000},
            "2026-03-29T12:00",
            ("2026-03-29", 100_000, "2026-03-29", "2026-03-30"),
        ),
        (
            {"daily_budget": 1000, "start_time": int(at("2026-11-27T18:00"))},
            "2026-11-27T20:00",
            ("2026-11-27", 25_000, "2026-11-27T18:00", "2026-11-28"),
        ),
        (
            {"daily_budget": 1000, "end_time": int(at("2026-11-27T06:00"))},
            "2026-11-27T05:00",
            ("2026-11-27", 25_000, "2026-11-27", "2026-11-27T06:00"),
        ),
        (
            {
                "lifetime_budget": 1000,
                "start_time": int(at("2026-11-20T06:00")),
                "end_time": int(at("2026-12-01T00:00")),
            },
            "2026-11-27T05:00",
            ("lifetime", 100_000, "2026-11-20T06:00", "2026-12-01"),
        ),
    ],
)
def test_budgets_by_period(
    ad_set: dict[str, Any], now: str, budget: tuple[str, int, str, str]
) -> None:
    period, amount, begin, end = budget
    expected = Budget("7", period, amount, at(begin), at(end))
    assert expected == budget_at(make_ad_set(**ad_set), BERLIN, at(now))


def test_outside_its_schedule_an_ad_set_has_no_budget() -> None:
    ad_set = make_ad_set(daily_budget=1000, start_time=1000, end_time=2000)
    assert [None, 1000, None] == [
        budget and budget.begin_s
        for budget in (budget_at(ad_set, UTC, at) for at in (999, 1000, 2000))
    ]
    made = make_ad_set(daily_budget=1000, created_at=500)
    assert budget_at(made, UTC, 499) is None
    assert Budget("7", "1970-01-01", 100_000 * (86_400 - 500) // 86_400, 500, 86_400) == budget_at(
        made, UTC, 500
    )
