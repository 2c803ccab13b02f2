"""Budgets by period: how much an ad set may spend in which time.

A daily budget begins anew at midnight of the account's zone; a day of which the schedule leaves a
part has that part of it, by time. A lifetime budget has one period.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from doublet.catalog.campaign_rows import AdSet
from doublet.delivery import UNITS

LIFETIME = "lifetime"
UNITS_PER_MINOR = UNITS // 100


class Budget(NamedTuple):
    """At most `amount` units from `begin_s` until before `end_s` (Unix seconds). `period` is a day
    such as 2026-11-27, or `lifetime`."""

    adset_id: str
    period: str
    amount: int
    begin_s: float
    end_s: float


def budget_at(ad_set: AdSet, zone: tzinfo, now_s: float) -> Budget | None:
    """The budget that an ad set spends from at a moment; None outside its schedule. Without a start
    it began when it was made."""
    begin_s = ad_set.start_time or ad_set.created_at
    end_s = ad_set.end_time or float("inf")
    if not begin_s <= now_s < end_s:
        return None
    if ad_set.lifetime_budget:
        amount = ad_set.lifetime_budget * UNITS_PER_MINOR
        return Budget(ad_set.adset_id, LIFETIME, amount, begin_s, end_s)
    day, midnight_s, next_s = day_at(zone, now_s)
    since_s, until_s = max(begin_s, midnight_s), min(end_s, next_s)
    share = (until_s - since_s) / (next_s - midnight_s)
    amount = int(ad_set.daily_budget * UNITS_PER_MINOR * share)
    return Budget(ad_set.adset_id, day, amount, since_s, until_s)


def day_at(zone: tzinfo, now_s: float) -> tuple[str, float, float]:
    """The day of a zone at a moment, and its first and last midnight (Unix seconds); it has 23 or
    25 hours when clocks are changed.

    >>> from zoneinfo import ZoneInfo
    >>> day_at(ZoneInfo("Europe/Berlin"), 1_774_742_400)
    ('2026-03-29', 1774738800.0, 1774821600.0)
    """
    day = datetime.fromtimestamp(now_s, UTC).astimezone(zone).date()
    begin, end = (
        datetime(each.year, each.month, each.day, tzinfo=zone).timestamp()
        for each in (day, day + timedelta(days=1))
    )
    return day.isoformat(), begin, end
