"""Reports: one SQL file each, read from the derived tables. Every report names its account."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine


class OverviewRow(msgspec.Struct):
    """One event name: copies by source (repeats included), events after deduplication, and the
    value of each currency counted once. both + browser_only + server_only = events."""

    event_name: str
    browser: int
    server: int
    events: int
    both: int
    browser_only: int
    server_only: int
    value: dict[str, Decimal]


@cache
def report_sql(name: str) -> str:
    """The text of a report."""
    return files("doublet.reports").joinpath(f"{name}.sql").read_text("utf-8")


def bounds(
    account: Account, since: date | None, until: date | None
) -> tuple[int | None, int | None]:
    """Days of the account's time zone, the last one inclusive, as half-open Unix seconds."""
    zone = ZoneInfo(account.time_zone)

    def midnight(day: date) -> int:
        return int(datetime.combine(day, time(), zone).timestamp())

    return since and midnight(since), until and midnight(until + timedelta(days=1))


def overview(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[OverviewRow]:
    """Per event name, most frequent first. Empty when nothing arrived."""
    start, end = bounds(account, since, until)
    found = engine.query(
        report_sql("overview"),
        {"account_id": account.account_id, "pixel_id": pixel_id, "since": start, "until": end},
    )
    rows: dict[str, OverviewRow] = {}
    for part in found:
        name = part["event_name"]
        row = rows.setdefault(name, OverviewRow(name, 0, 0, 0, 0, 0, 0, {}))
        _add(row, part)
    return sorted(rows.values(), key=lambda row: (-row.events, row.event_name))


def _add(row: OverviewRow, part: dict[str, Any]) -> None:
    for field in ("browser", "server", "events", "both", "browser_only", "server_only"):
        setattr(row, field, getattr(row, field) + part[field])
    if part["currency"] is not None:
        row.value[part["currency"]] = part["value"]


def as_json(rows: list[OverviewRow]) -> bytes:
    """The rows as JSON, money as numbers."""
    return msgspec.json.Encoder(decimal_format="number").encode(rows)
