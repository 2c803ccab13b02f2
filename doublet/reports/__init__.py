"""Reports: one SQL file each, read from the derived tables. Every report names its account."""

from __future__ import annotations

import csv
import io
import re
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


class CurrencyRow(msgspec.Struct):
    """One event name and currency, counted like an OverviewRow. Events without a value, or with
    one of no known currency, have a row of their own, in which both are None."""

    event_name: str
    currency: str | None
    browser: int
    server: int
    events: int
    both: int
    browser_only: int
    server_only: int
    value: Decimal | None


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


def without(text: str, part: str) -> str:
    """A report's text without the parts between its lines `-- begin PART` and `-- end PART`; some
    readings do not need them, and planning takes longer than counting."""
    return re.sub(rf"^ *-- begin {part}\n.*?^ *-- end {part}\n", "", text, flags=re.M | re.S)


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


def overview_by_currency(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    with_marked: bool = False,
) -> list[CurrencyRow]:
    """Per event name and currency, by name, the row without a currency last. Empty when nothing
    arrived. `with_marked` counts also what the rules of its pixel mark and no server confirms."""
    start, end = bounds(account, since, until)
    found = engine.query(
        report_sql("overview"),
        {
            "account_id": account.account_id,
            "pixel_id": pixel_id,
            "since": start,
            "until": end,
            "with_marked": with_marked,
        },
    )
    return [CurrencyRow(**row) for row in found]


def overview(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    with_marked: bool = False,
) -> list[OverviewRow]:
    """Per event name, most frequent first. Empty when nothing arrived."""
    parts = overview_by_currency(
        engine, account, pixel_id=pixel_id, since=since, until=until, with_marked=with_marked
    )
    rows: dict[str, OverviewRow] = {}
    for part in parts:
        name = part.event_name
        row = rows.setdefault(name, OverviewRow(name, 0, 0, 0, 0, 0, 0, {}))
        add_counts(row, part)
        if part.currency is not None and part.value is not None:
            row.value[part.currency] = part.value
    return sorted(rows.values(), key=lambda row: (-row.events, row.event_name))


def marked_events(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> int:
    """How many events the reports leave out unless they are asked `with_marked`."""
    start, end = bounds(account, since, until)
    limits = {"account_id": account.account_id, "pixel_id": pixel_id, "since": start, "until": end}
    (row,) = engine.query(report_sql("marked"), limits)
    return int(row["events"])


def add_counts(row: OverviewRow, other: OverviewRow | CurrencyRow) -> None:
    """Count the other row's copies and events in this one too."""
    row.browser += other.browser
    row.server += other.server
    row.events += other.events
    row.both += other.both
    row.browser_only += other.browser_only
    row.server_only += other.server_only


def timeline(
    engine: Engine,
    account: Account,
    *,
    pixel_id: str | None = None,
    event_name: str | None = None,
    since: date | None = None,
    until: date | None = None,
    with_marked: bool = False,
) -> list[TimelineRow]:
    """Events over time, oldest first, at most about 200 rows; spans without events are left out.

    All rows are equally long, from five seconds to weeks, by how far apart the events are.
    """
    start, end = bounds(account, since, until)
    part = {
        "account_id": account.account_id,
        "pixel_id": pixel_id,
        "event_name": event_name,
        "with_marked": with_marked,
    }
    limits = {"since": start, "until": end}
    (quarters,) = engine.query(report_sql("timeline_span"), {**part, **limits})
    if quarters["first_s"] is None:
        return []
    apart_s = quarters["last_s"] - quarters["first_s"]
    # The first and the last event lie anywhere in their quarters.
    width_s = _width_s(apart_s + QUARTER_S - 1)
    ends = quarters
    if width_s != _width_s(apart_s - QUARTER_S + 1) or width_s < QUARTER_S:
        (ends,) = engine.query(report_sql("timeline_ends"), {**part, **quarters})
        if ends["first_s"] is None:
            return []  # It was erased between the two questions.
        width_s = _width_s(ends["last_s"] - ends["first_s"])
    asked = {**part, "zone": account.time_zone, "width_s": width_s}
    if width_s < QUARTER_S:
        found = engine.query(report_sql("timeline_events"), {**asked, **ends})
    else:
        found = engine.query(report_sql("timeline"), {**asked, **limits})
    zone = ZoneInfo(account.time_zone)

    def moment(local_s: int) -> datetime:
        return datetime.fromtimestamp(local_s, UTC).replace(tzinfo=zone)

    return [
        TimelineRow(moment(row.pop("start_s")), moment(row.pop("end_s")), **row) for row in found
    ]


QUARTER_S = 900
"""Sums are kept by so many seconds; zones are whole quarters of an hour apart."""
_DAY_S = 86_400
_WIDTHS = (
    (15 * 60, 5),
    (3 * 3600, 60),
    (2 * _DAY_S, QUARTER_S),
    (8 * _DAY_S, 3600),
    (190 * _DAY_S, _DAY_S),
)


def _width_s(span_s: int) -> int:
    """How long a row of the timeline is, so that there are never more than about 200.

    >>> _width_s(3600), _width_s(28 * 86_400), _width_s(4 * 365 * 86_400)
    (60, 86400, 1209600)
    """
    for longest_s, width_s in _WIDTHS:
        if span_s <= longest_s:
            return width_s
    return 7 * _DAY_S * (1 + span_s // (190 * 7 * _DAY_S))


def as_json(rows: Sequence[msgspec.Struct]) -> bytes:
    """The rows as JSON, money as numbers, moments with their offset from UTC."""
    return msgspec.json.Encoder(decimal_format="number").encode(rows)


def as_csv(rows: Sequence[msgspec.Struct], kind: type[msgspec.Struct]) -> str:
    """The rows as CSV with a line of names; what is None stays empty, and the parts of a list stand
    with " > " between.

    `kind` is the type of the rows, so that a report without rows still has its line of names.
    """
    names = kind.__struct_fields__
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def as_percent(part: int | Decimal, whole: int | Decimal) -> str:
    """A share of a whole as people read it: never 0 % or 100 % where that is not the truth."""
    if whole == 0:
        return "0 %"
    percent = float(100 * part / whole)
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:,.1f} %".replace(".0 %", " %")


# Whoever can report an event chooses its name, and spreadsheets run a cell that begins with one
# of these as a formula (OWASP, CSV Injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        value = " > ".join(map(str, value))
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
