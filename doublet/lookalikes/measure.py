"""How well an order of persons finds those who join a seed later: recall and lift, with intervals.

Persons are put in order of their score. `recall` at a depth r is the share of the held-out seed
(weighted, where the seed has values) among the first r of all persons, `lift` is recall / r: how
many times more than by chance. `gain` is what candidates are compared by: the mean of recall over
all depths up to `depth_max`, times 2 (chance: depth_max; perfect: 2). At one depth alone, such as
1 %, a handful of persons would decide. Intervals are of 95 % by the bootstrap over the held-out
seed (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13), the same draws for
all candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

RATIOS = (0.01, 0.05, 0.10)
DRAWS = 1000
_DEPTH_MIN = 0.10

Numbers = NDArray[np.float64]


class Reached(msgspec.Struct, frozen=True):
    """What is found at a depth, with the ends of 95 % intervals."""

    ratio: float
    recall: float
    recall_low: float
    recall_high: float
    lift: float
    lift_low: float
    lift_high: float


class Candidate(msgspec.Struct, frozen=True):
    """A way to order persons, and what came of it on the held-out seed. `gain_error` is one
    standard error."""

    name: str
    is_simple: bool
    gain: float
    gain_error: float
    reached: tuple[Reached, ...]


class Difference(NamedTuple):
    """How far one gain is above another on the same persons, with its standard error."""

    gain: float
    error: float

    @property
    def is_shown(self) -> bool:
        """Whether zero is below its 95 % interval."""
        return self.gain > 1.96 * self.error


def depths(
    scores: Numbers, is_held_out: NDArray[np.bool_], weights: Numbers, chance: Any
) -> Numbers:
    """At which depth (0 to 1) each held-out person stands; `weights` says for how many persons each
    row stands. The order of equal scores is drawn.

    >>> import numpy as np
    >>> one = np.ones(4)
    >>> depths(np.array([4.0, 3, 2, 1]), one > 0, one, np.random.default_rng(1)).tolist()
    [0.25, 0.5, 0.75, 1.0]
    """
    order = np.lexsort((chance.random(len(scores)), -scores))
    summed = np.cumsum(weights[order])
    found = np.empty(len(scores))
    found[order] = summed / summed[-1]
    return found[is_held_out]


def gains(found: Numbers, depth_max: float) -> Numbers:
    """What each held-out person adds to the gain: from 2 at the top to 0 at `depth_max`."""
    return 2 * np.maximum(0.0, 1 - found / depth_max)


def depth_max(ratio: float) -> float:
    """Down to where candidates are compared."""
    return max(_DEPTH_MIN, ratio)


def difference(one: Numbers, other: Numbers, values: Numbers, ratio: float) -> Difference:
    """Gain of one candidate minus another's, from the depths of the same persons."""
    deep = depth_max(ratio)
    apart = gains(one, deep) - gains(other, deep)
    return Difference(*_mean(apart, values))


def _mean(numbers: Numbers, values: Numbers) -> tuple[float, float]:
    """A weighted mean and its standard error."""
    total = values.sum()
    mean = float((values * numbers).sum() / total)
    error = float(np.sqrt(((values * (numbers - mean)) ** 2).sum()) / total)
    return mean, error


def measure(
    found: Mapping[str, Numbers],
    values: Numbers,
    ratio: float,
    simple: Sequence[str],
    chance: Any,
) -> list[Candidate]:
    """All candidates, from the depths of the held-out persons under each, with their weights."""
    ratios = tuple(sorted({*RATIOS, ratio}))
    is_hit = np.stack([each[:, None] <= np.array(ratios) for each in found.values()], axis=1)
    recalls = _recall(is_hit, values)
    drawn = np.stack(
        [_recall(is_hit, values * chance.poisson(1.0, len(values))) for _ in range(DRAWS)]
    )
    low, high = np.nanquantile(drawn, (0.025, 0.975), axis=0)
    candidates = []
    for place, (name, each) in enumerate(found.items()):
        gain, error = _mean(gains(each, depth_max(ratio)), values)
        reached = tuple(
            Reached(
                r,
                *(round(float(side[place, n]), 5) for side in (recalls, low, high)),
                *(round(float(side[place, n]) / r, 3) for side in (recalls, low, high)),
            )
            for n, r in enumerate(ratios)
        )
        is_simple = name in simple
        candidates.append(Candidate(name, is_simple, round(gain, 5), round(error, 5), reached))
    return candidates


def _recall(is_hit: NDArray[np.bool_], values: Numbers) -> Numbers:
    """By candidate and ratio; not a number where a draw has left nobody."""
    total = values.sum()
    shape = is_hit.shape[1:]
    if total <= 0:
        return np.full(shape, np.nan)
    hits = values @ is_hit.reshape(len(values), -1).astype(np.float64)
    return np.asarray(hits.reshape(shape) / total)
