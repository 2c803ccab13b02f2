"""Recall, lift and gain are what their definitions say, and intervals hold the truth."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from doublet.lookalikes import features, spec, stability
from doublet.lookalikes import measure as measuring
from doublet.lookalikes.make import choose
from doublet.lookalikes.measure import depths, difference, gains, measure

PERSONS = 10_000
ONES = np.ones(PERSONS)


def test_the_examples_are_right() -> None:
    modules = (features, measuring, spec, stability)
    results = [doctest.testmod(module) for module in modules]
    assert 0 == sum(result.failed for result in results)
    assert 3 <= sum(result.attempted for result in results)


def test_a_perfect_order_finds_all_and_a_reversed_one_nobody() -> None:
    rng = np.random.default_rng(1)
    is_seed = np.arange(PERSONS) < 100
    best = depths(-np.arange(PERSONS, dtype=float), is_seed, ONES, rng)
    worst = depths(np.arange(PERSONS, dtype=float), is_seed, ONES, rng)
    found = measure({"best": best, "worst": worst}, np.ones(100), 0.01, (), rng)
    assert [1.0, 1.0, 1.0] == [reached.recall for reached in found[0].reached]
    assert [100.0, 20.0, 10.0] == [reached.lift for reached in found[0].reached]
    assert [0.0, 0.0, 0.0] == [reached.recall for reached in found[1].reached]
    # The mean recall over depths up to 10 % times 2: 2 less what the first hundredth takes.
    assert found[0].gain == pytest.approx(2 * (1 - 0.05), abs=0.001)
    assert 0 == found[1].gain


def test_equal_scores_are_drawn_by_lot() -> None:
    rng = np.random.default_rng(2)
    is_seed = np.arange(PERSONS) < 4000
    found = depths(np.zeros(PERSONS), is_seed, ONES, rng)
    # 4,000 uniform draws: within four standard errors of the mean, 1/sqrt(12 * 4,000) each.
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert gains(found, 0.1).mean() == pytest.approx(0.1, abs=0.03)


def test_rows_that_stand_for_many_count_as_many() -> None:
    # Nine of ten others are left out; each that is there stands for ten.
    scores = np.array([5.0, 4, 3, 2, 1])
    is_seed = np.array([False, True, False, True, False])
    weights = np.array([10.0, 1, 10, 1, 10])
    found = depths(scores, is_seed, weights, np.random.default_rng(1))
    assert [11 / 32, 22 / 32] == found.tolist()


def test_values_weigh_whom_to_find() -> None:
    rng = np.random.default_rng(3)
    found = {"one": np.array([0.005, 0.5])}
    for values, expected in (([1.0, 1.0], 0.5), ([9.0, 1.0], 0.9), ([0.0, 1.0], 0.0)):
        (told,) = measure(found, np.array(values), 0.01, (), rng)
        assert expected == told.reached[0].recall


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    truth, held, trials = 0.2, 0, 60
    for _ in range(trials):
        # Of 300 people a fifth is in the first tenth.
        found = np.where(rng.random(300) < truth, 0.05, 0.6)
        (told,) = measure({"one": found}, np.ones(300), 0.1, (), rng)
        held += told.reached[-1].recall_low <= truth <= told.reached[-1].recall_high
    # A draw with 95 % is below 88 % of 60 once in a hundred.
    assert held / trials >= 0.88


def test_a_rich_way_is_taken_only_beyond_its_error() -> None:
    rng = np.random.default_rng(5)
    ones = np.ones(400)

    def ways(rich: np.ndarray) -> dict[str, np.ndarray]:
        simple = {name: rng.random(400) for name in ("random", "popularity", "neighbours")}
        made = {**simple, "rfm": rng.random(400) * 0.5, "logistic": rng.random(400)}
        return {**made, "tastes": rich, "boosting": rng.random(400), "blend": rng.random(400)}

    better = ways(rng.random(400) * 0.1)
    chosen = choose(better, ones, 0.01)
    assert ("tastes", "rfm", "tastes") == (chosen.name, chosen.best_simple, chosen.best_rich)
    alike = ways(rng.random(400) * 0.45)
    kept = choose(alike, ones, 0.01)
    assert 0 < kept.difference.gain < 1.96 * kept.difference.error
    assert "rfm" == kept.name


def test_the_difference_of_a_way_from_itself_is_none() -> None:
    found = np.random.default_rng(6).random(50)
    assert (0.0, 0.0) == difference(found, found, np.ones(50), 0.05)
