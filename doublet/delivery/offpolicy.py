"""Off-policy estimates: what another policy would have earned, from the log of one that served.

For each logged decision i: its reward r, the probability p with which the policy that served chose
what it chose, the probability q with which the other policy would have, and w = q / p.

- *ips*, inverse propensity score: mean of w·r (Horvitz and Thompson, A Generalization of Sampling
  Without Replacement, JASA 1952). Right on average wherever p > 0; varies much where w is large.
- *snips*, self-normalised: sum of w·r ÷ sum of w (Swaminathan and Joachims, The Self-Normalized
  Estimator for Counterfactual Learning, NIPS 2015). Varies less, off by little.
- *dr*, doubly robust: mean of v + w·(r - m), with m a model's reward of what was chosen and v its
  mean reward over what the other policy would choose (Dudík, Langford and Li, Doubly Robust Policy
  Evaluation and Learning, ICML 2011). Right on average if the model or the propensities are.

Weights above a limit are cut to it, and how many were is told: that takes away variance and adds a
bias towards what was not cut. Intervals are of the bootstrap over clusters (persons, pages, days),
since decisions of one cluster are alike (Efron and Tibshirani 1993, chapter 8): percentiles for
200 rewarded clusters and more; below that symmetric in the logarithm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from doublet.delivery.calibration import Verdict
from doublet.delivery.examples import Numbers

DRAWS = 1_000
WEIGHT_MAX = 100.0
"""Weights are cut to this."""

EFFECTIVE_MIN = 200.0
"""With a smaller effective sample nothing is concluded."""

RATIO_MIN = 0.9
"""A policy is refused when it earns less than this share of the one that served, beyond doubt."""


class Logged(NamedTuple):
    """Decisions with what came of them, as columns. `model_logged` and `model_target` are m and v
    of the module's text; without them the doubly robust estimate is left out. Without `cluster`
    every decision is one."""

    reward: Numbers
    propensity: Numbers
    target: Numbers
    model_logged: Numbers | None = None
    model_target: Numbers | None = None
    cluster: NDArray[Any] | None = None


class Estimate(msgspec.Struct, frozen=True):
    """A mean reward per decision, with one standard error and the ends of its 95 % interval."""

    name: str
    value: float
    error: float
    low: float
    high: float


class Estimates(msgspec.Struct, frozen=True):
    """All estimates of one policy. `effective` is (sum of w)² ÷ sum of w², the number of decisions
    of the other policy itself that would tell as much; `cut_share` the share of decisions whose
    weight was cut to `weight_max`; `ratio` says how the policy's reward (doubly robust where there
    is a model, else self-normalised) compares to that of the one that served, and its interval."""

    decisions: int
    clusters: int
    effective: float
    weight_max: float
    cut_share: float
    served: Estimate
    estimates: tuple[Estimate, ...]
    ratio: Estimate

    def named(self, name: str) -> Estimate:
        """One of them: ips, snips or dr. Raises KeyError."""
        found = {one.name: one for one in self.estimates}
        return found[name]


def estimate(
    logged: Logged, seed: int = 0, weight_max: float = WEIGHT_MAX, draws: int = DRAWS
) -> Estimates:
    """The other policy's mean reward. Propensities must be above 0; raises ValueError otherwise.

    >>> half = np.full(4, 0.5)
    >>> log = Logged(np.array([1.0, 0, 0, 1]), half, np.array([1.0, 0, 0, 1]))
    >>> [one.value for one in estimate(log).estimates]
    [1.0, 1.0]
    """
    if not len(logged.reward) or logged.propensity.min() <= 0:
        raise ValueError("every logged decision needs a propensity above 0")
    plain = logged.target / logged.propensity
    weights = np.minimum(plain, weight_max)
    columns = [np.ones(len(weights)), logged.reward, weights, weights * logged.reward]
    if logged.model_logged is not None and logged.model_target is not None:
        rest = weights * (logged.reward - logged.model_logged)
        columns.append(logged.model_target + rest)
    sums = _by_cluster(np.stack(columns, axis=1), logged.cluster)
    rewarded = int((sums[:, 1] != 0).sum())
    whole = _means(sums.sum(axis=0)[None, :])
    drawn = _means(_drawn(sums, draws, np.random.default_rng(seed)))
    told = {
        name: _told(name, float(whole[name][0]), drawn[name], rewarded)
        for name in whole
        if name not in ("served", "ratio")
    }
    return Estimates(
        len(weights),
        len(sums),
        float(weights.sum() ** 2 / max(float((weights**2).sum()), 1e-300)),
        weight_max,
        float((plain > weight_max).mean()),
        _told("served", float(whole["served"][0]), drawn["served"], rewarded),
        tuple(told.values()),
        _told("ratio", float(whole["ratio"][0]), drawn["ratio"], rewarded),
    )


def check(logged: Logged, seed: int = 0) -> Verdict:
    """Whether a new policy may be launched, by the log of the one that serves.

    It is refused when it earns less than RATIO_MIN of the other beyond doubt (95 %, one-sided by
    the lower end of the estimate of the difference), or when the log says too little about it:
    then it does what was hardly ever done, and must first serve a small share."""
    told = estimate(logged, seed)
    reasons = []
    if told.effective < EFFECTIVE_MIN:
        reasons.append(
            f"the log says as much about it as {told.effective:.0f} decisions of its own would,"
            f" and {EFFECTIVE_MIN:.0f} are wanted"
        )
    elif told.ratio.high < RATIO_MIN:
        reasons.append(
            f"it earns {told.ratio.value:.2f} of what the policy in use does"
            f" ({told.ratio.low:.2f} to {told.ratio.high:.2f})"
        )
    return Verdict(not reasons, tuple(reasons))


def _by_cluster(columns: Numbers, cluster: NDArray[Any] | None) -> Numbers:
    if cluster is None:
        return columns
    _, place = np.unique(cluster, return_inverse=True)
    return np.stack([np.bincount(place, column) for column in columns.T], axis=1)


def _drawn(sums: Numbers, draws: int, chance: np.random.Generator) -> Numbers:
    """Sums of clusters drawn with replacement, one row per draw; Poisson counts stand for
    multinomial ones."""
    return np.stack([chance.poisson(1.0, len(sums)) @ sums for _ in range(draws)])


def _means(sums: Numbers) -> dict[str, Numbers]:
    """Estimates of rows of sums: decisions, rewards, weights, weighted rewards, doubly robust."""
    count = np.maximum(sums[:, 0], 1e-300)
    found = {"served": sums[:, 1] / count, "ips": sums[:, 3] / count}
    found["snips"] = sums[:, 3] / np.maximum(sums[:, 2], 1e-300)
    best = found["snips"]
    if sums.shape[1] > 4:
        best = found["dr"] = sums[:, 4] / count
    served = found["served"]
    found["ratio"] = np.divide(best, served, out=np.full(len(served), np.nan), where=served != 0)
    return found


def _told(name: str, value: float, drawn: Numbers, rewarded: int) -> Estimate:
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return Estimate(name, value, float("nan"), float("nan"), float("nan"))
    error = float(drawn.std(ddof=1))
    low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
    if rewarded < 200 and value > 0:
        spread = 1.96 * error / value
        low, high = value * float(np.exp(-spread)), value * float(np.exp(spread))
    return Estimate(name, value, error, low, high)
