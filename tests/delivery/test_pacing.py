"""Pacing: plans, and the control in small made-up markets."""

from __future__ import annotations

import math
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.delivery.bids import BID_MIN, Limit
from doublet.delivery.budgets import Budget, day_at
from doublet.delivery.pacing import Curve, Forecast, Pace, Pacer, Seen

DAY_S = 86_400
BUDGET = Budget("7", "2026-11-27", 100_000, 0, DAY_S)
FLAT = Forecast([1] * 96).curve(0, DAY_S, UTC)


def run(
    pacer: Pacer,
    pace: Pace,
    power: float = 2.0,
    cost_share: float = 0.5,
    most: float = math.inf,
    away: tuple[int, int] = (0, 0),
) -> tuple[list[float], Pace, Seen]:
    """A day in steps of 10 s in a market where spend grows with a power of the bid: a bid of 200
    just spends the budget; at most so many times as much can be spent. An action costs a share of
    the bid. Nobody comes between the two times of `away`."""
    spent = actions = 0.0
    errors = []
    for now_s in range(0, DAY_S, 10):
        bid = min(pace.bid, pacer.limit.amount * pace.correction)
        cost = pacer.budget.amount * 10 / DAY_S * min((bid / 200) ** power, most)
        cost *= not away[0] <= now_s < away[1]
        cost = min(cost, pacer.budget.amount - spent)
        spent += cost
        actions += cost / (bid * cost_share)
        errors.append(abs(spent - pacer.planned(now_s + 10)) / pacer.budget.amount)
        pace = pacer.step(pace, Seen(spent, spent, actions), now_s + 10)
    return errors, pace, Seen(spent, spent, actions)


# --- plans -----------------------------------------------------------------------------------


def test_a_plan_follows_the_forecast_in_the_accounts_zone() -> None:
    shares = [0.0] * 96
    shares[9 * 4] = 3
    shares[20 * 4 + 1] = 1
    zone = ZoneInfo("Europe/Berlin")
    _, begin_s, end_s = day_at(zone, 1_795_000_000)
    curve = Forecast(shares).curve(begin_s, end_s, zone)
    hours = (9, 9.125, 9.25, 20.25, 20.5, 24)
    assert [0, 0.375, 0.75, 0.75, 1, 1] == [
        pytest.approx(curve.at(begin_s + hour * 3600)) for hour in hours
    ]


@given(st.lists(st.integers(0, 100), min_size=96, max_size=96), st.integers(0, 500), st.data())
def test_a_plan_rises_from_nothing_to_all(counts: list[int], day: int, draw: st.DataObject) -> None:
    zone = ZoneInfo(draw.draw(st.sampled_from(["Asia/Kathmandu", "Europe/Berlin", "UTC"])))
    _, midnight_s, next_s = day_at(zone, 1_774_000_000 + day * 20_000)
    begin_s = midnight_s + draw.draw(st.integers(0, 40_000))
    curve = Forecast.of_counts(counts).curve(begin_s, next_s, zone)
    assert [0, 1] == [pytest.approx(curve.at(at_s)) for at_s in (begin_s, next_s)]
    assert (np.diff(curve.shares) > 0).all()
    assert (np.diff(curve.edges_s) > 0).all()


def test_a_day_with_an_hour_less_is_planned_whole() -> None:
    zone = ZoneInfo("Europe/Berlin")
    _, begin_s, end_s = day_at(zone, 1_774_742_400)
    curve = Forecast([1] * 96).curve(begin_s, end_s, zone)
    assert 23 * 3600 == end_s - begin_s
    assert 0.5 == pytest.approx(curve.at(begin_s + 23 * 1800))


def test_a_lifetime_repeats_its_days_and_one_without_end_has_thirty() -> None:
    shares = [1.0] * 48 + [3.0] * 48
    curve = Forecast(shares).curve(0, 2 * DAY_S, UTC)
    assert [0.125, 0.5, 0.625] == [pytest.approx(curve.at(at * DAY_S)) for at in (0.5, 1, 1.5)]
    assert 0.5 == pytest.approx(Forecast(shares).curve(0, math.inf, UTC).at(15 * DAY_S))


def test_a_period_of_many_years_is_even_but_for_the_days_near() -> None:
    shares = [1.0] * 48 + [3.0] * 48
    days = 2_900_000
    for day in (0, 10, 5_000, days - 1):
        curve = Forecast(shares).curve(0, days * DAY_S, UTC, (day + 0.3) * DAY_S)
        assert len(curve.edges_s) < 101 * 96
        assert (np.diff(curve.edges_s) > 0).all()
        come = [curve.at((day + part) * DAY_S) * days - day for part in (0, 0.5, 1)]
        assert [0, 0.25, 1] == [pytest.approx(each, abs=1e-6) for each in come]
        assert [0, 1] == [pytest.approx(curve.at(at * DAY_S)) for at in (0, days)]
    assert 0.75 == pytest.approx(curve.at(days * 0.75 * DAY_S))


# --- control ---------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [20.0, 200.0, 800.0])
@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_spend_keeps_to_the_plan_from_any_start(start: float, power: float) -> None:
    errors, pace, seen = run(Pacer(BUDGET, FLAT), Pace(start), power=power)
    # An hour is 4 % of the day; after six hours of it the start is forgotten.
    assert max(errors) < 0.05
    assert max(errors[len(errors) // 4 :]) < 0.01
    assert 0.99 < seen.spent / BUDGET.amount <= 1
    assert 200 == pytest.approx(pace.bid, rel=0.05)


def test_bids_that_are_far_too_high_are_held_back_until_the_plan_has_caught_up() -> None:
    # Thirty times what is needed can be spent, and no lower bid than a tenth would buy less.
    errors, pace, seen = run(Pacer(BUDGET, FLAT), Pace(20_000.0), most=30.0)
    assert max(errors) < 0.02
    assert max(errors[len(errors) // 2 :]) < 0.003
    assert 200 == pytest.approx(pace.bid, rel=0.05)
    assert 0.99 < seen.spent / BUDGET.amount <= 1


def test_after_an_outage_spend_comes_back_to_the_plan() -> None:
    errors, pace, seen = run(Pacer(BUDGET, FLAT), Pace(200.0), most=30.0, away=(30_000, 37_200))
    # Two hours are 8.3 % of the day.
    assert max(errors) < 0.09
    assert max(errors[5_000:]) < 0.02
    assert max(errors[7_000:]) < 0.003
    assert 200 == pytest.approx(pace.bid, rel=0.05)
    assert 0.99 < seen.spent / BUDGET.amount <= 1


def test_a_budget_that_is_less_than_one_action_costs_is_spent_evenly_too() -> None:
    errors, pace, seen = run(Pacer(BUDGET._replace(amount=50), FLAT), Pace(100.0))
    assert max(errors) < 0.05
    assert 200 == pytest.approx(pace.bid, rel=0.05)
    assert 0.97 < seen.spent / 50 <= 1


def test_without_traffic_bids_do_not_grow_without_end() -> None:
    _, pace, _ = run(Pacer(BUDGET, FLAT), Pace(200.0), away=(0, DAY_S))
    assert 100 * BUDGET.amount == pytest.approx(pace.bid)


def test_a_pause_is_no_reason_to_bid_more() -> None:
    pacer = Pacer(BUDGET, FLAT)
    pace = pacer.step(Pace(20.0), Seen(0, 0, 0), 100)
    later = pacer.step(pace, Seen(0, 0, 0), 20_000)
    assert (20, 20_000) == (later.bid, later.as_of_s)


def test_a_cap_is_never_exceeded_and_leaves_budget_where_it_binds() -> None:
    pacer = Pacer(BUDGET, FLAT, Limit(100.0))
    _, pace, seen = run(pacer, Pace(50.0))
    assert 1 == pace.correction
    # At half the bid that spends all, a market of power 2 sells a quarter.
    assert 0.25 == pytest.approx(seen.spent / BUDGET.amount, rel=0.05)


def test_a_cost_cap_bids_above_it_while_the_mean_stays_below() -> None:
    pacer = Pacer(BUDGET, FLAT, Limit(60.0, is_mean=True))
    _, pace, seen = run(pacer, Pace(60.0))
    # An action costs half of the bid: twice the cap may be bid.
    assert 2 == pytest.approx(pace.correction, rel=0.1)
    assert 0.95 < seen.cost / seen.actions / 60 <= 1.005


def test_a_cost_cap_pays_back_what_was_above_it() -> None:
    pacer = Pacer(BUDGET, FLAT, Limit(60.0, is_mean=True))
    # Fewer actions come than were expected of bids at the cap.
    _, pace, seen = run(pacer, Pace(60.0), cost_share=1.5)
    assert pace.correction < 0.75
    assert seen.cost / seen.actions / 60 == pytest.approx(1, abs=0.1)


def test_a_cost_cap_that_does_not_bind_leaves_pacing_alone() -> None:
    errors, pace, _ = run(Pacer(BUDGET, FLAT, Limit(900.0, is_mean=True)), Pace(300.0))
    assert max(errors) < 0.03
    assert 200 == pytest.approx(pace.bid, rel=0.05)


def test_an_accelerated_ad_set_bids_its_limit_until_all_is_spent() -> None:
    pacer = Pacer(BUDGET, FLAT, Limit(2_000.0), is_accelerated=True)
    errors, pace, seen = run(pacer, Pace(2_000.0))
    assert (2_000, BUDGET.amount) == (pace.bid, seen.spent)
    assert max(errors) > 0.9


def test_a_new_day_keeps_the_bid_and_forgets_what_was_spent() -> None:
    pacer = Pacer(BUDGET, FLAT)
    _, pace, seen = run(pacer, Pace(20.0))
    morning = Pacer(
        BUDGET._replace(period="2026-11-28", begin_s=DAY_S, end_s=2 * DAY_S),
        Curve(FLAT.edges_s + DAY_S, FLAT.shares),
    )
    begun = morning.step(pace, Seen(0, seen.cost, seen.actions), DAY_S + 1)
    assert (pace.bid, 0, "2026-11-28") == (begun.bid, begun.spent, begun.period)
    later = morning.step(begun, Seen(5, seen.cost + 5, seen.actions), DAY_S + 11)
    assert pace.bid == pytest.approx(later.bid, rel=0.1)


def test_steps_of_no_length_and_clocks_that_go_back_change_no_bid() -> None:
    pacer = Pacer(BUDGET, FLAT)
    pace = pacer.step(Pace(20.0), Seen(0, 0, 0), 100)
    assert pace == pacer.step(pace, Seen(50, 50, 1), 100)
    back = pacer.step(pace, Seen(50, 50, 1), 90)
    assert (20, 90, 50) == (back.bid, back.as_of_s, back.spent)


@given(st.lists(st.tuples(st.floats(0.1, 200), st.floats(0, 1e5)), max_size=30), st.booleans())
def test_any_course_of_events_gives_a_bid(
    course: list[tuple[float, float]], has_limit: bool
) -> None:
    pacer = Pacer(BUDGET, FLAT, Limit(100.0, is_mean=True) if has_limit else Limit())
    pace, now_s, spent = Pace(1.0), 0.0, 0.0
    for elapsed_s, cost in course:
        now_s, spent = now_s + elapsed_s, spent + cost
        pace = pacer.step(pace, Seen(spent, spent, spent / 1e4), now_s)
        assert 0 < pace.bid < math.inf
        assert 0.1 <= pace.correction <= 3


def test_who_is_far_ahead_bids_nothing_and_goes_on_from_where_it_was() -> None:
    pacer = Pacer(BUDGET, FLAT)
    pace = pacer.step(Pace(200.0), Seen(0, 0, 0), 100)
    ahead = pacer.step(pace, Seen(5_000, 5_000, 1), 110)
    assert BID_MIN == ahead.bid < ahead.level < 200
    # 5 % of the day are 4,320 seconds, less a quarter of an hour.
    for now_s in range(120, 3_420, 10):
        ahead = pacer.step(ahead, Seen(5_000, 5_000, 1), now_s)
        assert BID_MIN == ahead.bid
    again = pacer.step(ahead, Seen(5_000, 5_000, 1), 3_430)
    assert BID_MIN < again.bid == again.level < ahead.level + 1e-9
