"""What was delivered: as platforms report it of their ads, otherwise as ad logs hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import report_sql, without
from doublet.reports.ad_objects import Parents
from doublet.reports.conversions import joined_sql
from doublet.reports.insights_rows import LEVELS, InsightsRow, Place, Question, sum_of

_COUNTS = ("impressions", "clicks", "spend")

Find = Callable[[Mapping[str, Any]], InsightsRow | None]
"""The row that a row of a report's text belongs to; None where it is not asked for."""


def known(
    engine: Engine, account: Account, since: date, until: date, from_s: int = 0, to_s: int = 0
) -> dict[str, Any]:
    """What there is of an account, and of some days: see insights_known.sql."""
    limits = {"since": since, "until": until, "from_s": from_s, "to_s": to_s}
    text = report_sql("insights_known")
    (row,) = engine.query(text, {"account_id": account.account_id, **limits})
    return row


def add_delivery(
    engine: Engine,
    account: Account,
    question: Question,
    parameters: Mapping[str, Any],
    priced: Mapping[str, Any],
    find: Find,
) -> None:
    """Count impressions, clicks and spend, and reach where it is asked, in the rows that `find`
    gives. Where a platform reports the impressions of a campaign, ad set or ad on a day, none of
    the log count that day; clicks and spend likewise. `parameters` are those of the texts, `priced`
    those of rates."""
    since, until = min(parameters["days"]), max(parameters["days"])
    there = known(engine, account, since, until, parameters["from_s"], parameters["to_s"])
    sources: dict[Place, set[bool]] = {}
    if there["is_reported"]:
        names = ("hours", "since_s", "until_s", "from_s", "to_s", "by_placement")
        fewer = {name: value for name, value in parameters.items() if name not in names}
        for each in engine.query(joined_sql("insights_reported"), {**fewer, **priced}):
            if (row := find(each)) is not None:
                _count(row, each)
                row.spend = sum_of(row.spend, each["spend"])
                if each["is_seen"]:
                    sources.setdefault(row.place, set()).add(False)
    if there["is_logged"]:
        whole = _whole(engine, account, since, until) if there["has_whole"] else {}
        parents = Parents(engine, account)
        asked = {**parameters, **priced}
        for each in _logged(engine, asked, there["is_reported"], bool(whole)):
            if whole:
                _uncover(each, whole, parents)
            if not any(each[name] for name in _COUNTS):
                continue
            if (row := find(each)) is not None:
                _count(row, each)
                row.spend = sum_of(row.spend, each["spend"] or None)
                if each["impressions"]:
                    sources.setdefault(row.place, set()).add(True)
    if question.reach:
        fewer = {name: value for name, value in parameters.items() if name != "finest"}
        fewer["depth"] = LEVELS.index(question.level)
        for each in engine.query(joined_sql("insights_reach"), fewer):
            row = find(each)
            # What both tell of is known of neither.
            if row is not None and sources.get(row.place) == {each["is_log"]}:
                row.reach = each["reach"]


def _logged(
    engine: Engine, parameters: Mapping[str, Any], is_reported: bool, has_whole: bool
) -> list[dict[str, Any]]:
    text = joined_sql("insights_logged")
    if not is_reported:
        text = without(text, "reported")
    # To tell whether a campaign's own day covers them, all must be known of them.
    finest = 3 if has_whole else parameters["finest"]
    depths = {"finest": finest, "counted_to": 3 if is_reported else finest}
    kinds = {"is_reported": is_reported, "has_whole": has_whole}
    return engine.query(text, {**parameters, **depths, **kinds})


Whole = dict[tuple[date, str, str], frozenset[str]]
"""Which figures a platform reports of a campaign or ad set as a whole, by day, level and id."""


def _whole(engine: Engine, account: Account, since: date, until: date) -> Whole:
    limits = {"account_id": account.account_id, "since": since, "until": until}
    found = engine.query(report_sql("insights_covered"), limits)
    return {
        (row["date"], row["level"], row["id"]): frozenset(name for name in _COUNTS if row[name])
        for row in found
    }


def _uncover(each: dict[str, Any], whole: Whole, parents: Parents) -> None:
    """Take out what is reported of the campaign or ad set as a whole."""
    ids = parents.complete((each["campaign_id"], each["adset_id"], each["ad_id"]), 2)
    for level, of in (("campaign", ids[0]), ("adset", ids[1])):
        if of is not None:
            for name in whole.get((each["day"], level, of), ()):
                each[name] = 0


def _count(row: InsightsRow, each: Mapping[str, Any]) -> None:
    row.impressions += each["impressions"]
    row.clicks += each["clicks"]
