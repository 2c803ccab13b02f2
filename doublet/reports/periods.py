"""Periods of whole days, as reports over time ask for them: presets, steps, seconds in a zone.

Names and meanings are those of the Insights API (`date_preset`, `time_increment`). A day is from
midnight to midnight in the account's zone, so that it has 23 or 25 hours when clocks change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from doublet.errors import SenderError

EARLIEST = date(2000, 1, 1)
"""Nothing is older."""

_DAY = timedelta(days=1)
_LAST_DAYS = re.compile(r"last_(3|7|14|28|30|90)d", re.ASCII).fullmatch
_is_number = re.compile(r"[0-9]{1,3}", re.ASCII).fullmatch

PRESETS = (
    *("today", "yesterday", "this_month", "last_month", "this_quarter", "last_quarter"),
    *("this_year", "last_year", "last_3d", "last_7d", "last_14d", "last_28d", "last_30d"),
    *("last_90d", "this_week_mon_today", "this_week_sun_today", "last_week_mon_sun"),
    *("last_week_sun_sat", "maximum", "data_maximum"),
)
"""Values of `date_preset`. The last two begin with the first day that anything is known of."""


class Period(NamedTuple):
    """Days from `since` to `until`, both of them in it."""

    since: date
    until: date


class Span(NamedTuple):
    """A part of period number `period`: within one day, and one hour of it where hours matter.
    Half-open, in Unix seconds."""

    period: int
    day: date
    hour: int | None
    since_s: int
    until_s: int


def preset(name: str, today: date, earliest: date = EARLIEST) -> Period:
    """The days that a `date_preset` means on the day `today`.

    >>> preset("last_7d", date(2026, 3, 10))
    Period(since=datetime.date(2026, 3, 3), until=datetime.date(2026, 3, 9))

    `earliest` is the first day that anything is known of. Raises SenderError for another name.
    """
    if found := _LAST_DAYS(name):
        return Period(today - int(found[1]) * _DAY, today - _DAY)
    month, year = today.replace(day=1), today.replace(month=1, day=1)
    quarter = month.replace(month=(today.month - 1) // 3 * 3 + 1)
    monday = today - today.weekday() * _DAY
    sunday = today - today.isoweekday() % 7 * _DAY
    known = {
        "today": Period(today, today),
        "yesterday": Period(today - _DAY, today - _DAY),
        "this_month": Period(month, today),
        "last_month": Period((month - _DAY).replace(day=1), month - _DAY),
        "this_quarter": Period(quarter, today),
        "last_quarter": Period(_months_later(quarter, -3), quarter - _DAY),
        "this_year": Period(year, today),
        "last_year": Period(year.replace(year=year.year - 1), year - _DAY),
        "this_week_mon_today": Period(monday, today),
        "this_week_sun_today": Period(sunday, today),
        "last_week_mon_sun": Period(monday - 7 * _DAY, monday - _DAY),
        "last_week_sun_sat": Period(sunday - 7 * _DAY, sunday - _DAY),
        "maximum": Period(min(earliest, today), today),
        "data_maximum": Period(min(earliest, today), today),
    }
    if name not in known:
        raise SenderError(f"date_preset must be one of {{{', '.join(PRESETS)}}}.")
    return known[name]


def _months_later(first: date, months: int) -> date:
    """The first of a month, so many months later."""
    count = first.year * 12 + first.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)


def steps(period: Period, increment: str) -> list[Period]:
    """A period in steps of so many days (`1` to `90`), of calendar months (`monthly`), or as it is
    (`all_days`); the first and last may be shorter. Raises SenderError for another increment."""
    if increment == "all_days":
        return [period]
    if increment == "monthly":
        return list(_months(period))
    if not _is_number(increment) or not 1 <= int(increment) <= 90:
        raise SenderError("time_increment must be a number from 1 to 90, monthly or all_days.")
    days = int(increment) * _DAY
    count = -(-(period.until - period.since + _DAY) // days)
    starts = [period.since + n * days for n in range(count)]
    return [Period(start, min(start + days - _DAY, period.until)) for start in starts]


def _months(period: Period) -> Iterator[Period]:
    since = period.since
    while since <= period.until:
        following = _months_later(since.replace(day=1), 1)
        yield Period(since, min(following - _DAY, period.until))
        since = following


def check_period(since: date, until: date) -> Period:
    """The period from one day to another. Raises SenderError for one that ends before it begins,
    or lies where no calendar is."""
    if until < since:
        raise SenderError(f"{until} is before {since}; swap them.")
    if since < EARLIEST or until.year > 2099:
        raise SenderError(f"Days must be from {EARLIEST} to 2099-12-31.")
    return Period(since, until)


def midnight_s(day: date, zone: ZoneInfo) -> int:
    """When a day begins, in Unix seconds. Where clocks jump over midnight it is the moment of the
    jump; where midnight comes twice, the first."""
    return int(datetime.combine(day, time(), zone).timestamp())


def spans(periods: Sequence[Period], zone: ZoneInfo, *, hourly: bool = False) -> list[Span]:
    """The days of all periods, or the hours of those days as their clocks show them. Together the
    spans of a period are the period, without gaps; an hour that comes twice is two spans."""
    found: list[Span] = []
    for number, period in enumerate(periods):
        day, since_s = period.since, midnight_s(period.since, zone)
        while day <= period.until:
            until_s = midnight_s(day + _DAY, zone)
            # A day that a zone skipped, when it changed sides of the date line, has no moments.
            if hourly and since_s < until_s:
                found += _hours(number, day, since_s, until_s, zone)
            elif since_s < until_s:
                found.append(Span(number, day, None, since_s, until_s))
            day, since_s = day + _DAY, until_s
    return found


_QUARTER_S = 900


def _hours(period: int, day: date, since_s: int, until_s: int, zone: ZoneInfo) -> Iterator[Span]:
    """Clocks change at quarters of an hour, in every zone of this century."""
    start, hour = since_s, _hour(since_s, zone)
    for moment_s in range(since_s + _QUARTER_S, until_s, _QUARTER_S):
        if (now := _hour(moment_s, zone)) != hour:
            yield Span(period, day, hour, start, moment_s)
            start, hour = moment_s, now
    yield Span(period, day, hour, start, until_s)


def _hour(moment_s: int, zone: ZoneInfo) -> int:
    return datetime.fromtimestamp(moment_s, UTC).astimezone(zone).hour
