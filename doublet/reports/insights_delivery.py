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
    gives. A campaign, ad set or ad of which a platform reports a day has none of the log that day.
    `parameters` are those of the texts, `priced` those of rates."""
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
                sources.setdefault(row.place, set()).add(False)
    if there["is_logged"]:
        whole = _whole(engine, account, since, until) if there["has_whole"] else set()
        parents = Parents(engine, account)
        for each in _logged(engine, parameters, there["is_reported"], bool(whole)):
            if whole and _is_covered(each, whole, parents):
                continue
            if (row := find(each)) is not None:
                _count(row, each)
                sources.setdefault(row.place, set()).add(True)
    if question.reach:
        fewer = {name: value for name, value in parameters.items() if name != "finest"}
        fewer["depth"] = LEVELS.index(question.level)
        for each in engine.query(report_sql("insights_reach"), fewer):
            row = find(each)
            # What both tell of is known of neither.
            if row is not None and sources.get(row.place) == {each["is_log"]}:
                row.reach = each["reach"]


def _logged(
    engine: Engine, parameters: Mapping[str, Any], is_reported: bool, has_whole: bool
) -> list[dict[str, Any]]:
    text = report_sql("insights_logged")
    if not is_reported:
        text = without(text, "reported")
    # To tell whether a campaign's own day covers them, all must be known of them.
    finest = 3 if has_whole else parameters["finest"]
    depths = {"finest": finest, "counted_to": 3 if is_reported else finest}
    kinds = {"is_reported": is_reported, "has_whole": has_whole}
    return engine.query(text, {**parameters, **depths, **kinds})


def _whole(
    engine: Engine, account: Account, since: date, until: date
) -> set[tuple[date, str, str]]:
    limits = {"account_id": account.account_id, "since": since, "until": until}
    found = engine.query(report_sql("insights_covered"), limits)
    return {(row["date"], row["level"], row["id"]) for row in found}


def _is_covered(
    each: Mapping[str, Any], whole: set[tuple[date, str, str]], parents: Parents
) -> bool:
    ids = parents.complete((each["campaign_id"], each["adset_id"], each["ad_id"]), 2)
    return (each["day"], "campaign", ids[0]) in whole or (each["day"], "adset", ids[1]) in whole


def _count(row: InsightsRow, each: Mapping[str, Any]) -> None:
    row.impressions += each["impressions"]
    row.clicks += each["clicks"]
