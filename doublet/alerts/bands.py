"""Whether a count or a share is still usual, given the same hour of earlier weeks. Pure functions.

Counts of visitors vary more than chance alone would have it: by a share of their mean, however
large it is, so they are taken for negative binomial with variance m + v·m², v being the square of
that share. The arc hyperbolic sine of the root makes the variance of such counts the same for all
means, and the arc sine of the root that of shares (F. J. Anscombe, The transformation of Poisson,
binomial and negative-binomial data, Biometrika 35, 1948).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

WEEKS_MIN = 2
"""So many earlier weeks are needed before anything is unusual."""

DEVIATION_MAX = 5.0
"""In standard deviations. `bench/alerts.py` counts the false alarms of clean weeks: at 4.5 there
were four among twelve series, at 5 one, and no outage was found later for it."""

_LEVEL_MIN, _LEVEL_MAX = 0.2, 5.0
_VARIATION_MIN = 1e-9


class Band(NamedTuple):
    """What is usual: `expected`, and the lowest and highest value that are not worth a word."""

    expected: float
    lowest: float
    highest: float


def usual_count(
    earlier: Sequence[float], level: float, variation: float, deviation_max: float = DEVIATION_MAX
) -> Band | None:
    """The band of a count from the counts of the same hour in `earlier` weeks, times `level`, by
    how much the days before were busier than theirs. None when there are too few weeks.

    Anscombe, with k = 1/`variation`: 2·sqrt(k − 1/2)·arsinh(sqrt((x + 3/8)/(k − 3/4))) has
    variance 1. The expectation is a mean of n weeks, whose own variance adds 1/n.

    >>> band = usual_count([100, 100, 100, 100], 1.0, 0.0)
    >>> round(band.expected), round(band.lowest), round(band.highest)
    (100, 52, 164)
    >>> usual_count([100], 1.0, 0.0) is None
    True
    """
    if len(earlier) < WEEKS_MIN:
        return None
    level = min(max(level, _LEVEL_MIN), _LEVEL_MAX)
    expected = level * sum(earlier) / len(earlier)
    k = 1 / max(variation, _VARIATION_MIN)
    width = deviation_max * math.sqrt(1 + 1 / len(earlier)) / (2 * math.sqrt(k - 1 / 2))
    middle = math.asinh(math.sqrt((expected + 3 / 8) / (k - 3 / 4)))
    lowest, highest = (
        max((k - 3 / 4) * math.sinh(max(edge, 0.0)) ** 2 - 3 / 8, 0.0)
        for edge in (middle - width, middle + width)
    )
    return Band(expected, lowest, highest)


def usual_share(
    earlier: Sequence[tuple[int, int]], now: int, deviation_max: float = DEVIATION_MAX
) -> Band | None:
    """The band of the share among `now` cases from (hits, cases) of earlier weeks, 0 to 1. None
    when there are too few weeks or no cases.

    The arc sine of the root of a share of n cases has variance 1/(4n). How much the share varies
    from week to week beyond that is measured on the weeks themselves.

    >>> band = usual_share([(80, 100), (78, 100), (82, 100), (80, 100)], 400)
    >>> round(band.expected, 2), band.lowest < 0.7, band.highest > 0.9
    (0.8, True, True)
    """
    weeks = [(hits, cases) for hits, cases in earlier if cases]
    total = sum(cases for _, cases in weeks)
    if len(weeks) < WEEKS_MIN or not now:
        return None
    expected = sum(hits for hits, _ in weeks) / total
    middle = math.asin(math.sqrt(expected))
    angles = [math.asin(math.sqrt(hits / cases)) for hits, cases in weeks]
    chance = sum(1 / (4 * cases) for _, cases in weeks) / len(weeks)
    spread = sum((angle - middle) ** 2 for angle in angles) / (len(weeks) - 1)
    beyond = max(spread - chance, 0.0)
    width = deviation_max * math.sqrt(1 / (4 * now) + 1 / (4 * total) + beyond)
    low, high = max(middle - width, 0.0), min(middle + width, math.pi / 2)
    return Band(expected, math.sin(low) ** 2, math.sin(high) ** 2)


def variation_of(weeks: Sequence[Sequence[float]]) -> float:
    """By how much counts vary beyond chance, as the square of a share of their mean: by moments,
    the sum of (s² − m) over the sum of m² for hours with mean m and variance s² over `weeks` (each
    the counts per hour of a week, all of equal length); from 0 to 1.

    >>> variation_of([[100, 0], [100, 0]]), round(variation_of([[80, 50], [120, 50]]), 3)
    (0.0, 0.052)
    """
    if len(weeks) < WEEKS_MIN:
        return 0.0
    beyond = squares = 0.0
    for hour in zip(*weeks, strict=True):
        mean = sum(hour) / len(hour)
        variance = sum((count - mean) ** 2 for count in hour) / (len(hour) - 1)
        beyond += variance - mean
        squares += mean * mean
    return min(max(beyond / squares, 0.0), 1.0) if squares else 0.0
