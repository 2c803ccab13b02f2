"""A model that would have earned less by the log is not tried; one that is unknown to it may be."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from doublet.delivery.decide import Terms
from doublet.delivery.examples import AdKey, Example, Examples
from doublet.delivery.rates import Ladder, Model, Names
from doublet.delivery.rehearsal import rehearse
from doublet.delivery.shelf import Shelf
from tests.delivery.shelves import account, shelf_of

TERMS = Terms(floor=0.0, epsilon=0.1)


def shelf_that_prefers(*logits: float) -> Shelf:
    """Two ads of equal bids; clicks are wanted, and the model believes in these logits."""
    clicks = {"optimization_goal": "LINK_CLICKS"}
    prior = Model.prior()
    effects = Ladder(0.0, np.empty(0), np.array(logits), np.empty(0), np.zeros(3))
    model = replace(
        prior,
        names=Names(adsets=("200", "201")),
        goals=("LINK_CLICKS", "LINK_CLICKS"),
        click=replace(prior.click, effects=effects),
    )
    return shelf_of(account(clicks, clicks), 1e4, 1e4, model=model)


def logged(rates: tuple[float, float], count: int = 4_000) -> Examples:
    """Impressions of both ads by lot, clicked at these rates."""
    rng = np.random.default_rng(3)
    rows = []
    for n in range(count):
        which = int(rng.integers(2))
        ad = AdKey(str(300 + 10 * which), str(200 + which), str(100 + which))
        clicked_at = n + 1.0 if rng.random() < rates[which] else None
        rows.append(Example(("place:home",), ad, float(n), clicked_at, propensity=0.5))
    return Examples.of(rows)


def test_what_would_have_earned_less_is_refused() -> None:
    told = logged((0.2, 0.05))
    assert rehearse(shelf_that_prefers(-1.0, -3.0), told, TERMS).is_accepted
    verdict = rehearse(shelf_that_prefers(-3.0, -1.0), told, TERMS)
    assert not verdict.is_accepted
    # The truth is 0.05 instead of the mean of both.
    _, low, high = map(float, re.findall(r"\d\.\d\d", verdict.reasons[0]))
    assert low < 0.05 / 0.125 < high


def test_what_the_log_says_too_little_of_may_be_tried() -> None:
    worse = shelf_that_prefers(-3.0, -1.0)
    assert rehearse(worse, logged((0.2, 0.05), 60), TERMS).is_accepted
    assert rehearse(worse, logged((0.0, 0.0)), TERMS).is_accepted
    assert rehearse(worse, Examples.of([]), TERMS).is_accepted
