"""The addresses of the reports of conversions, made from the table of reports."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from doublet.openapi.operation import CSV, JSON, SVG, Operation
from doublet.reports.asked import Asked
from doublet.reports.registry import REPORTS

_ABOUT = {
    "event_name": "Which events are conversions; may be repeated. Without it, as the account says.",
    "first": "1: only the first conversion of a person after one and the same touch; 0: all. "
    "Without it, as the account says.",
    "by": "What has a row of its own.",
    "level": "What has a row of its own.",
    "days": "How many days count.",
    "repeats": "1: keep a step that repeats the one before it.",
    "limit": "How many have a row of their own.",
    "setting": "Such as 7d_click,1d_ev,1d_view. Without it, as the account says.",
    "platform_setting": "That of the platform's ad sets.",
    "window": "What stands side by side; may be repeated.",
    "model": "Which models stand side by side; may be repeated.",
    "action_type": "The platform's name of the event.",
    "channel": "Only what belongs to this channel.",
    "campaign_id": "Only what belongs to this campaign.",
    "adset_id": "Only what belongs to this ad set.",
    "today": "The day on which the last period ends; none to come.",
}
_QUESTION = ("account", "pixel", "since", "until")
_ELSEWHERE = ("pixel_id", "since", "until")


def _schema(hint: Any) -> dict[str, Any]:
    """What a field may be in an address."""
    parts = typing.get_args(hint)
    if type(None) in parts:
        (hint,) = (part for part in parts if part is not type(None))
    return {"enum": ["0", "1"]} if hint is bool else msgspec.json.schema(hint)


def _parameters(name: str, asked: type[Asked]) -> Iterator[tuple[str, dict[str, Any]]]:
    hints = typing.get_type_hints(asked, include_extras=True)
    for field in asked.__struct_fields__:
        if field not in _ELSEWHERE:
            about = {"description": _ABOUT[field], "schema": _schema(hints[field])}
            yield f"{name}_{field}", {"name": field, "in": "query", **about}


ATTRIBUTION_PARAMETERS: dict[str, Any] = {
    key: parameter
    for name, report in REPORTS.items()
    for key, parameter in _parameters(name, report.asked)
}
"""What each report may be asked, by its name and the parameter's."""


def _operations() -> Iterator[Operation]:
    # What the page of ads shows is a report under another name.
    asked = (("attribution", "campaigns"), *((name, name) for name in REPORTS))
    for path, name in asked:
        report = REPORTS[name]
        given = (*_QUESTION, *(key for key, _ in _parameters(name, report.asked)))
        yield Operation("get", f"/{path}.json", report.about, given, {JSON: report.answer})
        yield Operation("get", f"/{path}.csv", "Its rows.", given, {CSV: None})
        yield Operation("get", f"/{path}.svg", "Its picture.", (*given, "scheme"), {SVG: None})


ATTRIBUTION: tuple[Operation, ...] = tuple(_operations())
"""Three forms of each report."""
