"""`/{pixel}/stats`: how many copies of events came, by hour and kind."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from doublet.engine import Engine
from doublet.graph.fields import Shape, plain
from doublet.graph.question import Question, Row, page
from doublet.graph.refused import invalid
from doublet.reports.pixels import AGGREGATIONS, pixel_stats

STATS = Shape(
    "AdsPixelStatsResult",
    {
        **plain("start_time", "aggregation"),
        "data": Shape("AdsPixelStats", plain("value", "count", "event")),
    },
)
"""Fields: facebook_business, AdsPixelStatsResult and AdsPixelStats."""

_SOURCES = ("WEB_ONLY", "SERVER_ONLY")
_is_hour = re.compile(r"[0-9]{1,12}", re.ASCII).fullmatch
_HOURS = 24
_WINDOW = timedelta(days=7)


def stats(engine: Engine, question: Question, pixel_id: str) -> dict[str, Any]:
    """One page, of a day's worth of rows unless `limit` says otherwise. Raises Refused."""
    aggregation = question.parameters.get("aggregation") or "event"
    if aggregation not in AGGREGATIONS:
        names = ", ".join(AGGREGATIONS)
        raise invalid("aggregation", f"(#100) aggregation must be one of {{{names}}}")
    source = question.parameters.get("event_source") or None
    if source not in (None, *_SOURCES):
        raise invalid("event_source", f"(#100) event_source must be {' or '.join(_SOURCES)}")
    until = question.moment("end_time") or question.now
    since = question.moment("start_time") or until - _WINDOW
    if until < since:
        raise invalid("end_time", "(#100) end_time is before start_time; swap them")
    since_s, until_s = int(since.timestamp()), int(until.timestamp())
    after = question.after
    if after is not None:
        if not _is_hour(after):
            raise invalid("after", "(#100) after is no cursor of an earlier answer")
        # The one row of event_total_counts is never followed by another.
        since_s = until_s if aggregation == "event_total_counts" else int(after) + 3600
    limit = question.limit(_HOURS)
    hours = pixel_stats(
        engine,
        question.account,
        pixel_id,
        aggregation,
        since_s=since_s,
        until_s=until_s,
        event=question.parameters.get("event") or None,
        event_source=source,
        hours_max=limit + 1,
    )
    rows: list[Row] = [
        {
            "start_s": hour.start_s,
            "start_time": question.of_seconds(hour.start_s),
            "aggregation": aggregation,
            "data": [{"value": each.value, "count": each.count} for each in hour.data],
        }
        for hour in hours
    ]
    return page(question, rows, lambda row: str(row["start_s"]), STATS, limit)
