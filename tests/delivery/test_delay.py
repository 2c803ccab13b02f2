"""Delays are found from what has been seen so far, and rates are right in spite of them."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.delivery import delay, examples
from doublet.delivery.delay import AT_ONCE, WINDOW_S, curve, delays, information, loss, slope
from doublet.delivery.examples import AdKey, Example, Examples

DAY_S = 86_400.0


def test_the_examples_are_right() -> None:
    results = [doctest.testmod(module) for module in (delay, examples)]
    assert 0 == sum(result.failed for result in results)
    assert 3 == sum(result.attempted > 0 for result in results) + 1


def truncated(count: int, seed: int, days: float = 14) -> tuple[np.ndarray, np.ndarray]:
    """Delays with a mean of two days, cut at the window, and ages of their clicks."""
    chance = np.random.default_rng(seed)
    took = -2 * DAY_S * np.log1p(-chance.random(count) * -np.expm1(-WINDOW_S / (2 * DAY_S)))
    age = chance.random(count) * days * DAY_S
    return took, age


def truth(age_s: float) -> float:
    return float(np.expm1(-age_s / (2 * DAY_S)) / np.expm1(-WINDOW_S / (2 * DAY_S)))


def test_the_curve_is_right_although_late_actions_of_young_clicks_are_missing() -> None:
    took, age = truncated(40_000, 1)
    came = took <= age
    found = curve(took[came], age[came])
    for days in (0.1, 0.5, 1, 2, 4, 6):
        assert truth(days * DAY_S) == pytest.approx(float(found.seen(days * DAY_S)), abs=0.02)
    # What was merely counted would be too quick.
    assert np.mean(took[came] <= DAY_S) > truth(DAY_S) + 0.02


def test_a_curve_never_falls_and_ends_at_one() -> None:
    took, age = truncated(300, 2)
    came = took <= age
    found = curve(took[came], age[came])
    assert (np.diff(found.shares) >= 0).all()
    assert 1.0 == found.shares[-1]
    assert 0.0 == found.seen(0)


def test_an_ad_set_with_few_actions_has_the_delays_of_all() -> None:
    took, age = truncated(20_000, 3)
    now = 30 * DAY_S
    quick, slow = AdKey("1", "quick", "c"), AdKey("2", "slow", "c")
    rows = [
        Example((), slow, now - old, now - old, now - old + late)
        for late, old in zip(took, age, strict=True)
    ]
    rows += [Example((), quick, now - old, now - old, now - old + 60) for old in age[:2_000]]
    late = delays(Examples.of(rows), now)
    ids = np.array(["quick", "slow", "new"])
    shares = late.seen(ids, np.full(3, 3_600.0))
    assert shares[0] > 0.95
    assert truth(3_600) == pytest.approx(shares[1], abs=0.01)
    assert shares[1] < shares[2] < shares[0]


def test_nothing_seen_means_nothing_is_late() -> None:
    none = Examples.of([Example((), AdKey("1", "2", "3"), 5.0)])
    assert AT_ONCE == delays(none, 10.0).all


@given(
    logit=st.floats(-8, 8), happened=st.booleans(), seen=st.floats(0.01, 1.0, allow_subnormal=False)
)
def test_the_slope_is_the_derivative_of_the_loss(logit: float, happened: bool, seen: float) -> None:
    here, step = np.array([logit]), 1e-5
    args = (np.array([happened]), np.array([seen]))
    numeric = (loss(here + step, *args) - loss(here - step, *args)) / (2 * step)
    assert float(numeric[0]) == pytest.approx(float(slope(here, *args)[0]), abs=1e-6)


@given(logit=st.floats(-8, 8), seen=st.floats(0.01, 1.0))
def test_information_is_the_mean_square_of_the_slope(logit: float, seen: float) -> None:
    both = np.full(2, logit)
    chance = seen / (1 + np.exp(-logit))
    slopes = slope(both, np.array([True, False]), np.full(2, seen))
    mean = chance * slopes[0] ** 2 + (1 - chance) * slopes[1] ** 2
    assert float(mean) == pytest.approx(float(information(both, np.full(2, seen))[0]), rel=1e-6)
