"""Today against the same day of the week before, by this time of the day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from doublet.catalog import Account
from doublet.engine import Engine
from doublet.reports import QUARTER_S, report_sql

_WEEK = timedelta(days=7)


class TodayRow(msgspec.Struct):
    """One event name: events after deduplication and their value in `currency`, the account's own,
    since midnight on its clocks; on the same day a week before until the same time; and on that
    whole day."""

    event_name: str
    currency: str
    today: int
    week_before: int
    week_before_whole: int
    today_value: Decimal
    week_before_value: Decimal
    week_before_whole_value: Decimal


class Change(msgspec.Struct):
    """A figure now and a week before by this time; `share` is how much more it is, -1 for nothing
    left, None where there was nothing."""

    now: Decimal
    before: Decimal
    before_whole: Decimal

    @property
    def share(self) -> Decimal | None:
        """(now - before) / before.

        >>> Change(Decimal(150), Decimal(100), Decimal(300)).share
        Decimal('0.5')
        """
        return (self.now - self.before) / self.before if self.before else None


def today(
    engine: Engine,
    account: Account,
    now: datetime,
    *,
    pixel_id: str | None = None,
    with_marked: bool = False,
) -> list[TodayRow]:
    """Per event name, today's most frequent first. Empty when neither day had any."""
    zone = ZoneInfo(account.time_zone)
    local = now.astimezone(zone)
    midnight = datetime.combine(local.date(), time(), zone)
    # On the clocks of the zone, whatever they were set to in between.
    then = datetime.combine(local.date() - _WEEK, local.time(), zone)
    start = datetime.combine(local.date() - _WEEK, time(), zone)
    end = datetime.combine(local.date() - _WEEK + timedelta(days=1), time(), zone)
    # Sums are of whole quarters of an hour; of the one that `then` is in, events are counted.
    quarter = int(then.timestamp()) // QUARTER_S * QUARTER_S
    spans = (
        # Nothing is accepted that is more than a day ahead.
        (0, "overview", midnight.timestamp(), (now + timedelta(days=2)).timestamp()),
        (1, "overview", start.timestamp(), quarter),
        (1, "overview_events", quarter, then.timestamp()),
        (2, "overview", start.timestamp(), end.timestamp()),
    )
    rows: dict[str, TodayRow] = {}
    for place, text, first, last in spans:
        found = engine.query(
            report_sql(text),
            {
                "account_id": account.account_id,
                "pixel_id": pixel_id,
                "since": int(first),
                "until": int(last),
                "with_marked": with_marked,
            },
        )
        for part in found:
            name = part["event_name"]
            row = rows.setdefault(name, _empty(name, account.currency))
            _add(row, place, part["events"], _worth(part, account.currency))
    return sorted(rows.values(), key=lambda row: (-row.today, row.event_name))


def _empty(name: str, currency: str) -> TodayRow:
    nothing = Decimal(0)
    return TodayRow(name, currency, 0, 0, 0, nothing, nothing, nothing)


def _worth(part: dict[str, object], currency: str) -> Decimal:
    value = part["value"]
    return value if part["currency"] == currency and isinstance(value, Decimal) else Decimal(0)


_COUNTS = ("today", "week_before", "week_before_whole")


def _add(row: TodayRow, place: int, events: int, value: Decimal) -> None:
    name = _COUNTS[place]
    setattr(row, name, getattr(row, name) + events)
    setattr(row, f"{name}_value", getattr(row, f"{name}_value") + value)


def sum_of(rows: Iterable[TodayRow], *, only: str | None = None, value: bool = False) -> Change:
    """The events (or their value) of all names or of one."""
    chosen = [row for row in rows if only in (None, row.event_name)]
    names = [f"{name}_value" if value else name for name in _COUNTS]
    return Change(*(Decimal(sum(getattr(row, name) for row in chosen)) for name in names))
