"""Reports: one SQL file each, read from the derived tables. Every report names its account."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
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


class TimelineRow(msgspec.Struct):
    """One span of time, from `start` until before `end` in the account's zone: how many events
    there were after deduplication. both + browser_only + server_only = events."""

    start: datetime
    end: datetime
    events: int
    both: int
    browser_only: int
    server_only: int


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

    start = None if since is None else midnight(since)
    # The calendar ends with date.max: nothing lies after it.
    if until is None or until == date.max:
        return start, None
    return start, midnight(until + timedelta(days=1))


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


def timeline(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    event_name: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[TimelineRow]:
    """Events over time, oldest first, at most about 200 rows; spans without events are left out.

    All rows are equally long, from five seconds to weeks, by how far apart the events are.
    """
    start, end = bounds(account, since, until)
    found = engine.query(
        report_sql("timeline"),
        {
            "account_id": account.account_id,
            "pixel_id": pixel_id,
            "event_name": event_name,
            "since": start,
            "until": end,
            "zone": account.time_zone,
        },
    )
    zone = ZoneInfo(account.time_zone)

    def moment(local_s: int) -> datetime:
        return datetime.fromtimestamp(local_s, UTC).replace(tzinfo=zone)

    return [
        TimelineRow(moment(row.pop("start_s")), moment(row.pop("end_s")), **row) for row in found
    ]


def as_json(rows: Sequence[OverviewRow] | Sequence[TimelineRow]) -> bytes:
    """The rows as JSON, money as numbers, moments with their offset from UTC."""
    return msgspec.json.Encoder(decimal_format="number").encode(rows)


def as_csv(rows: Sequence[OverviewRow] | Sequence[TimelineRow], kind: type[msgspec.Struct]) -> str:
    """The rows as CSV with a line of names; `value` becomes one column per currency.

    `kind` is the type of the rows, so that a report without rows still has its line of names.
    """
    currencies = sorted({c for row in rows if isinstance(row, OverviewRow) for c in row.value})
    names = [name for name in kind.__struct_fields__ if name != "value"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, *(f"value_{currency}" for currency in currencies)])
    for row in rows:
        cells = [_cell(getattr(row, name)) for name in names]
        if isinstance(row, OverviewRow):
            cells += [row.value.get(currency, "") for currency in currencies]
        writer.writerow(cells)
    return text.getvalue()


# Whoever can report an event chooses its name, and spreadsheets run a cell that begins with one
# of these as a formula (OWASP, CSV Injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
