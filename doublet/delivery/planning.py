"""What the worker plans for deciders: budgets, the traffic of a day, the pace of each ad set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import numpy as np

from doublet.catalog.campaign_rows import AdSet
from doublet.delivery.bids import limit_of, start_pace
from doublet.delivery.budgets import Budget, budget_at, day_at
from doublet.delivery.flow import Answers, Count
from doublet.delivery.ledger import Key, Standing
from doublet.delivery.pacing import QUARTERS, Forecast, Pace, Pacer, Seen
from doublet.delivery.shelf import CLICK_GOALS, VIEW_GOALS

TRAFFIC_DAYS = 28
"""Of so many days past the expected traffic is the mean."""
REQUESTS_A_DAY = 2_000
"""What a day is expected to bring where nothing is known."""

_DAY_S = 86_400


def budgets_of(ad_sets: Iterable[AdSet], zone: tzinfo, now_s: float) -> list[Budget]:
    """The budgets that run at a moment, and those of the next day, which begin by themselves."""
    next_s = day_at(zone, now_s)[2]
    found = []
    for each in ad_sets:
        now, then = budget_at(each, zone, now_s), budget_at(each, zone, next_s)
        found += [budget for budget in (now, then) if budget is not None]
    return list({Key(each.adset_id, each.period): each for each in found}.values())


class Traffic:
    """The answers of one account, by quarter of an hour."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._answers: dict[int, int] = defaultdict(int)

    def note(self, news: Iterable[Answers]) -> None:
        """Add what has come."""
        for each in news:
            self._answers[each.quarter_s] += each.answers

    def forget(self, before_s: float) -> None:
        """Leave out what is older."""
        for quarter_s in [each for each in self._answers if each < before_s]:
            del self._answers[quarter_s]

    def forecast(self) -> Forecast:
        """The share of each quarter in a day."""
        counts = np.zeros(QUARTERS)
        for quarter_s, answers in self._answers.items():
            local = datetime.fromtimestamp(quarter_s, UTC).astimezone(self._zone)
            counts[local.hour * 4 + local.minute // 15] += answers
        return Forecast.of_counts(counts)

    def a_day(self, now_s: float) -> float:
        """Answers that a day brings: the mean since the first that is known."""
        if not self._answers:
            return REQUESTS_A_DAY
        days = (now_s - min(self._answers)) / _DAY_S
        # An hour is the least that a day is told from.
        return sum(self._answers.values()) / max(days, 1 / 24)


def has_budget(ad_set: AdSet) -> bool:
    """Whether there is anything to spend."""
    return ad_set.daily_budget + ad_set.lifetime_budget > 0


class Plan(NamedTuple):
    """An ad set with its budget now, and the pace that it begins with."""

    ad_set: AdSet
    budget: Budget
    pacer: Pacer
    start: float


def plan(
    ad_set: AdSet,
    zone: tzinfo,
    forecast: Forecast,
    a_day: float,
    rate: float,
    now_s: float,
) -> Plan | None:
    """How an ad set spends its budget from now on; None outside its schedule. `a_day` are
    the requests of a day, `rate` is what an impression is expected to bring beforehand, in what its
    bid is per."""
    budget = budget_at(ad_set, zone, now_s)
    if budget is None or budget.amount <= 0:
        return None
    limit = limit_of(ad_set)
    days = (min(budget.end_s, budget.begin_s + TRAFFIC_DAYS * _DAY_S) - budget.begin_s) / _DAY_S
    start = start_pace(budget.amount, a_day * days, rate, limit)
    curve = forecast.curve(budget.begin_s, budget.end_s, zone, now_s)
    return Plan(ad_set, budget, Pacer(budget, curve, limit), start)


def step(
    plans: Sequence[Plan],
    paces: Mapping[str, Pace],
    standings: Mapping[Key, Standing],
    counts: Mapping[str, Count],
    now_s: float,
) -> dict[str, Pace]:
    """The paces that change at a moment."""
    changed = {}
    for each in plans:
        adset_id = each.ad_set.adset_id
        count = counts.get(adset_id, Count(adset_id))
        standing = standings.get(Key(adset_id, each.budget.period))
        spent = standing.settled + standing.expected if standing else 0.0
        seen = Seen(spent, count.units, results(each.ad_set, count))
        before = paces.get(adset_id)
        after = each.pacer.step(before or Pace(each.start), seen, now_s)
        if after != before:
            changed[adset_id] = after
    return changed


def results(ad_set: AdSet, count: Count) -> float:
    """What the impressions of an ad set were expected to bring so far, in what its bid is per."""
    if ad_set.optimization_goal in VIEW_GOALS:
        return count.views
    expected = count.p_actions
    if ad_set.optimization_goal in CLICK_GOALS:
        expected = count.p_clicks
    elif ad_set.optimization_goal == "VALUE":
        expected = count.value
    # Not all that was chosen was seen.
    return expected * min(1.0, count.views / count.chosen) if count.chosen else 0.0
