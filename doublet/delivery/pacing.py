"""Pacing: a budget lasts its period, spent as traffic comes.

The plan follows the expected traffic (Agarwal, Ghosh, Wei, You 2014, "Budget Pacing for Targeted
Online Advertisements at LinkedIn", section 3): what share of a period's requests has come is the
share of the budget that should be spent. The control works on the logarithm of the bid. LinkedIn
multiplies by a fixed step each minute, adaptive pacing (Balseiro and Gur 2019, "Learning in
Repeated Auctions with Budgets", section 3) adds a step in proportion to each auction's error; here
the bids of the last minutes and the spend that they brought give the next one, as a power law:

    next bid = mean bid of the window × (wanted spend ÷ seen spend of the window) ^ 1/2

It does not wait for an integral to fill, and is stable wherever spend grows by less than the fourth
power of the bid. Who is a quarter of an hour ahead of the plan does not bid at all: that bounds the
error while bids are still far too high. `bench/pacing.py` compares the three. Nothing here reads a
clock or draws lots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import numpy as np

from doublet.delivery.auction import Array
from doublet.delivery.bids import BID_MIN, Limit
from doublet.delivery.budgets import Budget

QUARTER_S = 900
QUARTERS = 96
_DAY_S = QUARTERS * QUARTER_S
_FINE_DAYS = 100
_PRIOR_REQUESTS = 5.0

_WINDOW_S = 600.0
_COST_WINDOW_S = 10800.0
_AHEAD_S, _AHEAD_MAX_S = 1800.0, 900.0
_FALL_S = 300.0
_PAUSE_S = 900.0
_POWER = 0.5
_BUDGETS_MAX = 100
_PRIOR_SHARE = 1 / 500
_PRIOR_COST_SHARE = 1 / 2000
_CORRECTION_MIN, _CORRECTION_MAX = 0.1, 3.0


class Curve(NamedTuple):
    """The share of a period's traffic that has come by each edge, from 0 to 1; edges are Unix
    seconds in rising order."""

    edges_s: Array
    shares: Array

    def at(self, now_s: float) -> float:
        """The share that has come by a moment."""
        return float(np.interp(now_s, self.edges_s, self.shares))


class Forecast:
    """The expected share of a day's traffic in each quarter of an hour of the account's zone."""

    def __init__(self, shares: Sequence[float] | Array) -> None:
        """`shares` are 96 numbers above 0; only their relations count."""
        self.shares = np.asarray(shares, float) / np.sum(shares)

    @classmethod
    def of_counts(cls, counts: Sequence[float] | Array) -> Forecast:
        """From the requests of past days, summed by quarter of an hour; flat where nothing came.
        Five requests are added to each quarter, so that few requests are no proof of silence.

        >>> float(Forecast.of_counts([0] * 96).shares[0] * 96)
        1.0
        """
        return cls(np.asarray(counts, float) + _PRIOR_REQUESTS)

    def curve(
        self, begin_s: float, end_s: float, zone: tzinfo, near_s: float | None = None
    ) -> Curve:
        """Over a period; one without end is planned by its first thirty days. Of a long one the
        hundred days around `near_s` (the beginning, if it is not given) follow the hours; days
        before and after them are even, so that the curve stays small."""
        end_s = min(end_s, begin_s + 30 * _DAY_S) if end_s == math.inf else end_s
        ago_s = (begin_s if near_s is None else min(near_s, end_s)) - begin_s
        # By whole days, so that an even day is as much as one that follows the hours.
        first = begin_s + max(0.0, ago_s // _DAY_S - _FINE_DAYS / 2) * _DAY_S
        last = min(end_s, first + _FINE_DAYS * _DAY_S)
        inner = np.arange(first // QUARTER_S + 1, math.ceil(last / QUARTER_S)) * QUARTER_S
        fine = np.concatenate(([first], inner, [last]))
        # Zones differ by whole quarters of an hour, so no quarter lies across two of the forecast.
        starts = np.floor(fine[:-1] / QUARTER_S) * QUARTER_S
        local = [datetime.fromtimestamp(start, UTC).astimezone(zone) for start in starts]
        rates = self.shares[[each.hour * 4 + each.minute // 15 for each in local]]
        edges = fine
        if begin_s < first:
            edges, rates = np.append(begin_s, edges), np.append(1 / QUARTERS, rates)
        if last < end_s:
            edges, rates = np.append(edges, end_s), np.append(rates, 1 / QUARTERS)
        come = np.append(0.0, np.cumsum(rates * np.diff(edges)))
        return Curve(edges, come / come[-1])


class Seen(NamedTuple):
    """What is known at a moment: units spent in the period; units spent, and actions (for value
    goals units of value) that this bought, since learning began. Count expected actions where real
    ones may yet come, in the measure of the calibrated rates: those that came so far are fewer than
    those that were bought."""

    spent: float
    cost: float
    actions: float


class Pace(NamedTuple):
    """The state of an ad set's control. `bid` is the pace in units per action, `correction` that of
    a mean limit; `level` is the bid without regard to being far ahead, which has held bids back for
    `held_s` seconds. The rest are sums that fade:
    over `_WINDOW_S` units wanted and seen and logarithms of bids, over `_COST_WINDOW_S` units,
    logarithms and actions."""

    bid: float
    correction: float = 1.0
    level: float = 0.0
    as_of_s: float = 0.0
    period: str = ""
    spent: float = 0.0
    cost: float = 0.0
    actions: float = 0.0
    wanted_lately: float = 0.0
    spent_lately: float = 0.0
    logs_lately: float = 0.0
    seconds_lately: float = 0.0
    cost_lately: float = 0.0
    cost_logs_lately: float = 0.0
    actions_lately: float = 0.0
    held_s: float = 0.0


class Pacer(NamedTuple):
    """How one ad set spends one budget. An accelerated one bids its limit until the budget is
    spent, and needs a limit."""

    budget: Budget
    curve: Curve
    limit: Limit = Limit()
    is_accelerated: bool = False

    def planned(self, now_s: float) -> float:
        """Units that should be spent by a moment."""
        return self.budget.amount * self.curve.at(now_s)

    def step(self, pace: Pace, seen: Seen, now_s: float) -> Pace:
        """The next state. The first step of a period, and one after a pause of more than a
        quarter of an hour, only take their bearings; one of no length changes nothing."""
        is_new = pace.period != self.budget.period
        if is_new or not 0 <= now_s - pace.as_of_s <= _PAUSE_S:
            return pace._replace(
                bid=pace.level or pace.bid,
                as_of_s=now_s,
                period=self.budget.period,
                spent=seen.spent,
                cost=seen.cost,
                actions=seen.actions,
            )
        if now_s == pace.as_of_s:
            return pace
        return self._bid(self._correct(self._note(pace, seen, now_s)))

    def _note(self, pace: Pace, seen: Seen, now_s: float) -> Pace:
        # What is seen without bidding says nothing about bids, but that they were too high.
        elapsed_s, fallen, held_s = now_s - pace.as_of_s, 0.0, 0.0
        if pace.bid <= BID_MIN:
            # Once by e: a small budget is held by each impression, and they do not say so much.
            fallen = min(elapsed_s, max(0.0, _FALL_S - pace.held_s)) / _FALL_S
            elapsed_s, held_s = 0.0, pace.held_s + elapsed_s
        kept, cost_kept = (
            math.exp(-elapsed_s / window_s) for window_s in (_WINDOW_S, _COST_WINDOW_S)
        )
        wanted = self._wanted(pace, now_s) if elapsed_s else 0.0
        offer, cost = self._offer(pace), max(0.0, seen.cost - pace.cost)
        above = math.log(offer / self.limit.amount) if self.limit.is_mean else 0.0
        return pace._replace(
            as_of_s=now_s,
            held_s=held_s,
            spent=seen.spent,
            cost=seen.cost,
            actions=seen.actions,
            wanted_lately=pace.wanted_lately * kept + wanted,
            spent_lately=pace.spent_lately * kept + max(0.0, seen.spent - pace.spent),
            logs_lately=(pace.logs_lately - fallen * pace.seconds_lately) * kept
            + math.log(offer) * elapsed_s,
            seconds_lately=pace.seconds_lately * kept + elapsed_s,
            cost_lately=pace.cost_lately * cost_kept + cost,
            cost_logs_lately=pace.cost_logs_lately * cost_kept + cost * above,
            actions_lately=pace.actions_lately * cost_kept + max(0.0, seen.actions - pace.actions),
        )

    def _offer(self, pace: Pace) -> float:
        return max(BID_MIN, min(pace.level or pace.bid, self.limit.amount * pace.correction))

    def _wanted(self, pace: Pace, now_s: float) -> float:
        """Units that the interval up to now should have brought, to be back on the plan after
        `_AHEAD_S` seconds or at the period's end."""
        then_s = min(pace.as_of_s + _AHEAD_S, float(self.curve.edges_s[-1]))
        start, now, then = map(self.curve.at, (pace.as_of_s, now_s, then_s))
        if then <= start:
            return 0.0
        behind = self.budget.amount * then - pace.spent
        return max(0.0, behind) * (now - start) / (then - start)

    def _bid(self, pace: Pace) -> Pace:
        if self.is_accelerated:
            return pace._replace(bid=self.limit.amount)
        prior = max(1.0, self.budget.amount * _PRIOR_SHARE)
        ratio = (pace.wanted_lately + prior) / (pace.spent_lately + prior)
        mean = pace.logs_lately / pace.seconds_lately
        aim = mean + _POWER * math.log(ratio)
        # A small budget may have to last several days for one action; but where traffic is missing,
        # not bids, they must not grow without end.
        most = math.log(max(1.0, self.budget.amount * _BUDGETS_MAX))
        level = max(BID_MIN, math.exp(min(aim, most)))
        is_ahead = pace.spent > self.planned(pace.as_of_s + _AHEAD_MAX_S)
        return pace._replace(bid=BID_MIN if is_ahead else level, level=level)

    def _correct(self, pace: Pace) -> Pace:
        if not self.limit.is_mean:
            return pace
        prior = max(1.0, self.budget.amount * _PRIOR_COST_SHARE)
        cost, actions = pace.cost_lately + prior, pace.actions_lately + prior / self.limit.amount
        mean = cost / actions / self.limit.amount
        aim = math.exp(pace.cost_logs_lately / cost) / mean
        # Above its limit so far, it pays back: bids at the limit cost less than the limit.
        most = _CORRECTION_MAX if pace.cost <= self.limit.amount * pace.actions else 1.0
        return pace._replace(correction=max(_CORRECTION_MIN, min(most, aim)))
