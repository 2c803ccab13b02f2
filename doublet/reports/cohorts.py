"""Cohorts: what becomes of customers, by the week or month of their first purchase."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.rates import Rates
from doublet.reports.asked import Asked
from doublet.reports.conversions import ask, conversion_parameters, without_rate
from doublet.reports.paths import share


class CohortsAsked(Asked, frozen=True, kw_only=True):
    """Days are those of the first purchase. Weeks begin on Monday. `today` ends the last period,
    by default the day it is in the account's zone; no day to come can be asked for."""

    counts_all: ClassVar[bool] = True
    event_name: tuple[str, ...] = ("Purchase",)
    by: Literal["week", "month"] = "month"
    today: date | None = None

    def check(self) -> None:
        """Raises SenderError when this cannot be meant."""
        Asked.check(self)
        # Where the day begins first, it is tomorrow already.
        if self.today and self.today > datetime.now(UTC).date() + timedelta(days=1):
            raise SenderError(f"today ({self.today}) is still to come.", "Leave it out.")


class CohortRow(msgspec.Struct):
    """The persons whose first purchase was in the week or month that begins on `cohort`, in the
    period (0: that of the first purchase) that begins on `starts`: how many bought in it (share
    0–1 of the cohort), their orders and the net of those by now; `lifetime_value` is the net of all
    periods until this one per person of the cohort. Money is the account's. A period that is not
    over yet is not complete."""

    cohort: date
    persons: int
    period: int
    starts: date
    is_complete: bool
    retained: int
    share: float | None
    orders: int
    value: Decimal
    lifetime_value: Decimal


class CohortsReport(msgspec.Struct):
    """The rows by cohort and period, with those in which nobody bought; and how many purchases have
    no person, and so are in no cohort. Nothing is known of purchases before `known_since`: whoever
    bought before that counts as new then."""

    rows: list[CohortRow]
    persons: int
    orders: int
    value: Decimal
    currency: str
    purchases_without_person: int
    known_since: date | None
    without_rate: list[str]


def following(day: date, by: str, periods: int = 1) -> date:
    """The first day of a later week or month; `day` is the first of one.

    >>> following(date(2026, 11, 1), "month", 2)
    datetime.date(2027, 1, 1)
    """
    if by == "month":
        months = day.month - 1 + periods
        return date(day.year + months // 12, months % 12 + 1, 1)
    return day + timedelta(days=(7 if by == "week" else 1) * periods)


def local_day(account: Account, seconds: float | None) -> date | None:
    """The day of a moment in the account's zone."""
    zone = ZoneInfo(account.time_zone)
    return None if seconds is None else datetime.fromtimestamp(seconds, zone).date()


def cohorts(engine: Engine, account: Account, rates: Rates, asked: CohortsAsked) -> CohortsReport:
    """Cohorts by first purchase. Empty when nobody bought."""
    given = conversion_parameters(account, rates, asked, whole_history=True) | {"by": asked.by}
    found = ask(engine, given, "cohorts", "chosen_conversions", "purchases")
    today = asked.today or datetime.now(ZoneInfo(account.time_zone)).date()
    bought = {(row["cohort"], row["period"]): row for row in found}
    sizes = {row["cohort"]: row["persons"] for row in found if row["period"] == 0}
    lasts: dict[date, int] = {}
    for cohort, period in bought:
        lasts[cohort] = max(period, lasts.get(cohort, 0))
    rows = []
    for cohort, size in sizes.items():
        last = lasts[cohort]
        sum_until = Decimal(0)
        period = 0
        while (starts := following(cohort, asked.by, period)) <= today or period <= last:
            row = bought.get((cohort, period))
            value = row["value"] if row else Decimal(0)
            sum_until += value
            rows.append(
                CohortRow(
                    cohort=cohort,
                    persons=size,
                    period=period,
                    starts=starts,
                    is_complete=following(starts, asked.by) <= today,
                    retained=row["persons"] if row else 0,
                    share=share(row["persons"] if row else 0, size),
                    orders=row["orders"] if row else 0,
                    value=value,
                    lifetime_value=(sum_until / size).quantize(Decimal("0.0001")),
                )
            )
            period += 1
    (counted,) = ask(engine, given, "purchases_counted", "chosen_conversions", "purchases")
    return CohortsReport(
        rows,
        sum(sizes.values()),
        sum(row.orders for row in rows),
        sum((row.value for row in rows), Decimal(0)),
        account.currency,
        counted["without_person"],
        local_day(account, counted["first_time"]),
        without_rate(engine, given),
    )
