"""The lift of each campaign's ads, from the warehouse; or why no figure can be given yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import groupby
from math import ceil
from typing import Any, Literal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.lift.estimate import (
    CONVERTERS_MIN,
    Effect,
    Mismatch,
    Moments,
    mismatch,
    number_effect,
    share_effect,
    value_effect,
)
from doublet.lift.power import Plan, lift_detectable, persons_needed
from doublet.rates import Rates
from doublet.reports import bounds
from doublet.reports.conversions import rate_parameters

WINDOW_DAYS = 28
WINDOW_DAYS_MAX = 400
LIFT_WANTED = 0.1
_DAY_S = 86_400
_LATELY_DAYS = 7

Verdict = Literal["more", "fewer", "not shown", "not enough data", "mismatched"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a report on lift is about. `window_days` counts from a person's first opportunity,
    `since` and `until` (inclusive) are the days of these; `holdout` is the share that was to be
    held out, None where that is not known; `lift` is the one for which persons needed are told."""

    event_name: str = "Purchase"
    experiment: str | None = None
    campaign_id: str | None = None
    by_campaign: bool = True
    window_days: int = WINDOW_DAYS
    since: date | None = None
    until: date | None = None
    holdout: float | None = None
    lift: float = LIFT_WANTED


class Arm(msgspec.Struct):
    """One arm: persons with an opportunity, those who converted, conversions, their value in the
    account's currency."""

    persons: int = 0
    converters: int = 0
    conversions: int = 0
    value: Decimal = Decimal(0)


class LiftRow(msgspec.Struct):
    """One experiment and campaign (None: all of it).

    `verdict` is of the number of conversions, `reason` says it in a sentence. Effects are None
    where there is not enough data for them. `lift_detectable` is what as many persons as now show
    with a power of 80 %; `more_persons` is how many more are needed to give figures at all, or for
    the lift that was asked for, `more_days` how long that takes at the rate of the last seven
    days. `in_both` were found in both arms and belong to the first, `still_open` have had less
    than the whole window, `without_rate` are conversions whose value no exchange
    rate converts, so that it does not count.
    """

    experiment: str
    campaign_id: str | None
    held_out: Arm
    shown: Arm
    in_both: int
    still_open: int
    without_rate: int
    mismatch: Mismatch | None
    verdict: Verdict
    reason: str
    converters: Effect | None = None
    conversions: Effect | None = None
    value: Effect | None = None
    lift_detectable: float | None = None
    more_persons: int | None = None
    more_days: float | None = None


class LiftReport(msgspec.Struct):
    """All rows, and the currency of their values."""

    event_name: str
    window_days: int
    currency: str
    rows: list[LiftRow]


class OutcomeRow(msgspec.Struct):
    """One outcome (converters, conversions or value) of one experiment and campaign, for tables:
    the persons of both arms and the fields of its Effect, None where no figure is given."""

    experiment: str
    campaign_id: str | None
    verdict: str
    outcome: str
    held_out_persons: int
    shown_persons: int
    held_out_mean: float | None
    shown_mean: float | None
    per_person: float | None
    per_person_low: float | None
    per_person_high: float | None
    incremental: float | None
    incremental_low: float | None
    incremental_high: float | None
    lift: float | None
    lift_low: float | None
    lift_high: float | None


OUTCOMES = ("converters", "conversions", "value")
"""What an effect may be of: whether a person converts, how often, and what that is worth."""


def outcome_rows(report: LiftReport) -> list[OutcomeRow]:
    """The rows, three of each: one per outcome."""
    return [
        OutcomeRow(
            row.experiment,
            row.campaign_id,
            row.verdict,
            outcome,
            row.held_out.persons,
            row.shown.persons,
            *(getattr(getattr(row, outcome), name, None) for name in Effect.__struct_fields__),
        )
        for row in report.rows
        for outcome in OUTCOMES
    ]


@cache
def _text() -> str:
    return files("doublet.lift").joinpath("lift.sql").read_text("utf-8")


def lift_report(
    engine: Engine, account: Account, rates: Rates, asked: Asked, now_s: int
) -> LiftReport:
    """Per experiment and campaign, in their order, as known at `now_s` (Unix seconds). No rows when
    nobody was held out or shown anything for an experiment."""
    since, until = bounds(account, asked.since, asked.until)
    end = now_s if until is None else min(until, now_s)
    found = engine.query(
        _text(),
        {
            **rate_parameters(rates),
            "account_id": account.account_id,
            "experiment": asked.experiment,
            "campaign_id": asked.campaign_id,
            "by_campaign": asked.by_campaign,
            "event_name": asked.event_name,
            "window_s": asked.window_days * _DAY_S,
            "since": since,
            "until": end,
            "now": now_s,
            "zone": account.time_zone,
        },
    )
    arms = groupby(found, lambda row: (row["experiment"], row["campaign_id"]))
    rows = [_row(asked, list(group), end) for _, group in arms]
    return LiftReport(asked.event_name, asked.window_days, account.currency, rows)


def _row(asked: Asked, found: Sequence[dict[str, Any]], end: int) -> LiftRow:
    held_out = [row for row in found if row["is_held_out"]]
    shown = [row for row in found if not row["is_held_out"]]
    return judge(
        asked,
        found[0]["experiment"],
        found[0]["campaign_id"],
        Sums.of(held_out),
        Sums.of(shown),
        end,
    )


class Sums(msgspec.Struct):
    """The sums of one arm, as `lift.sql` has them."""

    persons: int = 0
    converters: int = 0
    conversions: int = 0
    conversions_squared: int = 0
    value: Decimal = Decimal(0)
    value_squared: float = 0.0
    without_rate: int = 0
    in_both: int = 0
    still_open: int = 0
    lately: int = 0
    first_time: int | None = None

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]]) -> Sums:
        """Of the only row, or of nobody."""
        for row in rows:
            return cls(**{name: row[name] for name in cls.__struct_fields__})
        return cls()

    @property
    def arm(self) -> Arm:
        """What is told of it."""
        return Arm(self.persons, self.converters, self.conversions, self.value)

    def numbers(self) -> Moments:
        """Of how many conversions a person has."""
        return Moments(self.persons, self.conversions, self.conversions_squared)

    def shares(self) -> Moments:
        """Of whether a person converts."""
        return Moments(self.persons, self.converters, self.converters)

    def values(self) -> Moments:
        """Of what a person spends."""
        return Moments(self.persons, float(self.value), self.value_squared)


def judge(
    asked: Asked, experiment: str, campaign_id: str | None, held_out: Sums, shown: Sums, end: int
) -> LiftRow:
    """The row that the sums of two arms make; `end` (Unix seconds) is when
    opportunities end."""
    persons = held_out.persons + shown.persons
    row = LiftRow(
        experiment,
        campaign_id,
        held_out.arm,
        shown.arm,
        held_out.in_both + shown.in_both,
        held_out.still_open + shown.still_open,
        held_out.without_rate + shown.without_rate,
        None,
        "not enough data",
        "",
    )
    if asked.holdout is not None and persons:
        row.mismatch = mismatch(held_out.persons, shown.persons, asked.holdout)
        if row.mismatch.is_mismatch:
            row.verdict = "mismatched"
            times = 1 / max(row.mismatch.p_value, 1e-12)
            row.reason = (
                f"{row.mismatch.share:.2%} are held out, not {asked.holdout:.2%}: chance alone "
                f"does so once in {times:,.0f} times. The arms differ by more than the "
                "ads; look for opportunities that are not logged in one of them."
            )
            return row
    if min(held_out.converters, shown.converters) < CONVERTERS_MIN:
        _not_enough(row, held_out, shown)
    else:
        _estimate(row, asked, held_out, shown)
    if row.more_persons is not None:
        row.more_days = _days(row.more_persons, held_out, shown, end)
    return row


def _not_enough(row: LiftRow, held_out: Sums, shown: Sums) -> None:
    few = "held out" if held_out.converters <= shown.converters else "shown the ads"
    converters = min(held_out.converters, shown.converters)
    row.reason = (
        f"Only {converters:,} of those {few} have converted; below {CONVERTERS_MIN} in either arm "
        "no interval can be trusted."
    )
    persons, converted = (
        held_out.persons + shown.persons,
        held_out.converters + shown.converters,
    )
    if not held_out.persons or not shown.persons:
        missing = "nobody was held out" if not held_out.persons else "nobody was shown the ads"
        row.reason = f"Of the persons with an opportunity {missing}: there is nothing to compare."
    elif converted:
        # An arm without converters is taken to convert as all do.
        needed = [
            CONVERTERS_MIN / ((arm.converters or arm.persons * converted / persons) / persons)
            for arm in (held_out, shown)
        ]
        row.more_persons = max(1, ceil(max(needed)) - persons)


def _estimate(row: LiftRow, asked: Asked, held_out: Sums, shown: Sums) -> None:
    row.converters = share_effect(held_out.shares(), shown.shares())
    row.conversions = found = number_effect(held_out.numbers(), shown.numbers())
    if held_out.value > 0 and shown.value > 0:
        values = (held_out.values(), shown.values())
        row.value = value_effect(*values, held_out.converters, shown.converters)
    persons = held_out.persons + shown.persons
    without = held_out.numbers()
    plan = Plan(without.mean, without.variance / without.mean, held_out.persons / persons)
    row.lift_detectable = lift_detectable(plan, persons)
    if found.is_shown:
        row.verdict = "more" if found.per_person > 0 else "fewer"
        row.reason = f"With the ads there are {row.verdict} conversions than without."
        return
    row.verdict = "not shown"
    row.more_persons = max(0, persons_needed(plan, asked.lift) - persons)
    row.reason = (
        "The interval holds zero: that the ads change anything is not shown, nor that they do not."
    )
    if row.more_persons:
        row.reason += f" A lift of {asked.lift:.0%} needs more persons to be seen."


def _days(more_persons: int, held_out: Sums, shown: Sums, end: int) -> float | None:
    """How long so many persons take to come, at the rate of the last days."""
    began = min(arm.first_time for arm in (held_out, shown) if arm.first_time is not None)
    days = min(_LATELY_DAYS, max((end - began) / _DAY_S, 1.0))
    lately = held_out.lately + shown.lately
    return round(more_persons * days / lately, 1) if lately else None
