"""Calibration: whether as many act as was predicted, and what is done where they do not.

A model is fitted to all but the latest days, which it is then held against. Where it is off, it is
set right per goal: by Platt's line through the logits (Platt, Probabilistic Outputs for Support
Vector Machines, 1999) or by isotonic regression (Zadrozny and Elkan, KDD 2002), whichever has the
smaller loss on the later half of those days when fitted to the earlier half; but only if that is
smaller, beyond doubt, than with nothing done. The model that serves is fitted to all days, and set
right as the other was. Ads that are new in the latest days are left out of this: the other model
could not know them, the one that serves does.

Actions that have not come count as in delay.py: `seen` is the share of them that can have come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from doublet.delivery.delay import (
    AT_ONCE,
    WINDOW_S,
    Delays,
    delays,
    information,
    loss,
    probability,
    slope,
)
from doublet.delivery.examples import Examples, Numbers
from doublet.delivery.fitting import fit
from doublet.delivery.rates import Calibration, Model, Scorer

HELD_OUT_S = 2 * 86_400.0
"""How much of the latest time models are held against."""

RATIO_MAX = 1.25
"""A model is refused when predicted ÷ observed, or its inverse, is above this beyond doubt."""

EVENTS_MIN = 50
"""Goals with fewer events are set right like all others together."""

ISOTONIC_MIN = 500
"""Isotonic regression is not tried with fewer events: its steps would follow chance."""

TENTHS = 10

_SLOPE_DEVIATION, _SHIFT_DEVIATION = 0.2, 0.5
"""How far a line may well be from that of all goals, or from none."""


class Tenth(msgspec.Struct, frozen=True):
    """A tenth of the examples, by predicted rate: events predicted and observed, their ratio with
    the ends of its 95 % interval."""

    predicted: float
    observed: int
    ratio: float
    low: float
    high: float


class CalibrationReport(msgspec.Struct, frozen=True):
    """What was predicted and what came. `predicted` counts events that can have been seen;
    `log_loss` is per example; `base_log_loss` that of the best single rate, chosen with hindsight;
    `gain` their difference and `gain_error` its standard error. Intervals are of 95 % by Byar's
    approximation for Poisson counts (Breslow and Day, Statistical Methods in Cancer Research II,
    1987, page 69), as if no person were met twice."""

    examples: int
    predicted: float
    observed: int
    ratio: float
    low: float
    high: float
    log_loss: float
    base_log_loss: float
    gain: float
    gain_error: float
    tenths: tuple[Tenth, ...]


class Verdict(msgspec.Struct, frozen=True):
    """Whether something may serve, and if not, why not."""

    is_accepted: bool
    reasons: tuple[str, ...] = ()


def ratio(predicted: float, observed: int) -> tuple[float, float, float]:
    """Predicted ÷ observed with the ends of its 95 % interval; infinite where nothing came but
    something was predicted.

    >>> tuple(round(x, 2) for x in ratio(110, 100))
    (1.1, 0.9, 1.35)
    """
    above = observed + 1
    high = above * (1 - 1 / (9 * above) + 1.96 / (3 * above**0.5)) ** 3
    low = 0.0
    if observed:
        low = observed * max(0.0, 1 - 1 / (9 * observed) - 1.96 / (3 * observed**0.5)) ** 3
    infinite = float("inf")
    return (
        predicted / observed if observed else infinite if predicted else 1.0,
        predicted / high,
        predicted / low if low else infinite,
    )


def report(p: Numbers, happened: NDArray[np.bool_], seen: Numbers) -> CalibrationReport:
    """Predictions held against what came. `p` are probabilities that an event ever comes."""
    logits = _logits(p)
    losses = loss(logits, happened, seen)
    base = max(happened.sum(), 0.5) / max(seen.sum(), 1.0)
    gains = loss(_logits(np.full(len(p), base)), happened, seen) - losses
    expected = p * seen
    order = np.argsort(p, kind="stable")
    tenths = []
    for part in np.array_split(order, TENTHS):
        predicted, observed = float(expected[part].sum()), int(happened[part].sum())
        tenths.append(Tenth(predicted, observed, *ratio(predicted, observed)))
    predicted, observed = float(expected.sum()), int(happened.sum())
    return CalibrationReport(
        len(p),
        predicted,
        observed,
        *ratio(predicted, observed),
        _mean(losses)[0],
        _mean(losses + gains)[0],
        *_mean(gains),
        tuple(tenths),
    )


def judge(told: CalibrationReport, gain: float = 0.0, gain_error: float = 0.0) -> Verdict:
    """Whether a model may serve, by its held-out days.

    It is refused when it is off by more than RATIO_MAX beyond doubt, when it does worse than a
    single rate beyond doubt (one-sided 95 %), or when its `gain` in loss over the model in use, on
    the same examples, is below 0 beyond doubt. With few events nothing is beyond doubt, and the
    model, which is then close to base rates, is accepted."""
    reasons = []
    if told.low > RATIO_MAX or told.high < 1 / RATIO_MAX:
        reasons.append(
            f"predicted ÷ observed is {told.ratio:.2f} ({told.low:.2f} to {told.high:.2f})"
        )
    if told.gain + 1.645 * told.gain_error < 0:
        reasons.append(f"its loss of {told.log_loss:.5f} is above that of a single rate")
    if gain + 1.645 * gain_error < 0:
        reasons.append(f"its loss is {-gain:.5f} above that of the model in use")
    return Verdict(not reasons, tuple(reasons))


class Served(NamedTuple):
    """What came of the decisions made by one model since it serves: events predicted (of those that
    can have been seen) and observed, and what was paid (units)."""

    predicted: float
    observed: int
    spent: int


def watch(new: Served, old: Served) -> Verdict:
    """Whether a new model, which serves a share, may go on beside the old one.

    It falls back when it is off by more than RATIO_MAX beyond doubt and further off than the old
    one, or when its actions cost more beyond doubt. Since this is asked again and again, beyond
    doubt means 3 standard errors of the logarithm, of Poisson counts."""
    reasons = []
    if new.observed and old.observed:
        off, was = (abs(np.log(one.predicted / one.observed)) for one in (new, old))
        if off - 3 / new.observed**0.5 > np.log(RATIO_MAX) and off > was:
            reasons.append(f"predicted ÷ observed is {new.predicted / new.observed:.2f}")
        dearer = np.log(new.spent / new.observed) - np.log(old.spent / old.observed)
        if dearer > 3 * (1 / new.observed + 1 / old.observed) ** 0.5:
            reasons.append(f"an action costs {np.exp(dearer):.2f} times as much")
    elif new.predicted > 20 and not new.observed:
        reasons.append(f"of {new.predicted:.0f} actions predicted none came")
    return Verdict(not reasons, tuple(reasons))


# --- setting right ---------------------------------------------------------------------------


class _Events(NamedTuple):
    logits: Numbers
    happened: NDArray[np.bool_]
    seen: Numbers

    def take(self, rows: NDArray[np.bool_]) -> _Events:
        """Some of them."""
        return _Events(self.logits[rows], self.happened[rows], self.seen[rows])


class _Map(NamedTuple):
    """One goal's part of a calibration."""

    slope: float
    shift: float
    knots: Numbers
    levels: Numbers

    def __call__(self, logits: Numbers) -> Numbers:
        moved = logits * self.slope + self.shift
        return np.interp(moved, self.knots, self.levels) if len(self.knots) else moved


_NOTHING = np.empty(0)
_AS_IT_IS = _Map(1.0, 0.0, _NOTHING, _NOTHING)


def platt(
    logits: Numbers, happened: NDArray[np.bool_], seen: Numbers, near: tuple[float, float] = (1, 0)
) -> tuple[float, float]:
    """The slope and shift with the smallest loss, held `near` a line where there is little to go
    by. Newton's method."""
    line = np.array(near, np.float64)
    precision = np.array([_SLOPE_DEVIATION, _SHIFT_DEVIATION]) ** -2
    centre = float(logits.mean()) if len(logits) else 0.0
    # The line is told by its slope and its height at the centre, which hardly depend on another.
    height = line[0] * centre + line[1] - centre
    told = np.array([line[0], height])
    start = told.copy()
    for _ in range(50):
        moved = (logits - centre) * told[0] + centre + told[1]
        columns = np.stack([logits - centre, np.ones(len(logits))])
        gradient = columns @ slope(moved, happened, seen) + precision * (told - start)
        curvature = (columns * information(moved, seen)) @ columns.T + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        told = told - np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-8:
            break
    return float(told[0]), float(centre + told[1] - told[0] * centre)


def isotonic(
    logits: Numbers, happened: NDArray[np.bool_], seen: Numbers
) -> tuple[Numbers, Numbers]:
    """Knots of the rising line between the blocks of isotonic regression, in logits: the mean of
    each block's logits, and the logit of its events ÷ examples, those counted by `seen`."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(logits, kind="stable")
    weights = np.maximum(seen[order], 1e-9)
    done = isotonic_regression(happened[order] / weights, weights=weights)
    ends = np.asarray(done.blocks)
    place = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    totals = [np.bincount(place, weights * column) for column in (logits[order], done.x)]
    shares = np.bincount(place, weights)
    # Half an event more or less keeps rates off 0 and 1.
    events = np.clip(totals[1], 0.5, np.maximum(shares - 0.5, 0.5))
    levels = _logits(events / np.maximum(shares, 1.0))
    return totals[0] / shares, np.maximum.accumulate(levels)


def _none(events: _Events, near: _Map) -> _Map:
    return _AS_IT_IS


def _platt(events: _Events, near: _Map) -> _Map:
    return _Map(*platt(*events, (near.slope, near.shift)), _NOTHING, _NOTHING)


def _isotonic(events: _Events, near: _Map) -> _Map:
    if events.happened.sum() < ISOTONIC_MIN:
        return _platt(events, near)
    return _Map(1.0, 0.0, *isotonic(*events))


WAYS: Mapping[str, Callable[[_Events, _Map], _Map]] = {
    "none": _none,
    "platt": _platt,
    "isotonic": _isotonic,
}


def calibrate(
    way: str,
    logits: Numbers,
    happened: NDArray[np.bool_],
    seen: Numbers,
    goals: NDArray[np.str_],
) -> Calibration:
    """A calibration in one of WAYS. `goals` names the goal of each example; those with EVENTS_MIN
    events get their own, held near that of all."""
    events, make = _Events(logits, happened, seen), WAYS[way]
    whole = make(events, _AS_IT_IS)
    # A single line for all is near each goal's; steps are not, but a line is never far from them.
    near = whole if not len(whole.knots) else _platt(events, _AS_IT_IS)
    maps = {"": whole}
    names = [str(name) for name in np.unique(goals) if name]
    for name in names:
        of_it = goals == name
        if len(names) > 1 and happened[of_it].sum() >= EVENTS_MIN:
            maps[name] = make(events.take(of_it), near)
    made = list(maps.values())
    return Calibration(
        tuple(maps),
        np.array([one.slope for one in made]),
        np.array([one.shift for one in made]),
        np.append(0, np.cumsum([len(one.knots) for one in made])).astype(np.int64),
        np.concatenate([one.knots for one in made]),
        np.concatenate([one.levels for one in made]),
    )


class Calibrated(NamedTuple):
    """A model that serves; how it was set right (one of WAYS), and what came of that on the later
    half of the held-out days, for clicks and for actions after one; with `was`, how much less the
    loss of actions is than that of the model in use, and the standard error of that."""

    model: Model
    ways: tuple[str, str]
    click: CalibrationReport
    action: CalibrationReport
    gain: float
    gain_error: float

    def verdict(self) -> Verdict:
        """Whether it may serve: clicks and actions are judged alike."""
        both = (judge(self.click), judge(self.action, self.gain, self.gain_error))
        named = zip(("clicks", "actions"), both, strict=True)
        reasons = [f"{what}: {reason}" for what, one in named for reason in one.reasons]
        return Verdict(not reasons, tuple(reasons))


def learn(
    examples: Examples,
    now: float,
    *,
    goals: Mapping[str, str] | None = None,
    version: str = "",
    seed: int = 0,
    window_s: float = WINDOW_S,
    held_out_s: float = HELD_OUT_S,
    is_delay_corrected: bool = True,
    prior: Model | None = None,
    was: Model | None = None,
) -> Calibrated:
    """A calibrated model of all that is known at `now`, with its reports.

    Takes two fits. Where less than half of the examples are older than the held-out days, the
    later half of the examples is held out instead. `was` is the model in use, if any."""
    known = examples.known_at(now)
    late = delays(known, now, window_s) if is_delay_corrected else Delays(AT_ONCE, {})
    middle = float(np.median(known.decided_at)) if len(known) else now
    since = max(now - held_out_s, middle)
    is_held = known.decided_at > since

    def fitted(part: Examples) -> Model:
        return fit(
            part,
            now,
            goals=goals,
            version=version,
            seed=seed,
            window_s=window_s,
            is_delay_corrected=is_delay_corrected,
            prior=prior,
            late=late,
        )

    tried, held = fitted(known.take(~is_held)), known.take(is_held)
    has_past = np.bincount(known.ad[~is_held], minlength=len(known.ads))[held.ad] > 0
    held = held.take(has_past) if has_past.any() else held
    parts = [_clicks(tried, held), _actions(tried, held, now, late)]
    at = [held.decided_at, held.decided_at[held.clicked]]
    of_goal = np.array([(goals or {}).get(ad.adset_id, "") for ad in held.ads] or [""])
    named = [of_goal[held.ad], of_goal[held.ad[held.clicked]]]
    found = [_chosen(*three) for three in zip(parts, at, named, strict=True)]
    whole = fitted(known)
    model = replace(
        whole,
        click=replace(whole.click, calibration=found[0].calibration),
        action=replace(whole.action, calibration=found[1].calibration),
    )
    gain, error = 0.0, 0.0
    if was is not None and held.clicked.any():
        before = probability(Scorer(was, held.ads).logits(held.take(held.clicked))[1])
        told = parts[1].take(found[1].is_judged)
        was_loss = loss(_logits(before[found[1].is_judged]), told.happened, told.seen)
        gain, error = _mean(was_loss - found[1].losses)
    ways = (found[0].way, found[1].way)
    return Calibrated(model, ways, found[0].told, found[1].told, gain, error)


class _Chosen(NamedTuple):
    way: str
    calibration: Calibration
    told: CalibrationReport
    is_judged: NDArray[np.bool_]
    losses: Numbers


def _chosen(events: _Events, at: Numbers, goals: NDArray[np.str_]) -> _Chosen:
    """The way that does best on the later half, made again from all; none unless another is better
    beyond doubt (two standard errors)."""
    is_later = at > np.median(at) if len(at) else np.zeros(0, bool)
    later, earlier = events.take(is_later), ~is_later
    goals_later = [str(goal) for goal in goals[is_later]]
    moved, costs = {}, {}
    for way in WAYS:
        made = calibrate(way, *events.take(earlier), goals[earlier])
        moved[way] = made(later.logits, made.places(goals_later))
        costs[way] = loss(moved[way], later.happened, later.seen)
    way = min(WAYS, key=lambda one: float(costs[one].sum()))
    gain, error = _mean(costs["none"] - costs[way])
    way = way if gain > 2 * error else "none"
    return _Chosen(
        way,
        calibrate(way, *events, goals),
        report(probability(moved[way]), later.happened, later.seen),
        is_later,
        costs[way],
    )


def _clicks(model: Model, examples: Examples) -> _Events:
    logits = Scorer(model, examples.ads).logits(examples)[0]
    return _Events(logits, examples.clicked, np.ones(len(examples)))


def _actions(model: Model, examples: Examples, now: float, late: Delays) -> _Events:
    part = examples.take(examples.clicked)
    logits = Scorer(model, examples.ads).logits(part)[1]
    adsets = np.array([ad.adset_id for ad in part.ads] or [""])[part.ad]
    return _Events(logits, part.acted, late.seen(adsets, now - part.clicked_at))


def _logits(p: Numbers) -> Numbers:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p) - np.log1p(-p))


def _mean(numbers: Numbers) -> tuple[float, float]:
    """The mean and its standard error; 0 of nothing."""
    if not len(numbers):
        return 0.0, 0.0
    return float(numbers.mean()), float(numbers.std() / len(numbers) ** 0.5)
