"""Credit: how each conversion is shared out among the touches before it, for reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from doublet.engine import Engine
from doublet.reports import report_sql
from doublet.reports.conversions import ask, fitting, joined_sql
from doublet.reports.windows import Window, window_parameters

Level = Literal["account", "channel", "campaign", "adset", "ad"]
LEVELS: tuple[Level, ...] = ("account", "channel", "campaign", "adset", "ad")
"""By depth: the text `placed_credit` counts it from 0."""

Model = Literal["last_touch"]


def credited(
    engine: Engine,
    given: Mapping[str, Any],
    name: str,
    models: Sequence[str],
    windows: Sequence[Window],
    *parts: str,
) -> list[dict[str, Any]]:
    """The rows of a report that reads `placed_credit` behind other parts, for each of the models
    and windows: each conversion in as many rows as touches have a share of it, or, without any, in
    one without a kind. The shares of a conversion add up to one, and the amounts to its value."""
    rows = []
    if "last_touch" in models:
        texts = {
            "last_touch": report_sql("last_touch"),
            "credit": report_sql("last_touch_credit"),
            "placed_credit": report_sql("placed_credit"),
        }
        sql = joined_sql(name, "chosen_conversions", *parts, **texts)
        rows += engine.query(sql, fitting(sql, {**given, **window_parameters(windows)}))
    return rows


def titles(engine: Engine, given: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The names that platforms gave, by level and id."""
    return {(row["level"], row["id"]): row["name"] for row in ask(engine, given, "ad_titles")}


def campaign_names(engine: Engine, given: Mapping[str, Any]) -> dict[str, str]:
    """The names of campaigns, by id."""
    found = titles(engine, given)
    return {id_: name for (level, id_), name in found.items() if level == "campaign"}
