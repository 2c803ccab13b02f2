"""Single events: found by what they are and who saw them, the newest first."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept import stored_event_id
from doublet.catalog import Account
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.reports import bounds, report_sql

LIMIT = 50
LIMIT_MAX = 1000

SEEN_BY = ("both", "browser_only", "server_only")
SHOWN = ("counted", "left_out", "all")

_is_cursor = re.compile(r"(-?[0-9]{1,11})-([0-9]{1,5})-([0-9]{1,18})").fullmatch
_is_place = re.compile(r"([0-9]{1,5})-([0-9]{1,18})").fullmatch


class EventsAsked(NamedTuple):
    """Which events. None is all; `text` is an event id, an order id or a part of an address.
    `shown` are those that reports count, those that they leave out (made by checks of our own, or
    marked by the rules of the pixel and confirmed by no server), or all. `before` is the `next` of
    another answer."""

    pixel_id: str | None = None
    since: date | None = None
    until: date | None = None
    event_name: str | None = None
    action_source: str | None = None
    seen_by: str | None = None
    shown: str = "counted"
    is_odd: bool = False
    text: str | None = None
    before: str | None = None
    limit: int = LIMIT


class EventRow(msgspec.Struct):
    """One event; its moments are on the clocks of the account's zone. `browser` and `server` count
    copies; `received_at` is the receipt of the first, `delay_s` how long after the first browser
    copy the first server copy came (None: one side is missing). Of user data only the keys are
    told. `copy` is the place of the kept copy in the log, by which `/event` finds the event."""

    copy: str
    event_name: str
    event_time: datetime
    received_at: datetime
    pixel_id: str
    event_id: str | None
    seen_by: Literal["both", "browser_only", "server_only"]
    browser: int
    server: int
    delay_s: float | None
    kept_rule: str
    action_source: str | None
    event_source_url: str | None
    value: Decimal | None
    currency: str | None
    order_id: str | None
    user_data_keys: list[str]
    flags: list[str]
    conflicts: list[str]
    is_test: bool
    is_marked: bool


class EventsFound(msgspec.Struct):
    """Events, the newest first; `next` asks for those behind them, None where there are none."""

    rows: list[EventRow]
    next: str | None


def read_place(text: str) -> tuple[int, int]:
    """Log slot and offset of a copy. Raises SenderError for what `EventRow.copy` cannot be.

    >>> read_place("0-42")
    (0, 42)
    """
    found = _is_place(text)
    if found is None:
        raise SenderError("This is not the place of a copy.", "It is written like 0-42.")
    return int(found[1]), int(found[2])


def find_events(engine: Engine, account: Account, asked: EventsAsked) -> EventsFound:
    """The events that fit. Raises SenderError for a `before` that no answer has given."""
    start, end = bounds(account, asked.since, asked.until)
    before: tuple[int, ...] | None = None
    if asked.before is not None:
        found = _is_cursor(asked.before)
        if found is None:
            raise SenderError("before is not the `next` of an answer.", "Leave it out.")
        before = tuple(int(part) for part in found.groups())
    counted = {
        "account_id": account.account_id,
        "pixel_id": asked.pixel_id,
        "event_name": asked.event_name,
        "until": end,
        "seen_by": asked.seen_by,
        "shown": asked.shown,
        "before_s": before and before[0],
        "limit": asked.limit + 1,
    }
    if not asked.is_odd and asked.text is None and asked.action_source is None:
        # The newest are few: what sums tell to be older need not be sorted.
        (newest,) = engine.query(report_sql("events_since"), counted)
        known = [each for each in (start, newest["since"]) if each is not None]
        start = max(known, default=None)
    rows = engine.query(
        report_sql("events"),
        {
            **counted,
            "action_source": asked.action_source,
            "since": start,
            "is_odd": asked.is_odd,
            "text": asked.text,
            "id": None if asked.text is None else stored_event_id(asked.text),
            "before_slot": before and before[1],
            "before_offset": before and before[2],
        },
    )
    shown = rows[: asked.limit]
    last = shown[-1] if len(rows) > asked.limit else None
    following = None if last is None else "{event_time}-{log_slot}-{log_offset}".format(**last)
    zone = ZoneInfo(account.time_zone)
    return EventsFound([_row(row, zone) for row in shown], following)


def _row(row: dict[str, Any], zone: ZoneInfo) -> EventRow:
    user_data = json.loads(str(row.pop("user_data") or "{}"))
    slot, offset = row.pop("log_slot"), row.pop("log_offset")
    flags, conflicts = (json.loads(str(row.pop(name) or "[]")) for name in ("flags", "conflicts"))
    both = row["browser"] and row["server"]
    fields = {
        **row,
        "event_time": datetime.fromtimestamp(row["event_time"], zone),
        "received_at": row["received_at"].astimezone(zone),
        "copy": f"{slot}-{offset}",
        "seen_by": "both" if both else "browser_only" if row["browser"] else "server_only",
        "user_data_keys": sorted(key for key, value in user_data.items() if value is not None),
        "flags": flags or [],
        "conflicts": conflicts or [],
    }
    return EventRow(**fields)
