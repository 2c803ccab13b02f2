"""Shapley values of channels (Shapley 1953): each one's mean contribution to a conversion, over all
orders in which channels might have come.

φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))

What a coalition S of channels is worth, v(S), decides what comes out:

- `rate`: the share of conversions among the journeys that touched nothing outside S. Journeys that
  ended without a conversion count, so that a channel on everybody's path earns little by it.
- `conversions`: the number of conversions of those journeys (Zhao, Mahboobi, Bagheri: Shapley value
  methods for attribution modeling in online advertising, 2018). That game is the sum, over all
  paths, of games in which just the path's own channels are needed; of one of those each channel has
  an equal part, and so the values are those of `linear` with `distinct`, exactly and for any data.
- `exact`: the conversions of journeys that touched all of S and nothing else. No coalition is worth
  what its parts are, and values may be below 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import TYPE_CHECKING, Literal, NamedTuple

from doublet.attribution.paths import Paths

if TYPE_CHECKING:
    from doublet.attribution.paths import Floats

Worth = Literal["rate", "conversions", "exact"]

CHANNELS_MAX = 15
"""So many channels have 32,768 coalitions."""


class Shapley(NamedTuple):
    """`conversions`: all of them, shared out in proportion to the values (those below 0 as 0);
    `values`: φ of each channel, in units of v."""

    conversions: dict[str, float]
    values: dict[str, float]


def shapley(paths: Paths, worth: Worth = "rate") -> Shapley:
    """The exact values. v(∅) is 0, also of a coalition that no journey keeps to. Raises ValueError
    for more than `CHANNELS_MAX` channels: call the rarest ones by one name first."""
    import numpy as np

    n = len(paths.channels)
    if n > CHANNELS_MAX:
        raise ValueError(
            f"Exact Shapley values take at most {CHANNELS_MAX} channels, these are {n}; call the "
            "rarest ones by one name."
        )
    total = float(paths.conversions.sum())
    if not len(paths):
        return Shapley({}, {})
    values = _values(_game(paths, n, worth), n)
    positive = np.clip(values, 0.0, None)
    scale = total / positive.sum() if positive.sum() > 0 else 0.0
    return Shapley(
        dict(zip(paths.channels, (positive * scale).tolist(), strict=True)),
        dict(zip(paths.channels, values.tolist(), strict=True)),
    )


OTHERS = "(other)"


def rarest_as_one(
    paths: Sequence[Sequence[str]], counts: Sequence[float], most: int = CHANNELS_MAX
) -> dict[str, str]:
    """A name for each channel: its own, or `OTHERS` for all but the `most` − 1 that most journeys
    touched, where there are more than `most`.

    >>> rarest_as_one([["a", "b"], ["c"]], [5, 1], most=2)
    {'a': 'a', 'b': '(other)', 'c': '(other)'}
    """
    touched: dict[str, float] = {}
    for path, count in zip(paths, counts, strict=True):
        for channel in set(path):
            touched[channel] = touched.get(channel, 0.0) + count
    ranked = sorted(touched, key=lambda channel: (-touched[channel], channel))
    kept = ranked if len(ranked) <= most else ranked[: most - 1]
    return {channel: channel if channel in kept else OTHERS for channel in sorted(touched)}


def _game(paths: Paths, n: int, worth: Worth) -> Floats:
    """v by coalition, as bits."""
    import numpy as np

    masks = paths.masks()
    conversions: Floats = np.bincount(masks, paths.conversions, 1 << n).astype(np.float64)
    if worth == "exact":
        return conversions
    won = _within(conversions, n)
    if worth == "conversions":
        return won
    walked: Floats = won + _within(np.bincount(masks, paths.losses, 1 << n).astype(np.float64), n)
    rates: Floats = np.divide(won, walked, out=np.zeros_like(won), where=walked > 0)
    return rates


def _within(counts: Floats, n: int) -> Floats:
    """For each set the sum over its subsets (the zeta transform of the subset lattice)."""
    sums = counts.copy()
    for bit in range(n):
        halves = sums.reshape(-1, 2, 1 << bit)
        halves[:, 1] += halves[:, 0]
    return sums


def _values(game: Floats, n: int) -> Floats:
    import numpy as np

    sizes = np.array([0])
    for _ in range(n):
        sizes = np.concatenate((sizes, sizes + 1))
    weights = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    values = np.empty(n)
    for bit in range(n):
        without, with_it = (game.reshape(-1, 2, 1 << bit)[:, half] for half in (0, 1))
        size = sizes.reshape(-1, 2, 1 << bit)[:, 0]
        values[bit] = (weights[size] * (with_it - without)).sum()
    return values
