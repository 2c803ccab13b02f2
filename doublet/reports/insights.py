"""Insights: what ads cost, and the conversions credited to them, in any periods and windows.

The one calculation behind the Graph API's `insights` and the reports on campaigns. Conversions with
no ad touch inside the windows are in no row. A touch that names no ad (a click id alone) is
credited as far as it is known: its row lacks the ids that nobody told, so that totals are sums of
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from doublet.catalog import Account, CustomConversion, ReportRules
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports import without
from doublet.reports.ad_objects import Parents
from doublet.reports.conversions import joined_sql, rate_parameters
from doublet.reports.custom import with_custom_conversions
from doublet.reports.insights_delivery import Find, add_delivery, known
from doublet.reports.insights_rows import (
    ALL,
    FIRST,
    LEVELS,
    InsightsRow,
    Kind,
    Place,
    Question,
    Tally,
)
from doublet.reports.periods import EARLIEST, Span, spans

_DAY_S = 86_400
_LOOKBACK_S = 28 * _DAY_S
_IN_WINDOWS = {
    1: ("1d_click", "7d_click", "28d_click"),
    2: ("7d_click", "28d_click"),
    3: ("28d_click",),
    4: ("1d_ev",),
    5: ("1d_view",),
}
"""Which windows a bucket of insights.sql is in."""

KeysOf = Mapping[int, Sequence[str]]
"""The keys of results that conversions in a bucket count under."""


def insights(
    engine: Engine,
    account: Account,
    rules: ReportRules,
    rates: Rates,
    question: Question,
    *,
    custom_conversions: Sequence[CustomConversion] = (),
) -> list[InsightsRow]:
    """The rows in which something happened, by period, then by ids.

    Totals of a coarser level are the sums of the rows of a finer one, in every window. Money in a
    currency for which `rates` has no rate is left out of values and spend; the conversions count.
    Custom conversions are counted beside the events that they choose.
    """
    parts = spans(question.periods, ZoneInfo(account.time_zone), hourly=question.by_hour)
    if not parts:
        return []
    found = _Found(question, Parents(engine, account))
    parameters = _parameters(account, question, parts)
    priced = rate_parameters(rates)
    if question.results:
        defaults: dict[str | None, Decimal] = {
            each.custom_conversion_id: Decimal(each.default_value)
            for each in custom_conversions
            if each.default_value
        }
        for keys_of, first in _countings(rules, question):
            rows = _results(engine, rules, question, parameters | priced, custom_conversions, first)
            _tally(found.row, rows, defaults, keys_of)
    if question.delivery or question.reach:
        add_delivery(engine, account, question, parameters, priced, found.row)
    return sorted(found.rows.values(), key=_order)


class _Found:
    """The rows so far, by what they are of."""

    def __init__(self, question: Question, parents: Parents) -> None:
        self.rows: dict[Place, InsightsRow] = {}
        self._parents = parents
        self._depth = LEVELS.index(question.level)
        wanted = (question.campaign_id, question.adset_id, question.ad_id)
        self._wanted = [(n, each) for n, each in enumerate(wanted) if each is not None]
        self._finest = max([self._depth, *(n + 1 for n, _ in self._wanted)])

    def row(self, each: Mapping[str, Any]) -> InsightsRow | None:
        """The row that a row of a text belongs to; None where it is not asked for."""
        ids = self._parents.complete(
            (each["campaign_id"], each["adset_id"], each["ad_id"]), self._finest
        )
        if any(ids[n] != wanted for n, wanted in self._wanted):
            return None
        depth = self._depth
        place = Place(
            each["period"],
            ids[0] if depth >= 1 else None,
            ids[1] if depth >= 2 else None,
            ids[2] if depth >= 3 else None,
            each["hour"],
            each["platform"],
            each["placement"],
        )
        return self.rows.get(place) or self.rows.setdefault(place, InsightsRow(place))


def _order(row: InsightsRow) -> tuple[Any, ...]:
    return tuple((part is not None, part) for part in row.place)


def _countings(rules: ReportRules, question: Question) -> list[tuple[KeysOf, bool]]:
    """The ways to count, and the keys that each makes of a bucket."""
    own = rules.count == "first"
    credited, wanted = _credited(rules), {"value", *question.windows}
    found: list[tuple[KeysOf, bool]] = []
    for first, end in ((False, ALL), (True, FIRST)):
        ends = ("", end) if first == own else (end,)
        keys_of = {
            bucket: [
                key
                for end in ends
                for name in (*windows, *(("value",) if bucket in credited else ()))
                if (key := name + end) in wanted
            ]
            for bucket, windows in _IN_WINDOWS.items()
        }
        if first == own or any(keys_of.values()):
            found.append((keys_of, first))
    return found


def _parameters(account: Account, question: Question, parts: Sequence[Span]) -> dict[str, Any]:
    ids = (question.campaign_id, question.adset_id, question.ad_id)
    named = max((depth for depth, each in enumerate(ids, 1) if each is not None), default=0)
    return {
        "account_id": account.account_id,
        "periods": [part.period for part in parts],
        "days": [part.day for part in parts],
        "hours": [part.hour for part in parts],
        "since_s": [part.since_s for part in parts],
        "until_s": [part.until_s for part in parts],
        "from_s": min(part.since_s for part in parts),
        "to_s": max(part.until_s for part in parts),
        "finest": max(LEVELS.index(question.level), named),
        "campaign_id": question.campaign_id,
        "adset_id": question.adset_id,
        "ad_id": question.ad_id,
        "by_platform": question.by_platform,
        "by_placement": question.by_placement,
    }


def _results(
    engine: Engine,
    rules: ReportRules,
    question: Question,
    parameters: Mapping[str, Any],
    custom_conversions: Sequence[CustomConversion],
    first: bool,
) -> list[dict[str, Any]]:
    text = joined_sql("insights")
    text = text if first else without(text, "first")
    sql, more = with_custom_conversions(text, custom_conversions)
    # What is the first after a touch may lie before the periods.
    from_s = parameters["from_s"] - (_LOOKBACK_S if first else 0)
    own = {
        "from_s": from_s,
        "events": list(rules.conversions) or None,
        "click_s": rules.click_days * _DAY_S,
        "engaged_s": rules.engaged_view_days * _DAY_S,
        "by_person": question.persons,
    }
    return engine.query(sql, {**parameters, **more, **own})


def _tally(
    find: Find,
    found: Iterable[Mapping[str, Any]],
    defaults: Mapping[str | None, Decimal],
    keys_of: KeysOf,
) -> None:
    for each in found:
        keys = keys_of[each["bucket"]]
        if not keys or (row := find(each)) is None:
            continue
        custom_id = each["custom_id"]
        kind = Kind("" if custom_id else each["event_name"], custom_id, each["channel"])
        results = row.results.setdefault(kind, {})
        value = (each["value"] or Decimal(0)) + each["unvalued"] * defaults.get(custom_id, 0)
        events, person_id = each["events"], each["person_id"]
        for key in keys:
            tally = results.get(key)
            results[key] = tally.plus(events, value) if tally else Tally(events, value)
            if person_id is not None:
                persons = row.persons.setdefault(kind, {})
                persons.setdefault(key, set()).add(person_id)


def _credited(rules: ReportRules) -> set[int]:
    """The buckets that the setting credits."""
    clicks = {bucket for bucket, days in ((1, 1), (2, 7), (3, 28)) if rules.click_days >= days}
    return (
        clicks | ({4} if rules.engaged_view_days else set()) | ({5} if rules.view_days else set())
    )


def earliest_day(engine: Engine, account: Account) -> date:
    """The first day of a conversion, of a touch in the ad log, or that a platform reports of;
    EARLIEST where there is none."""
    row = known(engine, account, EARLIEST, EARLIEST)
    days = [] if row["first_day"] is None else [row["first_day"]]
    for seconds in (row["first_event_time"], row["first_touched_time"]):
        if seconds is not None:
            moment = datetime.fromtimestamp(seconds, UTC)
            days.append(moment.astimezone(ZoneInfo(account.time_zone)).date())
    return max(min(days), EARLIEST) if days else EARLIEST
