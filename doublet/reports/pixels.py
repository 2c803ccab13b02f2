"""What the events of a pixel tell of it: when it last fired, and counts by hour and kind."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import NamedTuple

import msgspec

from doublet.accept import MARKS
from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import report_sql

AGGREGATIONS: dict[str, int] = {
    "browser_type": 100,
    "custom_data_field": 100,
    "device_os": 100,
    "device_type": 100,
    "event": 100,
    "event_detection_method": 0,
    "event_processing_results": 100,
    "event_source": 100,
    "event_total_counts": 10_000,
    "event_value_count": 100,
    "had_pii": 100,
    "host": 10_000,
    "match_keys": 100,
    "pixel_fire": 100,
    "url": 10_000,
    "url_by_rule": 0,
}
"""By what copies are counted, and how many values an hour has at most (Graph API, Ads Pixel Stats).
Nobody can know those with none: the pixel detects no events itself and has no rules for URLs."""


class PixelFacts(NamedTuple):
    """The events of one pixel: receipt of the last copy, the first and last event_time (Unix
    seconds), copies, and events after deduplication."""

    last_received_at: datetime
    event_time_min: int
    event_time_max: int
    copies: int
    events: int


class ValueCount(msgspec.Struct):
    """So many copies bear this value."""

    value: str
    count: int


class StatsHour(msgspec.Struct):
    """One hour of UTC that begins at `start_s` (Unix seconds); most frequent values first."""

    start_s: int
    data: list[ValueCount]


def pixel_facts(
    engine: Engine, account: Account, pixel_id: str | None = None
) -> dict[str, PixelFacts]:
    """By pixel id; a pixel that never received anything is not among them."""
    limits = {"account_id": account.account_id, "pixel_id": pixel_id}
    rows = engine.query(report_sql("pixel_facts"), limits)
    return {row.pop("pixel_id"): PixelFacts(**row) for row in rows}


def pixel_stats(
    engine: Engine,
    account: Account,
    pixel_id: str,
    aggregation: str,
    *,
    since_s: int,
    until_s: int,
    event: str | None = None,
    event_source: str | None = None,
    hours_max: int,
) -> list[StatsHour]:
    """Hours that hold something, oldest first, from `since_s` until before `until_s` (Unix seconds,
    by event_time). Counts are of copies, repeats included. `aggregation` is one of AGGREGATIONS;
    event_total_counts makes one row of the whole span, which begins at `since_s`. `event_source` is
    WEB_ONLY, SERVER_ONLY or None for both."""
    if not AGGREGATIONS[aggregation]:
        return []
    found = engine.query(
        report_sql("pixel_stats"),
        {
            "account_id": account.account_id,
            "pixel_id": pixel_id,
            "aggregation": aggregation,
            "event": event,
            "event_source": event_source,
            "since": since_s,
            "until": until_s,
            "hours_max": hours_max,
            "values_max": AGGREGATIONS[aggregation],
            "marks": list(MARKS),
        },
    )
    return [
        StatsHour(start_s, [ValueCount(row["value"], row["count"]) for row in rows])
        for start_s, rows in groupby(found, key=lambda row: int(row["start_s"]))
    ]
