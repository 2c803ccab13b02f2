"""Predictions are held against what came, set right by goal, and models that are off refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from doublet.delivery.calibration import (
    WAYS,
    CalibrationReport,
    Served,
    calibrate,
    isotonic,
    judge,
    learn,
    platt,
    ratio,
    report,
    watch,
)
from doublet.delivery.delay import probability
from doublet.delivery.examples import Examples, Numbers
from doublet.delivery.rates import Model, predict
from tests.delivery.stream import DAY_S, Stream
from tests.delivery.test_fitting import seen

Flags = NDArray[np.bool_]

ONES = np.ones(50_000)
NO_GOAL = np.full(50_000, "")


def events(seed: int, slope: float = 1.0, shift: float = 0.0) -> tuple[Numbers, Flags]:
    """Logits of a model, and what came by other rates."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(-3, 1, 50_000)
    return logits, chance.random(50_000) < probability(logits * slope + shift)


def told(p: Numbers, happened: Flags) -> CalibrationReport:
    return report(p, happened, np.ones(len(p)))


def test_a_report_says_by_how_much_predictions_are_off() -> None:
    logits, happened = events(1)
    fine = told(probability(logits), happened)
    assert fine.low < 1 < fine.high
    assert 9 <= sum(one.low < 1 < one.high for one in fine.tenths)
    assert fine.observed == happened.sum() == sum(one.observed for one in fine.tenths)
    assert fine.gain > 10 * fine.gain_error
    twice = told(np.minimum(2 * probability(logits), 0.99), happened)
    assert 1.9 < twice.ratio < 2.1
    assert judge(fine).is_accepted
    assert judge(twice).reasons[0].startswith("predicted ÷ observed is ")


def test_half_of_the_actions_seen_is_half_of_them_expected() -> None:
    logits, happened = events(2)
    is_seen = np.random.default_rng(3).random(50_000) < 0.5
    found = report(probability(logits), happened & is_seen, np.full(50_000, 0.5))
    assert found.low < 1 < found.high
    assert found.predicted == pytest.approx(probability(logits).sum() / 2)


def test_intervals_of_a_ratio_hold_the_truth_as_often_as_they_say() -> None:
    chance = np.random.default_rng(4)
    for mean in (5, 30, 300):
        ends = [ratio(mean, int(n)) for n in chance.poisson(mean, 4_000)]
        # Counts are whole, so that small ones are held a little too often.
        assert 0.94 <= np.mean([low <= 1 <= high for _, low, high in ends]) <= 0.985


@pytest.mark.parametrize(("slope", "shift"), [(0.7, 0.3), (1.3, -0.4), (1.0, 0.0)])
def test_platts_line_is_found_although_actions_are_late(slope: float, shift: float) -> None:
    logits, happened = events(5, slope, shift)
    chance = np.random.default_rng(6)
    share = chance.uniform(0.3, 1, 50_000)
    line = platt(logits, happened & (chance.random(50_000) < share), share)
    assert slope == pytest.approx(line[0], abs=0.12)
    assert shift - 3 * slope == pytest.approx(line[1] - 3 * line[0], abs=0.12)


def test_with_little_to_go_by_a_line_stays_where_it_was() -> None:
    nothing = np.empty(0)
    assert (1.0, 0.0) == platt(nothing, nothing.astype(bool), nothing)
    line = platt(np.array([-3.0]), np.array([True]), np.ones(1))
    assert (1.0, 0.0) == pytest.approx(line, abs=0.4)


def test_isotonic_levels_rise_and_follow_a_bend() -> None:
    logits, _ = events(7)
    bent = probability(np.where(logits < -3, logits - 1, logits))
    happened = np.random.default_rng(8).random(50_000) < bent
    knots, levels = isotonic(logits, happened, ONES)
    assert (np.diff(knots) > 0).all()
    assert (np.diff(levels) >= 0).all()
    moved = np.interp([-4.0, -2.0], knots, levels)
    assert [-5.0, -2.0] == pytest.approx(moved, abs=0.3)


def test_goals_are_set_right_each_by_its_own() -> None:
    logits, happened = events(9, shift=0.5)
    others, came = events(10, shift=-0.5)
    goals = np.repeat(["Lead", "Purchase"], 50_000)
    both = np.append(logits, others), np.append(happened, came), np.ones(100_000), goals
    for way in ("platt", "isotonic"):
        made = calibrate(way, *both)
        moved = made(both[0], made.places([str(goal) for goal in goals]))
        for goal, shift in (("Lead", 0.5), ("Purchase", -0.5)):
            of_it = goals == goal
            mean = probability(moved[of_it]).mean()
            assert mean == pytest.approx(probability(both[0][of_it] + shift).mean(), rel=0.05)
    assert {"none", "platt", "isotonic"} == set(WAYS)


def test_a_goal_with_few_events_is_set_right_like_all() -> None:
    logits, happened = events(11, shift=0.5)
    goals = np.where(np.arange(50_000) < 100, "Lead", "Purchase")
    assert ("", "Purchase") == calibrate("platt", logits, happened, ONES, goals).goals


@pytest.mark.parametrize(
    ("gain", "error", "is_accepted"),
    [(-0.01, 0.002, False), (-0.001, 0.002, True), (0.01, 0, True)],
)
def test_a_model_worse_than_the_one_in_use_is_refused(
    gain: float, error: float, is_accepted: bool
) -> None:
    logits, happened = events(12)
    assert is_accepted == judge(told(probability(logits), happened), gain, error).is_accepted


def test_a_model_that_knows_less_than_a_single_rate_is_refused() -> None:
    logits, happened = events(13)
    backward = probability(-6 - logits)
    verdict = judge(told(backward * happened.mean() / backward.mean(), happened))
    assert ["its loss of"] == [reason[:11] for reason in verdict.reasons]


def test_a_model_that_turns_out_worse_than_the_old_one_falls_back() -> None:
    fine = Served(predicted=410.0, observed=400, spent=4_000_000)
    assert watch(fine, fine).is_accepted
    assert not watch(Served(1_000.0, 400, 4_000_000), fine).is_accepted
    assert not watch(Served(410.0, 400, 6_000_000), fine).is_accepted
    assert not watch(Served(30.0, 0, 100_000), fine).is_accepted
    # Few actions say nothing yet.
    assert watch(Served(8.0, 4, 90_000), fine).is_accepted
    # What is off with both is not the new model's fault.
    assert watch(Served(1_000.0, 400, 4_000_000), Served(1_000.0, 400, 4_000_000)).is_accepted


def test_a_learned_model_is_calibrated_for_days_to_come() -> None:
    known: Stream = seen(3)
    held = known.examples.take(~known.is_past)
    done = learn(known.examples, known.ends_at, goals=known.goals, version="m3")
    assert done.verdict().is_accepted
    assert set(done.ways) <= set(WAYS)
    guess = predict(done.model, held)
    truth = known.p_click[~known.is_past]
    assert truth.mean() == pytest.approx(guess.p_click.mean(), rel=0.1)
    assert "m3" == done.model.version


def test_rates_that_have_changed_lately_are_set_right_and_others_left_alone() -> None:
    known = seen(3)
    past, now = known.examples.take(known.is_past), known.ends_at
    assert "none" == learn(past, now, goals=known.goals).ways[0]
    # Of the last two days' clicks half are missing.
    is_gone = (past.decided_at > now - 2 * DAY_S) & (np.arange(len(past)) % 2 == 0)
    fewer = replace(
        past,
        clicked_at=np.where(is_gone, np.nan, past.clicked_at),
        acted_at=np.where(is_gone, np.nan, past.acted_at),
    )
    done = learn(fewer, now, goals=known.goals)
    assert "none" != done.ways[0]
    lately = past.decided_at > now - 2 * DAY_S
    guess = predict(done.model, fewer.take(lately)).p_click.mean()
    # A part of the change is in the model already, so that it is a little overdone.
    assert fewer.clicked[lately].mean() == pytest.approx(guess, rel=0.3)


def test_a_model_is_compared_with_the_one_in_use_on_the_same_examples() -> None:
    known = seen(3)
    done = learn(known.examples, known.ends_at, goals=known.goals)
    again = learn(known.examples, known.ends_at, goals=known.goals, was=done.model)
    rates = learn(known.examples, known.ends_at, goals=known.goals, was=Model.prior(p_action=0.5))
    # The model in use has seen the days that the new one is tried on.
    assert again.gain < 0 < rates.gain
    assert rates.gain > 4 * rates.gain_error


def test_nothing_known_gives_a_model_of_base_rates() -> None:
    done = learn(Examples.of([]), 5.0, version="m0")
    assert done.verdict().is_accepted
    assert 0 == done.model.impressions


def test_what_always_happens_is_learned_without_a_warning() -> None:
    known = seen(3)
    clicked = known.examples.take(known.examples.clicked)
    assert np.isfinite(learn(clicked, known.ends_at).click.log_loss)
