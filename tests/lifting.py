"""A fast market for tests of lift: only what persons buy, drawn in bulk, with the truth known.

People are as in `doublet/demo/market/market.toml`: how active one is, is exponential, how readily
one buys, gamma; both make visits and ads, so that those who see ads buy more anyway. Purchases are
followed up by others. Who is held out is drawn for each person with an opportunity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from doublet.lift.estimate import (
    CONVERTERS_MIN,
    Limits,
    Moments,
    difference,
    mean_limits,
    ratio,
    share_limits,
)

_VISITS_PER_DAY = 0.15
_PURCHASE_SHARE = 0.06
_REPEAT_SHARE = 0.15
_EFFECT_DAYS = 7.0
_PRICE_LOG_SD = 0.7
_PRICE_MEAN = 40.0

Array = Any
"""A numpy array of floats."""


@dataclass(frozen=True)
class Trial:
    """One holdout: how many persons had an opportunity, the share held out, for how many days it
    ran, the ad's effect on the chance of a purchase, ads per person and day, share of clicks."""

    persons: int
    held_out_share: float
    effect: float
    days: float = 30.0
    ads_per_day: float = 0.1
    click_share: float = 0.0
    purchase_share: float = _PURCHASE_SHARE


@dataclass(frozen=True)
class Arms:
    """The sums of both arms of many trials, an element each: of one outcome, and converters."""

    held_out: Moments
    shown: Moments
    held_out_converters: Array
    shown_converters: Array

    @property
    def has_enough(self) -> Array:
        """In which trials figures would be given."""
        return np.minimum(self.held_out_converters, self.shown_converters) >= CONVERTERS_MIN


@dataclass(frozen=True)
class Outcome:
    """What each person of one arm did: `purchases` and what they cost."""

    purchases: Array
    value: Array


def _people(trial: Trial, persons: int, chance: np.random.Generator) -> tuple[Array, Array]:
    """For persons with an opportunity: the purchases to be expected without the ads, and with."""
    activity = np.empty(0)
    while activity.size < persons:
        drawn = chance.exponential(size=4 * persons + 64)
        seen = 1 - np.exp(-trial.ads_per_day * drawn * trial.days)
        activity = np.concatenate([activity, drawn[chance.random(drawn.size) < seen]])
    activity = activity[:persons]
    rate = trial.ads_per_day * activity
    # The first opportunity: exponential, cut off at the end.
    first = -np.log1p(-chance.random(persons) * (1 - np.exp(-rate * trial.days))) / rate
    propensity = chance.gamma(2, 0.5, persons)
    left = (trial.days - first) * trial.purchase_share * propensity
    clicks = rate * trial.click_share / 2
    anyway = _VISITS_PER_DAY * activity + clicks
    covered = 1 - np.exp(-rate * _EFFECT_DAYS)
    lifted = anyway * (1 + (trial.effect - 1) * covered) + clicks * trial.effect
    return left * anyway, left * lifted


def true_means(trial: Trial, persons: int = 1_000_000) -> dict[str, tuple[float, float]]:
    """Per person in the long run, (held out, shown): share of converters, purchases, value."""
    chance = np.random.default_rng(987_654)
    expected = np.zeros((2, 2))
    for _ in range(4):
        for arm, rates in enumerate(_people(trial, persons // 4, chance)):
            expected[arm] += np.array([(1 - np.exp(-rates)).mean(), rates.mean()]) / 4
    purchases = expected[:, 1] / (1 - _REPEAT_SHARE)
    return {
        "converters": (float(expected[0, 0]), float(expected[1, 0])),
        "conversions": (float(purchases[0]), float(purchases[1])),
        "value": (float(purchases[0] * _PRICE_MEAN), float(purchases[1] * _PRICE_MEAN)),
    }


def outcomes(trial: Trial, seeds: range) -> Iterator[tuple[Outcome, Outcome]]:
    """For each seed what the held out did, and those who were shown the ads."""
    for seed in seeds:
        chance = np.random.default_rng([seed, 20_260_727])
        without, lifted = _people(trial, trial.persons, chance)
        is_held_out = chance.random(trial.persons) < trial.held_out_share
        first = chance.poisson(np.where(is_held_out, without, lifted))
        purchases = first.copy()
        buys = first > 0
        purchases[buys] += chance.negative_binomial(first[buys], 1 - _REPEAT_SHARE)
        prices = chance.lognormal(
            np.log(_PRICE_MEAN) - _PRICE_LOG_SD**2 / 2, _PRICE_LOG_SD, purchases.sum()
        )
        buyer = np.repeat(np.arange(trial.persons), purchases)
        value = np.bincount(buyer, prices, trial.persons)
        yield (
            Outcome(purchases[is_held_out], value[is_held_out]),
            Outcome(purchases[~is_held_out], value[~is_held_out]),
        )


def sums(trial: Trial, seeds: range) -> dict[str, Arms]:
    """The sums of each trial, by outcome."""
    kinds = ("converters", "conversions", "value")
    rows = np.empty((len(kinds), 2, len(seeds), 3))
    for number, arms in enumerate(outcomes(trial, seeds)):
        for arm, told in enumerate(arms):
            for kind, each in enumerate((told.purchases > 0, told.purchases, told.value)):
                each = each.astype(float)
                rows[kind, arm, number] = each.size, each.sum(), (each**2).sum()
    converters = rows[0, :, :, 1]
    return {
        kind: Arms(*(Moments(*rows[n, arm].T) for arm in (0, 1)), *converters)
        for n, kind in enumerate(kinds)
    }


def intervals(kind: str, arms: Arms) -> tuple[Limits, Limits]:
    """Difference and ratio as the report makes them, of all trials at once."""
    pair = (arms.held_out, arms.shown)
    if kind == "converters":
        limits = [share_limits(arm) for arm in pair]
    elif kind == "conversions":
        limits = [mean_limits(arm, arm.persons) for arm in pair]
    else:
        told = (arms.held_out_converters, arms.shown_converters)
        limits = [mean_limits(arm, count) for arm, count in zip(pair, told, strict=True)]
    return difference(*limits), ratio(*limits)


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth; how often it is below or above them; median width."""

    held: float
    below: float
    above: float
    width: float


def coverage(limits: Limits, truth: float, counts: Array) -> Coverage:
    """Of the intervals that count."""
    low, high = limits.low[counts], limits.high[counts]
    held = (low <= truth) & (truth <= high)
    below, above = (truth < low).mean(), (truth > high).mean()
    return Coverage(*map(float, (held.mean(), below, above, np.median(high - low))))
