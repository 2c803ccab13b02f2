"""`/{pixel}/da_checks`: the diagnostics of a pixel, one row for each that is known."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from doublet.engine import Engine
from doublet.graph.fields import Shape, plain
from doublet.graph.question import Question, Row, page, rows_after
from doublet.graph.refused import invalid
from doublet.reports import as_percent
from doublet.reports.diagnostics import DIAGNOSTICS, Diagnostic, DiagnosticRow, diagnostics
from doublet.reports.quality import window

CHECK = Shape(
    "DACheck", plain("key", "result", "title", "description", "user_message", "action_uri")
)
"""Fields: facebook_business, DACheck."""

_OF_METHOD: dict[str, tuple[str, ...]] = {
    "ALL": ("events", "browser_events", "server_events", "judged", "both"),
    "APP": (),
    "BROWSER": ("events", "browser_events"),
    "SERVER": ("events", "server_events", "judged", "both"),
}
"""Which events a diagnostic is of, by connection method. No diagnostic is of apps alone."""

_NAMES_SHOWN = 3
_LIMIT = 100


def last_days(question: Question) -> tuple[date, date]:
    """Seven days up to today in the account's zone."""
    return window(None, None, question.now.astimezone(question.zone).date())


def da_checks(engine: Engine, question: Question, pixel_id: str, public_url: str) -> dict[str, Any]:
    """What failed first, otherwise in the order of the list of diagnostics. Raises Refused."""
    method = (question.parameters.get("connection_method") or "ALL").upper()
    if method not in _OF_METHOD:
        names = ", ".join(_OF_METHOD)
        raise invalid("connection_method", f"(#100) connection_method must be one of {{{names}}}")
    named = _names("checks", question.parameters.get("checks", ""))
    since, until = last_days(question)
    found: dict[str, list[DiagnosticRow]] = {}
    for row in diagnostics(engine, question.account, since=since, until=until, pixel_id=pixel_id):
        found.setdefault(row.diagnostic, []).append(row)
    action_uri = f"{public_url.rstrip('/')}/quality?pixel={pixel_id}"
    rows = [
        _row(diagnostic, found.get(diagnostic.key, []), action_uri)
        for diagnostic in DIAGNOSTICS
        if diagnostic.of in _OF_METHOD[method] and (not named or diagnostic.key in named)
    ]
    rows.sort(key=lambda row: str(row["result"]))
    rest = rows_after(question, rows, _key_of)
    return page(question, rest, _key_of, CHECK, question.limit(_LIMIT))


def _key_of(row: Row) -> str:
    return str(row["key"])


def _row(diagnostic: Diagnostic, found: list[DiagnosticRow], action_uri: str) -> Row:
    row = {
        "key": diagnostic.key,
        "result": "failed" if found else "passed",
        "title": diagnostic.title,
        "description": diagnostic.condition,
        "user_message": "Nothing was found in the last seven days.",
    }
    if not found:
        return row
    touched = [
        f"{each.event_name}: {each.affected:,} of {each.total:,} events "
        f"({as_percent(each.affected, each.total)})"
        for each in found[:_NAMES_SHOWN]
    ]
    more = len(found) - _NAMES_SHOWN
    touched += [f"{more} more event names"] if more > 0 else []
    message = f"{'; '.join(touched)}. {diagnostic.fix}"
    return {**row, "user_message": message, "action_uri": action_uri}


def _names(name: str, text: str) -> list[str]:
    """A parameter that is a list, as JSON or with commas."""
    text = text.strip()
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return [str(part) for part in json.loads(text)]
    except (ValueError, RecursionError):
        raise invalid(name, f"(#100) {name} begins like a JSON array, but is none") from None
