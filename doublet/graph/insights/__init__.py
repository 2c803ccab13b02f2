"""`insights`: what ads cost and which conversions are credited to them, as Meta's tools read it.

Figures are those of doublet.reports.insights; here they get Meta's parameters, names and shape
(Marketing API, *Ads Insights*).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from doublet.catalog import Catalog, CustomConversion, ReportRules
from doublet.engine import Engine
from doublet.graph.fields import names_of
from doublet.graph.insights.asked import INSIGHTS, Asked, read_asked
from doublet.graph.insights.filtering import OBJECTS, Filter, Sort
from doublet.graph.insights.names import BREAKDOWNS
from doublet.graph.insights.pages import Rows, insights_page
from doublet.graph.insights.row import (
    DELIVERY_FIELDS,
    REACH_FIELDS,
    RESULT_FIELDS,
    UNIQUE_FIELDS,
    Figures,
    graph_row,
    has_happened,
)
from doublet.graph.question import Question, Row
from doublet.rates import load_rates
from doublet.reports.ad_objects import ad_names
from doublet.reports.insights import earliest_day, insights
from doublet.reports.insights_rows import LEVELS, InsightsRow, Place
from doublet.reports.insights_rows import Question as Wanted
from doublet.reports.periods import Period

__all__ = ["INSIGHTS", "Insights", "Rows", "Target", "insights_page"]


_IDS = ("campaign_id", "adset_id", "ad_id")


class Target(NamedTuple):
    """The object whose insights are read: its level and, below the account, its id."""

    level: str = "account"
    object_id: str | None = None


class Insights:
    """Reads insights of an account's objects; `rates` is the folder of exchange rates."""

    def __init__(self, catalog: Catalog, engine: Engine, rates: Path) -> None:
        self._catalog = catalog
        self._engine = engine
        self._rates = rates

    def check(self, question: Question, target: Target) -> Asked:
        """What the parameters say, without an answer. Raises Refused."""
        rules = self._catalog.reporting.rules(question.account.account_id)
        return read_asked(question, target.level, rules, partial(self._earliest, question))

    def rows(self, question: Question, target: Target) -> Rows:
        """All rows of the answer, in its order. Raises Refused."""
        account = question.account
        rules = self._catalog.reporting.rules(account.account_id)
        asked = self.check(question, target)
        custom: list[CustomConversion] = [
            each
            for each in self._catalog.reporting.custom_conversions(account.account_id)
            if not each.is_archived
        ]
        wanted = _wanted(asked, target)
        rates = load_rates(self._rates, account.account_id, account.currency)
        found = insights(self._engine, account, rules, rates, wanted, custom_conversions=custom)
        names = self._names(question, asked, found)
        found = _chosen(found, asked, names)
        every = [Figures(row, asked.periods[row.place.period], names) for row in found]
        every = [figures for figures in every if has_happened(figures, asked.windows)]
        every = [figures for figures in every if _passes(figures, asked.filters)]
        _sort(every, asked.sorts)
        fields = names_of(asked.fields, INSIGHTS) if asked.fields else _default_fields(asked.level)
        make = partial(_graph_row, question=question, rules=rules, asked=asked)
        summary = None
        if asked.summary is not None:
            totals = _total(every, asked.periods)
            summary = make(totals, fields=asked.summary or fields, breakdowns=())

        def made(start: int, stop: int) -> list[Row]:
            wanted = every[start:stop]
            return [make(each, fields=fields, breakdowns=asked.breakdowns) for each in wanted]

        return Rows([_key(figures.row.place) for figures in every], made, summary)

    def page(self, question: Question, target: Target) -> dict[str, Any]:
        """One page of the answer. Raises Refused."""
        return insights_page(question, self.rows(question, target))

    def _earliest(self, question: Question) -> date:
        return earliest_day(self._engine, question.account)

    def _names(
        self, question: Question, asked: Asked, rows: Sequence[InsightsRow]
    ) -> dict[tuple[str, str], str]:
        used = {*asked.fields, *(asked.summary or ()), *_compared(asked)}
        if not any(name in used for name, (_, part) in OBJECTS.items() if part == "name"):
            return {}
        ids = {object_id for row in rows for object_id in row.place[1:4] if object_id is not None}
        return {
            **ad_names(self._engine, question.account, ids),
            **self._catalog.campaigns.names(question.account.account_id, ids),
        }


def _default_fields(level: str) -> tuple[str, ...]:
    ids = [f"{each}_id" for each in LEVELS[: LEVELS.index(level) + 1]]
    return (*ids, "impressions", "spend")


def _wanted(asked: Asked, target: Target) -> Wanted:
    """What the calculation has to find, at the level of the finest filter."""
    levels = [each.level for each in asked.filters if each.level is not None]
    finest = max((asked.level, *levels), key=LEVELS.index)
    names = set(asked.fields) | set(asked.summary or ())
    names |= {name.partition(":")[0] for name in _compared(asked)}
    has_results, has_delivery = bool(names & RESULT_FIELDS), bool(names & DELIVERY_FIELDS)
    if not has_results and not has_delivery:
        # Rows are where something happened, whatever it was.
        has_results, has_delivery = bool(names - {"date_start", "date_stop"}), True
    ids = {f"{target.level}_id": target.object_id} if target.object_id is not None else {}
    return Wanted(
        asked.counted,
        finest,
        by_hour="hour" in _divided(asked),
        by_platform="platform" in _divided(asked),
        by_placement="placement" in _divided(asked),
        delivery=has_delivery,
        reach=bool(names & REACH_FIELDS),
        results=has_results,
        persons=bool(names & UNIQUE_FIELDS),
        windows=asked.windows,
        **ids,
    )


def _compared(asked: Asked) -> set[str]:
    """The fields that rows are chosen or ordered by."""
    return {each.field for each in asked.filters} | {each.field for each in asked.sorts}


def _divided(asked: Asked) -> set[str]:
    return {BREAKDOWNS[name] for name in asked.breakdowns}


def _chosen(
    rows: list[InsightsRow], asked: Asked, names: dict[tuple[str, str], str]
) -> list[InsightsRow]:
    """The rows whose objects pass, put together to the level that is asked for."""
    by_object = [each for each in asked.filters if each.level is not None]
    depth = LEVELS.index(asked.level)
    chosen: dict[Place, InsightsRow] = {}
    for row in rows:
        figures = Figures(row, asked.periods[row.place.period], names)
        if not all(each.fits(figures.part(*OBJECTS[each.field])) for each in by_object):
            continue
        ids = dict.fromkeys(_IDS[depth:])
        place = Place(**{**row.place._asdict(), **ids})
        if place == row.place:
            chosen[place] = row
        else:
            chosen.setdefault(place, InsightsRow(place)).add(row)
    return list(chosen.values())


def _passes(figures: Figures, filters: Sequence[Filter]) -> bool:
    for each in filters:
        if each.level is not None or each.field == "action_type":
            continue
        value = (
            figures.breakdown(each.field)
            if each.field in BREAKDOWNS
            else figures.metric(each.field)
        )
        if not each.fits(value):
            return False
    return True


def _sort(every: list[Figures], sorts: Sequence[Sort]) -> None:
    for sort in reversed(sorts):
        known = [figures for figures in every if _value(figures, sort.field) is not None]
        unknown = [figures for figures in every if _value(figures, sort.field) is None]
        known.sort(key=lambda figures: _value(figures, sort.field), reverse=sort.is_descending)
        every[:] = known + unknown


def _value(figures: Figures, field: str) -> Any:
    if field in ("date_start", "date_stop"):
        return figures.period.since if field == "date_start" else figures.period.until
    if field in OBJECTS:
        return figures.part(*OBJECTS[field])
    return figures.breakdown(field) if field in BREAKDOWNS else figures.metric(field)


def _graph_row(
    figures: Figures,
    *,
    question: Question,
    rules: ReportRules,
    asked: Asked,
    fields: Sequence[str],
    breakdowns: Sequence[str],
) -> Row:
    of_types = [each for each in asked.filters if each.field == "action_type"]
    types = None
    if of_types:
        known = (*figures.types, "link_click")
        types = [name for name in known if all(each.fits(name) for each in of_types)]
    return graph_row(figures, question.account, rules, fields, asked.windows, breakdowns, types)


def _total(every: Sequence[Figures], periods: Sequence[Period]) -> Figures:
    """All rows in one, of all the days."""
    total = InsightsRow(Place(0))
    for figures in every:
        total.add(figures.row)
    since = min(period.since for period in periods)
    return Figures(total, Period(since, max(period.until for period in periods)), {})


def _key(place: Place) -> str:
    return json.dumps(place, separators=(",", ":"))
