"""Coverage: what each side alone would have missed, and what adding both up would have claimed.

The browser alone reports the events of which it sent a copy, the server alone likewise. Adding
their two numbers counts the events that both saw twice. Doublet counts each event once.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import bounds, report_sql


class CoverageValue(msgspec.Struct):
    """The value of one currency, like the counts of a CoverageRow. What an event is worth is what
    events_deduplicated says, whichever side saw it."""

    value: Decimal
    browser_alone: Decimal
    server_alone: Decimal
    added: Decimal
    browser_missed_share: float | None
    server_missed_share: float | None
    overcount_share: float | None


class CoverageRow(msgspec.Struct):
    """One event name, of one day when asked by day. events = both + browser_only + server_only;
    browser_alone = both + browser_only is what the browser alone would have reported, server_alone
    likewise; added = browser_alone + server_alone is what both would have claimed without
    deduplication. Shares (0–1) are of events: missed by the browser alone, missed by the server
    alone, counted too many. `value` holds the same per currency; a share of nothing is None."""

    event_name: str
    day: date | None
    events: int
    both: int
    browser_only: int
    server_only: int
    browser_alone: int
    server_alone: int
    added: int
    browser_missed_share: float | None
    server_missed_share: float | None
    overcount_share: float | None
    value: dict[str, CoverageValue]


class CoverageCurrencyRow(msgspec.Struct):
    """One event name and currency, of one day when asked by day, counted like a CoverageRow. Events
    without a value, or with one of no known currency, have a row of their own, in which the
    currency and all values are None."""

    event_name: str
    day: date | None
    currency: str | None
    events: int
    both: int
    browser_only: int
    server_only: int
    browser_alone: int
    server_alone: int
    added: int
    browser_missed_share: float | None
    server_missed_share: float | None
    overcount_share: float | None
    value: Decimal | None
    browser_alone_value: Decimal | None
    server_alone_value: Decimal | None
    added_value: Decimal | None
    browser_missed_value_share: float | None
    server_missed_value_share: float | None
    overcount_value_share: float | None


_SHARES_DIGITS = 6
_COUNTS = (
    "events",
    "both",
    "browser_only",
    "server_only",
    "browser_alone",
    "server_alone",
    "added",
)


def coverage_by_currency(
    engine: Engine,
    account: Account,
    *,
    by_day: bool = False,
    pixel_id: str | None = None,
    event_name: str | None = None,
    since: date | None = None,
    until: date | None = None,
    with_marked: bool = False,
) -> list[CoverageCurrencyRow]:
    """Per event name, day and currency, in this order, the row without a currency last. Empty when
    nothing arrived. Days are those of the account's time zone, by event_time."""
    start, end = bounds(account, since, until)
    found = engine.query(
        report_sql("coverage"),
        {
            "account_id": account.account_id,
            "pixel_id": pixel_id,
            "event_name": event_name,
            "since": start,
            "until": end,
            "with_marked": with_marked,
            "by_day": by_day,
            "zone": account.time_zone,
        },
    )
    rows = []
    for row in found:
        missed = _shares(row["events"], row["browser_alone"], row["server_alone"], row["added"])
        values = (row["browser_alone_value"], row["server_alone_value"], row["added_value"])
        of_value = (None, None, None) if row["value"] is None else _shares(row["value"], *values)
        rows.append(
            CoverageCurrencyRow(
                **row,
                browser_missed_share=missed[0],
                server_missed_share=missed[1],
                overcount_share=missed[2],
                browser_missed_value_share=of_value[0],
                server_missed_value_share=of_value[1],
                overcount_value_share=of_value[2],
            )
        )
    return rows


def coverage(
    engine: Engine,
    account: Account,
    *,
    by_day: bool = False,
    pixel_id: str | None = None,
    event_name: str | None = None,
    since: date | None = None,
    until: date | None = None,
    with_marked: bool = False,
) -> list[CoverageRow]:
    """Per event name, most frequent first; with `by_day` per event name and day, by name, oldest
    first. Days without events are left out. Empty when nothing arrived."""
    parts = coverage_by_currency(
        engine,
        account,
        by_day=by_day,
        pixel_id=pixel_id,
        event_name=event_name,
        since=since,
        until=until,
        with_marked=with_marked,
    )
    rows: dict[tuple[str, date | None], CoverageRow] = {}
    for part in parts:
        empty = CoverageRow(part.event_name, part.day, 0, 0, 0, 0, 0, 0, 0, None, None, None, {})
        row = rows.setdefault((part.event_name, part.day), empty)
        for name in _COUNTS:
            setattr(row, name, getattr(row, name) + getattr(part, name))
        if part.currency is not None:
            row.value[part.currency] = _value(part)
    for row in rows.values():
        row.browser_missed_share, row.server_missed_share, row.overcount_share = _shares(
            row.events, row.browser_alone, row.server_alone, row.added
        )
    if by_day:
        return list(rows.values())
    return sorted(rows.values(), key=lambda row: (-row.events, row.event_name))


def _value(part: CoverageCurrencyRow) -> CoverageValue:
    amounts = (part.value, part.browser_alone_value, part.server_alone_value, part.added_value)
    value, browser_alone, server_alone, added = (amount or Decimal(0) for amount in amounts)
    return CoverageValue(
        value,
        browser_alone,
        server_alone,
        added,
        part.browser_missed_value_share,
        part.server_missed_value_share,
        part.overcount_value_share,
    )


def _shares(
    whole: int | Decimal,
    browser_alone: int | Decimal,
    server_alone: int | Decimal,
    added: int | Decimal,
) -> tuple[float | None, float | None, float | None]:
    """Missed by the browser alone, missed by the server alone, counted too many; of the whole."""
    if whole <= 0:
        return None, None, None
    parts = (whole - browser_alone, whole - server_alone, added - whole)
    missed = [round(float(part / whole), _SHARES_DIGITS) for part in parts]
    return missed[0], missed[1], missed[2]
