"""Actions that have not come yet: how long they take, and how to learn before they are all there.

An action follows its click by seconds or days. At any moment young clicks have had little time, so
taking those without an action for failures makes every rate too low (Chapelle, Modeling Delayed
Feedback in Display Advertising, KDD 2014). Let F(t) be the share of actions that come within t
seconds of the click, and p the probability that one ever comes. After t seconds an action has been
seen with probability p·F(t), and that is the likelihood rates are fitted by: no young click is
thrown away, and none counts as a failure before its time.

F is estimated from the actions seen so far, each of which could only be seen because its delay was
shorter than its click is old (right truncation). The product-limit estimate for such delays is
Kaplan and Meier's in reversed time (Lagakos, Barraj and De Gruttola, Nonparametric Analysis of
Truncated Survival Data, Biometrika 1988): no shape is assumed, and rates need not be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doublet.delivery.examples import Examples, Numbers

WINDOW_S = 7 * 86_400.0
"""Actions later than this after the click are not attributed to it."""

BINS = 60
_SHORTEST_S = 30.0
_WEIGHT = 20.0
"""Actions of an ad set that weigh as much as what is known of all ad sets together."""


class Curve(NamedTuple):
    """F at the upper `edges` (seconds, ascending) of bins; straight between them, 0 at 0."""

    edges: Numbers
    shares: Numbers

    def seen(self, age_s: Any) -> Numbers:
        """The share of actions (0 to 1) that have come within these ages; 0 before any time."""
        found = np.interp(age_s, np.append(0.0, self.edges), np.append(0.0, self.shares))
        return np.asarray(found)


AT_ONCE = Curve(np.array([1e-9]), np.array([1.0]))
"""Nothing is delayed."""


class Delays(NamedTuple):
    """A curve for each ad set whose own delays are known, and one for all others."""

    all: Curve
    own: Mapping[str, Curve]

    def seen(self, adset_ids: NDArray[Any], age_s: Numbers) -> Numbers:
        """The share of actions seen by now, for clicks of these ages."""
        found = self.all.seen(age_s)
        for adset_id, curve in self.own.items():
            of_it = adset_ids == adset_id
            found[of_it] = curve.seen(age_s[of_it])
        return found


def edges(window_s: float = WINDOW_S) -> Numbers:
    """Upper edges of bins, finer at the start."""
    return np.geomspace(_SHORTEST_S, window_s, BINS)


def curve(
    delay_s: Numbers, age_s: Numbers, window_s: float = WINDOW_S, before: Curve | None = None
) -> Curve:
    """The curve of delays that were seen, each of a click that is `age_s` old now.

    With `before`, delays weigh against that curve as `_WEIGHT` more would. F reaches 1 at the
    window's end, or at the greatest age if no click is that old: what comes later cannot be known
    from these alone.

    >>> known = curve(np.array([100.0, 200.0, 50_000.0]), np.array([6e4, 6e4, 6e4]))
    >>> known.seen([0, 300, 60_000]).round(2).tolist()
    [0.0, 0.67, 1.0]
    """
    upper = edges(window_s)
    place = np.searchsorted(upper, delay_s)
    last = np.searchsorted(upper, np.minimum(age_s, window_s), side="right") - 1
    # A bin that a click is only partly old enough for says nothing.
    fits = (delay_s >= 0) & (place <= last)
    came = np.bincount(place[fits], minlength=BINS).astype(np.float64)
    ends = np.bincount(last[fits], minlength=BINS)
    # At risk of a delay in bin b, in reversed time: delay no later than b, click old enough for b.
    at_risk = np.cumsum(came) - (np.cumsum(ends) - ends)
    if before is not None:
        shares = before.seen(upper)
        hazard = np.diff(shares, prepend=0.0) / np.maximum(shares, 1e-12)
        came, at_risk = came + _WEIGHT * hazard, at_risk + _WEIGHT
    reverse = np.divide(came, at_risk, out=np.zeros(BINS), where=at_risk > 0)
    stay = np.append(1 - np.clip(reverse[1:], 0.0, 1.0), 1.0)
    return Curve(upper, np.cumprod(stay[::-1])[::-1])


def delays(examples: Examples, now: float, window_s: float = WINDOW_S, own_min: int = 50) -> Delays:
    """Curves of what has been seen by `now`; of their own where an ad set has `own_min` actions."""
    seen = examples.known_at(now)
    seen = seen.take(seen.clicked & seen.acted)
    if not len(seen):
        return Delays(AT_ONCE, {})
    took, age = seen.acted_at - seen.clicked_at, now - seen.clicked_at
    together = curve(took, age, window_s)
    adset_ids = np.array([ad.adset_id for ad in seen.ads])[seen.ad]
    names, counts = np.unique(adset_ids, return_counts=True)
    return Delays(
        together,
        {
            str(name): curve(took[adset_ids == name], age[adset_ids == name], window_s, together)
            for name in names[counts >= own_min]
        },
    )


def loss(logit: Numbers, happened: NDArray[np.bool_], seen: Numbers) -> Numbers:
    """Minus the log likelihood of what has been seen: -log(p·F) + log F where it `happened`, else
    -log(1 - p·F), with p = 1 / (1 + exp(-logit)) and F = `seen`; with F = 1 the logistic loss.

    >>> loss(np.zeros(2), np.array([True, False]), np.array([1.0, 0.5])).round(3).tolist()
    [0.693, 0.288]
    """
    rest = np.logaddexp(0.0, logit + np.log(np.maximum(1 - seen, 1e-300)))
    return np.asarray(np.logaddexp(0.0, logit) - np.where(happened, logit, rest))


def slope(logit: Numbers, happened: NDArray[np.bool_], seen: Numbers) -> Numbers:
    """The derivative of `loss` by the logit: p, minus the probability that an action comes given
    what has been seen."""
    p = probability(logit)
    return p - np.where(happened, 1.0, p * (1 - seen) / (1 - p * seen + 1e-300))


def information(logit: Numbers, seen: Numbers) -> Numbers:
    """Fisher's information about the logit: F·p·(1-p)² / (1 - p·F)."""
    p = probability(logit)
    return seen * p * (1 - p) ** 2 / (1 - p * seen + 1e-300)


def probability(logit: Any) -> Numbers:
    """1 / (1 + exp(-logit)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logit, np.float64))))
