"""Exploration: a small share of places goes to cold ads, whose rates nobody knows yet.

Epsilon-greedy (Sutton and Barto 2018, section 2.2): with probability epsilon a place goes to one of
the cold ads that are left, all alike, otherwise to the best ad. The probability of what was picked
is exact given the places before it, so that the probability of a whole page is the product over its
places; estimates off-line rest on that.
"""

from __future__ import annotations

import numpy as np

from doublet.delivery.auction import OUT, Array, Pick


class Explorer:
    """Picks for `doublet.delivery.auction.run_auction`, for one decision."""

    def __init__(self, are_cold: Array, epsilon: float, rng: np.random.Generator) -> None:
        """`are_cold` says of each ad whether its ad set is learning; `epsilon` in [0, 1)."""
        self._are_cold = are_cold
        self._epsilon = epsilon
        self._rng = rng

    def __call__(self, totals: Array, best: int) -> Pick:
        """An ad and its propensity. Without a cold ad among those left it is the best."""
        cold = np.flatnonzero(self._are_cold & (totals > OUT))
        if not len(cold):
            return Pick(best, 1.0, False)
        is_explored = bool(self._rng.random() < self._epsilon)
        ad = int(cold[self._rng.integers(len(cold))]) if is_explored else best
        propensity = (1 - self._epsilon) * (ad == best)
        if self._are_cold[ad]:
            propensity += self._epsilon / len(cold)
        return Pick(ad, propensity, is_explored)
