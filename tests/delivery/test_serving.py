"""A new model has to earn its place, and loses it when it does worse."""

from __future__ import annotations

import pytest

from doublet.delivery.book import Share, share_of
from doublet.delivery.calibration import Served, Verdict
from doublet.delivery.serving import (
    FRESH_IMPRESSIONS,
    RELEARN_S,
    TRIAL_ACTIONS,
    TRIAL_S,
    TRIAL_SHARE,
    Serving,
)

GOOD, BAD = Verdict(True), Verdict(False, ("off",))
NOW = 1_000_000.0
LITTLE = Served(5.0, 5, 500)


def test_nothing_learned_leaves_all_to_prior_rates() -> None:
    assert () == Serving().shares()


def test_a_new_model_serves_a_small_share_and_then_all() -> None:
    tried = Serving().learned("one", GOOD, 1_000, NOW)
    assert (Share("", 1 - TRIAL_SHARE), Share("one", TRIAL_SHARE)) == tried.shares()
    draws = [share_of(tried.shares(), n / 1000) for n in range(1000)]
    assert pytest.approx(TRIAL_SHARE) == draws.count("one") / 1000
    assert tried == tried.reviewed(LITTLE, LITTLE, NOW + 60)
    enough = Served(TRIAL_ACTIONS, 30, 3_000)
    assert (Share("one", 1.0),) == tried.reviewed(enough, LITTLE, NOW + 60).shares()
    # Where actions are rare, time is enough.
    assert (Share("one", 1.0),) == tried.reviewed(LITTLE, LITTLE, NOW + TRIAL_S).shares()


def test_a_model_that_is_refused_or_falls_back_says_why() -> None:
    serving = Serving(stable="old")
    refused = serving.learned("new", BAD, 1_000, NOW)
    assert ((Share("old", 1.0),), "new", ("off",)) == (
        refused.shares(),
        refused.refused,
        refused.reasons,
    )
    tried = serving.learned("new", GOOD, 1_000, NOW)
    # Four times as many predicted as came, while the old one is right.
    fallen = tried.reviewed(Served(400.0, 100, 10_000), Served(900.0, 900, 90_000), NOW + 60)
    assert ((Share("old", 1.0),), "new") == (fallen.shares(), fallen.refused)
    assert "4.00" in fallen.reasons[0]
    dearer = tried.reviewed(Served(100.0, 100, 50_000), Served(900.0, 900, 90_000), NOW + 60)
    assert ("new", True) == (dearer.refused, "5.00 times" in dearer.reasons[0])


def test_learning_is_due_when_there_is_enough_new() -> None:
    fresh = Serving()
    assert not fresh.is_learning_due(FRESH_IMPRESSIONS - 1, NOW)
    assert fresh.is_learning_due(FRESH_IMPRESSIONS, NOW)
    known = Serving(stable="old", impressions=10_000, learned_at=NOW)
    assert not known.is_learning_due(12_000, NOW + 60)
    assert known.is_learning_due(12_500, NOW + 60)
    assert known.is_learning_due(10_200, NOW + RELEARN_S)
    assert not known.is_learning_due(10_100, NOW + RELEARN_S)
    assert not known.learned("new", GOOD, 12_500, NOW).is_learning_due(50_000, NOW + RELEARN_S)
