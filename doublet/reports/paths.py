"""Paths: by which touches, in which order, persons came to a conversion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.asked import Asked, Setting
from doublet.reports.conversions import ask, conversion_parameters, without_rate

_DIGITS = 6


class PathsAsked(Asked, frozen=True, kw_only=True):
    """`by` names the steps. A path has the clicks of the last `days` days before its conversion,
    and the views of the last one. `repeats` keeps a step that repeats the one before it; `limit`
    is how many paths have a row of their own."""

    by: Literal["channel", "campaign"] = "channel"
    days: Annotated[int, Meta(ge=1, le=90)] = 28
    repeats: bool = False
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 50

    @property
    def attribution(self) -> Setting:
        """The touches that a path has."""
        return Setting(self.days, 1, 1)


class PathRow(msgspec.Struct):
    """One path, its steps oldest first: how many conversions came by it, and their value in the
    account's currency; shares (0–1) are of all conversions and of all value. The empty path is
    that of conversions that no touch came before. The row whose path is None is the sum of all
    `paths` that have no row of their own."""

    path: list[str] | None
    steps: int | None
    paths: int
    conversions: int
    share: float | None
    value: Decimal
    value_share: float | None


class PathLengthRow(msgspec.Struct):
    """All paths of so many steps: how many there are, and the conversions that came by them."""

    steps: int
    paths: int
    conversions: int
    share: float | None
    value: Decimal


class PathsReport(msgspec.Struct):
    """The rows by conversions, then the untouched, then all others; conversions and value are the
    sums of the rows, and of the `lengths`, which are of all paths, whether or not they have a row.
    Value leaves out the currencies `without_rate`."""

    rows: list[PathRow]
    conversions: int
    touched: int
    value: Decimal
    currency: str
    without_rate: list[str]
    lengths: list[PathLengthRow]


def share(part: int | Decimal, whole: int | Decimal) -> float | None:
    """A part of a whole, 0–1; None of nothing."""
    return round(float(part / whole), _DIGITS) if whole > 0 else None


def paths(engine: Engine, account: Account, rates: Rates, asked: PathsAsked) -> PathsReport:
    """The most frequent paths. Empty when nothing was converted."""
    given = conversion_parameters(account, rates, asked)
    given |= {"by": asked.by, "repeats": asked.repeats, "paths_max": asked.limit}
    found = ask(engine, given, "paths", "chosen_conversions")
    conversions = sum(row["conversions"] for row in found)
    value = sum((row["value"] for row in found), Decimal(0))
    own = [row for row in found if row["path"] is not None]
    others = [row for row in found if row["path"] is None]
    rows = [
        PathRow(
            path=row["path"],
            steps=row["steps"],
            paths=row["paths"],
            conversions=row["conversions"],
            share=share(row["conversions"], conversions),
            value=row["value"],
            value_share=share(row["value"], value),
        )
        for row in own + ([_sum(others) | {"path": None, "steps": None}] if others else [])
    ]
    touched = sum(row.conversions for row in rows if row.path != [])
    missing = without_rate(engine, given)
    return PathsReport(
        rows, conversions, touched, value, account.currency, missing, _lengths(found, conversions)
    )


def _sum(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    listed = list(rows)
    return {
        "paths": sum(row["paths"] for row in listed),
        "conversions": sum(row["conversions"] for row in listed),
        "value": sum((row["value"] for row in listed), Decimal(0)),
    }


def _lengths(found: Iterable[Mapping[str, Any]], conversions: int) -> list[PathLengthRow]:
    by_steps: dict[int, list[Mapping[str, Any]]] = {}
    for row in found:
        by_steps.setdefault(row["steps"], []).append(row)
    sums = {steps: _sum(rows) for steps, rows in sorted(by_steps.items())}
    return [
        PathLengthRow(steps=steps, share=share(of["conversions"], conversions), **of)
        for steps, of in sums.items()
    ]
