"""New and returning customers: what each of them bought, per day, week or month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.asked import Asked
from doublet.reports.cohorts import local_day
from doublet.reports.conversions import ask, conversion_parameters, without_rate
from doublet.reports.paths import share


class NewReturningAsked(Asked, frozen=True, kw_only=True):
    """A row per day, week (from Monday) or month."""

    counts_all: ClassVar[bool] = True
    event_name: tuple[str, ...] = ("Purchase",)
    by: Literal["day", "week", "month"] = "day"


class NewReturningRow(msgspec.Struct):
    """The purchases of the period that begins on `starts`: orders of new customers (the first that
    is known of the person), of returning ones, and of those of whom no person is known; and what
    they are worth by now, net, in the account's currency. The share (0–1) of new ones is of those
    with a person."""

    starts: date
    new_orders: int
    returning_orders: int
    unknown_orders: int
    new_share: float | None
    new_value: Decimal
    returning_value: Decimal
    unknown_value: Decimal


class NewReturningReport(msgspec.Struct):
    """The rows, oldest first, periods without purchases left out, and their sums. Nothing is known
    of purchases before `known_since`: whoever bought before that counts as new then."""

    rows: list[NewReturningRow]
    new_orders: int
    returning_orders: int
    unknown_orders: int
    new_value: Decimal
    returning_value: Decimal
    unknown_value: Decimal
    currency: str
    known_since: date | None
    without_rate: list[str]


def new_returning(
    engine: Engine, account: Account, rates: Rates, asked: NewReturningAsked
) -> NewReturningReport:
    """Purchases of new and returning customers. Empty when nobody bought."""
    given = conversion_parameters(account, rates, asked, whole_history=True) | {"by": asked.by}
    parts = ("chosen_conversions", "purchases")
    rows = [
        NewReturningRow(
            new_share=share(row["new_orders"], row["new_orders"] + row["returning_orders"]), **row
        )
        for row in ask(engine, given, "new_returning", *parts)
    ]
    (counted,) = ask(engine, given, "purchases_counted", *parts)
    return NewReturningReport(
        rows,
        sum(row.new_orders for row in rows),
        sum(row.returning_orders for row in rows),
        sum(row.unknown_orders for row in rows),
        sum((row.new_value for row in rows), Decimal(0)),
        sum((row.returning_value for row in rows), Decimal(0)),
        sum((row.unknown_value for row in rows), Decimal(0)),
        account.currency,
        local_day(account, counted["first_time"]),
        without_rate(engine, given),
    )
