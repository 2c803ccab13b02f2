"""The auction: whose ad a person sees, and what each place costs.

Total value = bid × estimated action rate + quality, the Marketing API's words: a bid in units per
action, a rate in actions per impression (for value goals a bid in units per unit of value and an
expected value), a quality in units per impression. Places are filled one after the other, each by
an ad of another ad set. An ad pays what it needed to come before the best that has no place yet,
never more than its bid × rate: the generalized second price (Edelman, Ostrovsky, Schwarz 2007,
"Internet Advertising and the Generalized Second-Price Auction", section I), where quality counts
as in Varian 2007, "Position auctions".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
OUT = -np.inf
"""The total value of an ad that takes no part."""


class Pick(NamedTuple):
    """An ad for one place. `propensity` is the probability in (0, 1] with which it was picked,
    given the places before it."""

    ad: int
    propensity: float
    is_explored: bool


class Placed(NamedTuple):
    """An ad in its place. `runner_up` is the best total value among ad sets without a place, OUT
    where there is none; `propensity` as in `Pick`."""

    ad: int
    propensity: float
    is_explored: bool
    runner_up: float


Picker = Callable[[Array, int], Pick]
"""Picks from the total values of ads that are left (OUT for the others) and the best of them."""


def pick_best(totals: Array, best: int) -> Pick:
    """The ad with the highest total value; of equal ones the first."""
    return Pick(best, 1.0, False)


def total_values(values: Array, qualities: Array, floor: float = 0.0) -> Array:
    """Total value per impression: `values` are bid × rate. Who bids below the floor is OUT.

    >>> total_values(np.array([30.0, 4.0]), np.array([1.0, 9.0]), floor=5).tolist()
    [31.0, -inf]
    """
    return np.where(values >= floor, values + qualities, OUT)


def run_auction(
    totals: Array, ad_sets: Array, places: int, pick: Picker = pick_best
) -> list[Placed]:
    """Fill at most so many places, first things first. `ad_sets` numbers the ad set of each ad.

    >>> run_auction(np.array([9.0, 8.0, 5.0]), np.array([0, 0, 1]), places=2)
    [Placed(ad=0, propensity=1.0, is_explored=False, runner_up=5.0), \
Placed(ad=2, propensity=1.0, is_explored=False, runner_up=-inf)]
    """
    left = totals.copy()
    placed: list[Placed] = []
    best = int(left.argmax()) if len(left) else 0
    while len(placed) < min(places, len(left)) and left[best] > OUT:
        picked = pick(left, best)
        left[ad_sets == ad_sets[picked.ad]] = OUT
        best = int(left.argmax())
        placed.append(Placed(*picked, float(left[best])))
    return placed


def price_per_impression(
    value: float, quality: float, runner_up: float, floor: float = 0.0
) -> float:
    """Units that a placed ad pays for an impression: at least the floor, at most `value` (its bid ×
    rate). An explored ad that the runner-up beats pays its whole value.

    >>> price_per_impression(value=30, quality=1, runner_up=21)
    20
    """
    return min(value, max(floor, runner_up - quality))


def worst_costs(values: Array, click_rates: Array, are_per_click: Array) -> Array:
    """The most that an impression of each ad can come to cost, in whole units: its value, or that
    of a click where clicks are billed.

    >>> worst_costs(np.array([2.5, 2.5]), np.array([0.01, 0.01]), np.array([False, True])).tolist()
    [3, 250]
    """
    per_click = values / np.maximum(click_rates, _RATE_MIN)
    return np.ceil(np.where(are_per_click, per_click, values)).astype(np.int64)


_RATE_MIN = 1e-9


def round_units(amount: float, chance: float) -> int:
    """A whole number of units whose mean is `amount`; `chance` is uniform in [0, 1). Sums of small
    prices stay right, where rounding each to the nearest would not.

    >>> round_units(2.25, 0.2), round_units(2.25, 0.3)
    (3, 2)
    """
    whole = int(amount // 1)
    return whole + (chance < amount - whole)
