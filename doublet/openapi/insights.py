"""The Graph API's addresses of insights, custom conversions and ads."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.graph.custom_conversions import ACTION_SOURCES, EVENT_TYPES
from doublet.graph.insights.names import BREAKDOWNS
from doublet.openapi.answers import Page
from doublet.openapi.operation import JSON, Operation
from doublet.reports.insights_rows import LEVELS
from doublet.reports.periods import PRESETS

_FORM = "application/x-www-form-urlencoded"


class Started(msgspec.Struct):
    """The report that was begun."""

    report_run_id: str


class Made(msgspec.Struct):
    """What was made."""

    id: str


class Done(msgspec.Struct):
    """Whether it was done."""

    success: bool


def _query(name: str, about: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


_LIST = {"type": "string"}
INSIGHTS_PARAMETERS: dict[str, Any] = {
    "insights_level": _query("level", "What has a row of its own.", enum=list(LEVELS)),
    "date_preset": _query("date_preset", "Which days.", enum=list(PRESETS)),
    "time_range": _query("time_range", '{"since": "2026-06-01", "until": "2026-06-30"}', **_LIST),
    "time_ranges": _query("time_ranges", "A JSON array of time ranges.", **_LIST),
    "time_increment": _query("time_increment", "1 to 90 days, monthly, all_days.", **_LIST),
    "breakdowns": _query("breakdowns", "What divides rows, with commas.", enum=["", *BREAKDOWNS]),
    "action_breakdowns": _query("action_breakdowns", "What divides entries.", enum=["action_type"]),
    "action_attribution_windows": _query(
        "action_attribution_windows", "Keys of entries beside value, with commas.", **_LIST
    ),
    "filtering": _query("filtering", "A JSON array of conditions.", **_LIST),
    "sort": _query("sort", "spend_descending, or a JSON array.", **_LIST),
    "insights_limit": _query("limit", "Rows of a page.", type="integer", minimum=1, maximum=10_000),
    "default_summary": _query("default_summary", "A row of totals.", enum=["true", "false"]),
    "ad_object_id": {
        "name": "ad_object_id",
        "in": "path",
        "required": True,
        "description": "A campaign, ad set, ad or report in the making.",
        "schema": {"type": "string", "pattern": "^[0-9]{15,18}$"},
    },
}
_ASKED = tuple(name for name in INSIGHTS_PARAMETERS if name != "ad_object_id")
_BODY = {"type": "object", "properties": {"fields": {"type": "string"}}}
_CONVERSION = {
    "type": "object",
    "required": ["name", "rule"],
    "properties": {
        "name": {"type": "string"},
        "rule": {"type": "string", "description": "JSON (docs/insights.md)."},
        "custom_event_type": {"enum": list(EVENT_TYPES)},
        "action_source_type": {"enum": list(ACTION_SOURCES)},
        "event_source_id": {"type": "string", "description": "The pixel; all where there is none."},
        "default_conversion_value": {"type": "number", "minimum": 0},
        "description": {"type": "string"},
    },
}


def _insights(path: str, of: str) -> tuple[Operation, Operation]:
    return (
        Operation("get", path, f"Insights of {of}.", ("fields", *_ASKED), {JSON: Page}),
        Operation(
            "post",
            path,
            f"Begin a report of {of}.",
            _ASKED,
            {JSON: Started},
            when="The report was begun.",
            bodies={_FORM: _BODY, JSON: _BODY},
        ),
    )


def _list(path: str, summary: str) -> Operation:
    return Operation("get", path, summary, ("fields",), {JSON: Page})


INSIGHTS: tuple[Operation, ...] = (
    *_insights("/{version}/{account_id}/insights", "an account"),
    *_insights("/{version}/me/insights", "the token's account"),
    *_insights("/{version}/{ad_object_id}/insights", "a campaign, ad set or ad"),
    _list("/{version}/{account_id}/campaigns", "Campaigns of an account."),
    _list("/{version}/{account_id}/adsets", "Ad sets of an account."),
    _list("/{version}/{account_id}/ads", "Ads of an account."),
    _list("/{version}/{account_id}/customconversions", "Custom conversions of an account."),
    Operation(
        "post",
        "/{version}/{account_id}/customconversions",
        "Make a custom conversion.",
        (),
        {JSON: Made},
        when="It counts, in all of the past too.",
        bodies={_FORM: _CONVERSION, JSON: _CONVERSION},
    ),
    Operation(
        "post",
        "/{version}/{pixel_id}",
        "Change a custom conversion or an audience, whose id stands in the place of a pixel's.",
        (),
        {JSON: Done},
        when="Changed.",
        bodies={_FORM: {"type": "object"}, JSON: {"type": "object"}},
    ),
    Operation(
        "delete",
        "/{version}/{pixel_id}",
        "Delete a custom conversion or an audience, whose id stands in the place of a pixel's.",
        (),
        {JSON: Done},
        when="Deleted; its events stay.",
    ),
)
"""In the order of the description."""
