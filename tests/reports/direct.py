"""Reports that are read from sums or in another order, asked of events and copies themselves."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from doublet.accept import MARKS
from doublet.catalog import Account
from doublet.models import model_sql
from doublet.normalize import DUDS
from doublet.reports import report_sql, timeline
from tests.factories import ACCOUNT, Pipeline

_TEXTS = Path(__file__).parent / "direct"

_USED = {
    "overview": ("since", "until", "with_marked", "marks"),
    "coverage": ("event_name", "since", "until", "with_marked", "marks", "by_day", "zone"),
    "marked": ("since", "until", "marks"),
    "timeline": ("event_name", "since", "until", "with_marked", "marks", "zone"),
    "quality": ("event_name", "since", "until", "marks", "zone", "duds", "paths"),
    "dedupe_keys": ("event_name", "since", "until", "marks"),
    "links": ("event_name", "since", "until", "marks"),
}
_OF_EVENTS = ("marks", "duds", "paths")


def paths(pipeline: Pipeline) -> list[str]:
    """The lake's files of events."""
    return [file.path for file in pipeline.lake.events.files()]


def differing(pipeline: Pipeline, **asked: Any) -> list[str]:
    """The reports that say something else than the events and copies do."""
    known = {
        "account_id": ACCOUNT,
        "pixel_id": None,
        "event_name": None,
        "since": None,
        "until": None,
        "with_marked": False,
        "marks": list(MARKS),
        "duds": sorted(DUDS),
        "by_day": True,
        "zone": "Asia/Kathmandu",
        "paths": paths(pipeline),
        **asked,
    }
    found = []
    for name, used in _USED.items():
        parameters = {key: known[key] for key in ("account_id", "pixel_id", *used)}
        if name in ("quality", "dedupe_keys", "links") and parameters["since"] is None:
            parameters["since"] = 0
        text = (_TEXTS / f"{name}.sql").read_text("utf-8")
        expected = pipeline.engine.query(text, parameters)
        of_quarters = {key: each for key, each in parameters.items() if key not in _OF_EVENTS}
        if name == "timeline":
            counted = _timeline(pipeline, of_quarters)
        else:
            counted = pipeline.engine.query(report_sql(name), of_quarters)
        if expected != counted:
            found.append(name)
    return found


def _timeline(pipeline: Pipeline, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as the text has them: seconds on the clocks of the zone."""
    account = Account(asked["account_id"], "Shop", asked["zone"], "USD")
    filters = {key: asked[key] for key in ("pixel_id", "event_name", "with_marked")}
    return [
        {
            "start_s": int(row.start.replace(tzinfo=UTC).timestamp()),
            "end_s": int(row.end.replace(tzinfo=UTC).timestamp()),
            "events": row.events,
            "both": row.both,
            "browser_only": row.browser_only,
            "server_only": row.server_only,
        }
        for row in timeline(pipeline.engine, account, **filters)
    ]


def stale_quarters(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Rows of `event_quarters` that the events do not give, and rows that it lacks."""
    rows = f"({model_sql('event_quarters')})".replace(
        "from counted_events", "from (select 1 as sign, * from events_deduplicated)"
    )
    return pipeline.engine.query(
        f"(from event_quarters except all from {rows}) union all "
        f"(from {rows} except all from event_quarters)"
    )
