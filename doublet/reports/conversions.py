"""What reports of conversions share: one text for what counts, put before the text of a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from doublet.catalog import Account, ReportRules
from doublet.engine import Engine
from doublet.rates import Rates
from doublet.reports import bounds, report_sql
from doublet.reports.asked import Asked

NAMES_MAX = 50
"""How many names of events people may choose from."""

_COMMON = ("rates", "ad_parents", "adset_parents")
"""Texts that many read; each is put before whoever names it in a join."""


def joined_sql(name: str, *parts: str, **texts: str) -> str:
    """The text of a report behind the texts that it reads by their names, in this order; `texts`
    come last, by whatever name they are read. Those that many read come first, of themselves."""
    read = {**{part: report_sql(part) for part in parts}, **texts}
    text = report_sql(name)
    joined = {
        name
        for each in (text, *read.values())
        for name in re.findall(r"join (\w+)$", each, flags=re.MULTILINE)
    }
    read = {**{part: report_sql(part) for part in _COMMON if part in joined}, **read}
    if not read:
        return text
    made = ",\n".join(f"{part} as (\n{sql})" for part, sql in read.items())
    head, keyword, rest = re.split(r"^(with recursive|with|select)\b", text, maxsplit=1, flags=re.M)
    if keyword == "select":
        return f"{head}with\n{made}\nselect{rest}"
    return f"{head}{keyword}\n{made},\n{rest.lstrip()}"


def fitting(sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a text names: an engine refuses any other."""
    named = set(re.findall(r"\$(\w+)", re.sub(r"--[^\n]*", "", sql)))
    return {name: value for name, value in parameters.items() if name in named}


def conversion_parameters(
    account: Account, rates: Rates, asked: Asked, *, whole_history: bool = False
) -> dict[str, Any]:
    """What `chosen_conversions` and the texts behind it ask for; what `asked` leaves open is as an
    account has it that was never told otherwise."""
    asked = asked.under(ReportRules())
    start, end = (None, None) if whole_history else bounds(account, asked.since, asked.until)
    return {
        **rate_parameters(rates),
        "account_id": account.account_id,
        "zone": account.time_zone,
        "pixel_id": asked.pixel_id,
        "event_names": list(asked.event_name),
        "since": start,
        "until": end,
        "first_day": asked.since or date.min,
        "last_day": asked.until or date.max,
        "first_only": asked.first,
        **asked.attribution.seconds,
    }


def rate_parameters(rates: Rates) -> dict[str, Any]:
    """What the text `rates` asks for."""
    spans = list(rates.spans())
    return {
        "rate_currencies": [span.currency for span in spans],
        "rate_firsts": [span.first for span in spans],
        "rate_lasts": [span.last for span in spans],
        # As text: a list of decimals would take the scale of its first.
        "rates": [f"{span.rate:f}" for span in spans],
    }


def ask(
    engine: Engine, parameters: Mapping[str, Any], name: str, *parts: str
) -> list[dict[str, Any]]:
    """The rows of a report that reads other texts."""
    sql = joined_sql(name, *parts)
    return engine.query(sql, fitting(sql, parameters))


def without_rate(engine: Engine, parameters: Mapping[str, Any]) -> list[str]:
    """The currencies of conversions whose value no rate converts, "(none)" for none at all."""
    found = ask(engine, parameters, "without_rate", "chosen_conversions")
    return [row["currency"] for row in found]


def event_names(engine: Engine, account: Account) -> list[str]:
    """The names of events that may be conversions, the most frequent first."""
    asked = {"account_id": account.account_id, "names_max": NAMES_MAX}
    return [row["event_name"] for row in engine.query(report_sql("event_names"), asked)]
