"""Time to conversion: how long after the first and after the last touch persons convert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports.asked import DAY_S, Asked, Setting
from doublet.reports.conversions import ask, conversion_parameters, without_rate
from doublet.reports.paths import share

_HOUR_S = 3600
_QUANTILES = ("p10_s", "p25_s", "p50_s", "p75_s", "p90_s")
_EDGES_S = (
    *(0, 10 * 60, _HOUR_S, 6 * _HOUR_S, DAY_S),
    *(day * DAY_S for day in (2, 3, 5, 7, 14, 21, 28, 90)),
)
"""Spans grow with the lag: most conversions come within the hour, and the last ones after weeks."""


def span_label(lower_s: int, upper_s: int) -> str:
    """A span of time for people, in the unit that its end has.

    >>> span_label(0, 600), span_label(600, 3600), span_label(86_400, 172_800)
    ('< 10 min', '10–60 min', '1–2 d')
    """
    unit, size = ("d", DAY_S) if upper_s > DAY_S else ("h", _HOUR_S)
    if upper_s <= _HOUR_S:
        unit, size = "min", 60
    lower = f"{lower_s // size}–" if lower_s else "< "
    return f"{lower}{upper_s // size} {unit}"


class TimeAsked(Asked, frozen=True, kw_only=True):
    """Touches count that are at most `days` days old: clicks, and views of the last day."""

    days: Annotated[int, Meta(ge=1, le=90)] = 28

    @property
    def attribution(self) -> Setting:
        """The touches that count."""
        return Setting(self.days, 1, 1)


class TimeRow(msgspec.Struct):
    """The conversions that came between `lower_s` and before `upper_s` seconds after the first or
    the last touch. The share (0–1) is of all that a touch came before; value is in the account's
    currency."""

    from_touch: Literal["first", "last"]
    lower_s: int
    upper_s: int
    conversions: int
    share: float | None
    value: Decimal


class TimeQuantiles(msgspec.Struct):
    """Within how many seconds after a touch 10, 25, 50, 75 and 90 % of the conversions came, each
    the lag of a real conversion; and the mean."""

    from_touch: Literal["first", "last"]
    conversions: int
    mean_s: float
    p10_s: int
    p25_s: int
    p50_s: int
    p75_s: int
    p90_s: int


class TimeReport(msgspec.Struct):
    """The rows of the first touch, then those of the last, shortest lag first; those of each add up
    to `touched`. `untouched` conversions had no touch to measure from."""

    rows: list[TimeRow]
    quantiles: list[TimeQuantiles]
    touched: int
    untouched: int
    currency: str
    without_rate: list[str]


def time_to_conversion(
    engine: Engine, account: Account, rates: Rates, asked: TimeAsked
) -> TimeReport:
    """Lags from first and last touch. Without rows when no conversion has a touch."""
    given = conversion_parameters(account, rates, asked)
    edges = [edge for edge in _EDGES_S if edge < asked.days * DAY_S] + [asked.days * DAY_S]
    given |= {"lower_s": edges[:-1], "upper_s": edges[1:]}
    found = ask(engine, given, "time_to_conversion", "chosen_conversions", "lags")
    by_key = {(row["from_touch"], row["lower_s"]): row for row in found}
    whole = by_key.pop((None, None))
    quantiles = _quantiles(by_key.values())
    rows = []
    for measured in quantiles:
        for lower, upper in pairwise(edges):
            row = by_key.get((measured.from_touch, lower))
            count = row["conversions"] if row else 0
            value = row["value"] if row else Decimal(0)
            of_all = share(count, measured.conversions)
            rows.append(TimeRow(measured.from_touch, lower, upper, count, of_all, value))
    touched = quantiles[0].conversions if quantiles else 0
    missing = without_rate(engine, given)
    return TimeReport(
        rows, quantiles, touched, whole["conversions"] - touched, account.currency, missing
    )


def _quantiles(rows: Iterable[Mapping[str, Any]]) -> list[TimeQuantiles]:
    """What the rows of each touch say alike."""
    found = {}
    for row in rows:
        figures = {name: row[name] for name in ("mean_s", *_QUANTILES)}
        found[row["from_touch"]] = TimeQuantiles(
            from_touch=row["from_touch"], conversions=row["touched"], **figures
        )
    return list(found.values())
