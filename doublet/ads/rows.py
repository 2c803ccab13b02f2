"""A file of a platform into the log: each row a day of an ad, or a touch.

Days are imported whenever their file is, since the last word counts; a file that was imported is
not imported again. Touches are known by their key, so that none gets in twice from whatever file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept import Arrival, ad_day_record, touch_record
from doublet.accept.ad_days import AD_LEVELS, COUNTS
from doublet.accept.ad_touches import TOUCH_USER_KEYS, kind_of
from doublet.ads.fields import DATE_STOP, FIELDS_OF, What, reported_place
from doublet.catalog import Account
from doublet.event import WireAdDay, WireFigure, WireTouch
from doublet.imports.book import NO_KEY, Seen
from doublet.imports.files import Cells, Fault, FileSource
from doublet.imports.mapping import Mapping
from doublet.imports.run import REPEATED_DAY, Step
from doublet.imports.values import Unclear, read_currency, read_sum, time_of
from doublet.refusal import Refusal

_EMPTY = frozenset(("", "-", "--", "—", "–", "n/a", "null", "none"))
_is_total = re.compile(
    r"(?:(?:grand |sub)?totals?(?: of \d+ \w+)?|summe|gesamt)(?:\s*:.*)?", re.IGNORECASE
).fullmatch
_has_offset = re.compile(r"\d{4}-\d{2}-\d{2}[T ].*").fullmatch
_EXACT_MAX = 2**53  # Larger floats have lost digits.
_NAMES = tuple(f"{level}_{part}" for level in AD_LEVELS for part in ("id", "name"))


class AdPlan(NamedTuple):
    """A file of days or touches, what its columns are, and whose it is. `again` is a number that
    makes another import of a file that was imported before."""

    source: FileSource
    mapping: Mapping
    account: Account
    what: What
    phone_country: str = ""
    again: int = 0

    @property
    def owner(self) -> str:
        """The account's number."""
        return self.account.account_id.removeprefix("act_")

    @property
    def noun(self) -> str:
        """What its rows become."""
        return self.what

    def key(self) -> str:
        """Names the same file with the same meaning, so that an import can go on."""
        zone = self.mapping.time_zone or self.account.time_zone
        said = msgspec.json.encode(
            (self.source.digest(), self.mapping, self.owner, self.what, zone, self.again),
            order="deterministic",
        )
        return blake2b(said, digest_size=16).hexdigest()

    def steps(self, arrive: Callable[[], Arrival], after: int) -> Iterator[Step]:
        """What becomes of each row. Rows of totals are none; a day that a file has twice, in
        rows that differ, is a fault."""
        reader = RowReader(self.mapping, self.what, ZoneInfo(self.account.time_zone))
        seen = Seen()
        try:
            with self.source.rows() as found:
                for rows, row in enumerate(found, 1):
                    step = self._step(reader, seen, rows, row, arrive, rows > after)
                    if step is not None and rows > after:
                        yield step
        finally:
            seen.close()

    def _step(
        self,
        reader: RowReader,
        seen: Seen,
        rows: int,
        row: Cells | Fault,
        arrive: Callable[[], Arrival],
        is_wanted: bool,
    ) -> Step | None:
        if isinstance(row, Fault):
            return Step(rows, row.line, fault=row)
        wire = reader.read(row)
        if wire is None:
            return None
        if isinstance(wire, WireAdDay):
            repeated = _repeated(seen, wire, row)
            if repeated is not None:
                return Step(rows, row.line, fault=repeated.fault)
        if isinstance(wire, Fault):
            return Step(rows, row.line, fault=wire)
        if not is_wanted:
            return None
        arrival = arrive()
        arrival.phone_country = self.phone_country
        made = (
            ad_day_record(wire, arrival)
            if isinstance(wire, WireAdDay)
            else touch_record(wire, arrival)
        )
        if isinstance(made, Refusal):
            reason = made.field or made.reason.label
            fault = Fault(row.line, reader.column_of(made.field), reason, made.message)
            return Step(rows, row.line, fault=fault)
        if isinstance(wire, WireAdDay):
            return Step(rows, row.line, made, NO_KEY)
        stamped = _decode_stamped(made)
        return Step(rows, row.line, made, stamped.touch_key, stamped.flags)


class _Stamped(msgspec.Struct):
    touch_key: int
    flags: list[str] | None = None


_decode_stamped = msgspec.json.Decoder(_Stamped).decode


def _digest(said: object) -> bytes:
    return blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=16).digest()


class _Repeated(NamedTuple):
    """A day that an earlier row has; a fault where that one says anything else."""

    fault: Fault | None


def _repeated(seen: Seen, wire: WireAdDay, row: Cells) -> _Repeated | None:
    ids = (wire.campaign_id, wire.adset_id, wire.ad_id)
    key = _digest((wire.platform, wire.level, wire.date, ids))
    # A column that is not mapped may be the breakdown that tells two equal rows apart.
    aside = sorted((column, repr(value)) for column, value in row.values.items())
    times, is_same, first = seen.count(key, _digest((wire, aside)), row.line)
    if times == 1:
        return None
    if is_same:
        return _Repeated(None)
    message = (
        f"Line {first} has the same ad and day with other values; export without breakdowns such "
        "as age, placement or device."
    )
    return _Repeated(Fault(row.line, "", REPEATED_DAY, message))


class _Wrong(Exception):  # noqa: N818 - it ends the reading of one row, nothing has failed
    def __init__(self, column: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.column, self.reason = column, reason


class RowReader:
    """Reads rows by a mapping; `zone` is the account's, of times without an offset."""

    def __init__(self, mapping: Mapping, what: What, zone: tzinfo) -> None:
        self._mapping = mapping
        self._what = what
        self._zone = ZoneInfo(mapping.time_zone) if mapping.time_zone else zone
        self._column_of = {field: column for column, field in mapping.columns.items()}

    def column_of(self, field: str) -> str:
        """The column that a field comes from; empty when it comes from none."""
        return self._column_of.get(field, "")

    def read(self, row: Cells) -> WireAdDay | WireTouch | Fault | None:
        """The message of a row, what is wrong with it, or None for a row of totals."""
        cells = {
            field: value
            for column, field in self._mapping.columns.items()
            if not _is_empty(value := row.values.get(column))
        }
        if self._what == "days" and _sums_up(cells, self._column_of.keys()):
            return None
        try:
            if self._what == "days":
                return self._day({**self._mapping.constants, **cells})
            return self._touch({**self._mapping.constants, **cells})
        except _Wrong as wrong:
            return Fault(row.line, wrong.column, wrong.reason, str(wrong))

    def _day(self, cells: dict[str, Any]) -> WireAdDay:
        found: dict[str, Any] = {}
        reported: dict[str, dict[str, WireFigure]] = {}
        for field, value in cells.items():
            place = reported_place(field)
            if place is not None:
                action, window, figure = place
                windows = reported.setdefault(action, {}).setdefault(window, WireFigure())
                setattr(windows, figure, self._sum(field, value, cells))
            else:
                found[field] = self._understood(field, value, cells)
        stop = found.pop(DATE_STOP, None)
        if stop is not None and stop != found.get("date"):
            raise _Wrong(
                self.column_of(DATE_STOP),
                "several_days",
                "The row is of several days; export with a breakdown by day (Meta: Breakdown, "
                "Time, Day).",
            )
        return WireAdDay(**found, reported=reported or None)

    def _touch(self, cells: dict[str, Any]) -> WireTouch:
        found = {field: self._understood(field, value, cells) for field, value in cells.items()}
        people = {key: found.pop(key) for key in TOUCH_USER_KEYS if key in found}
        return WireTouch(**found, user_data=people or None)

    def _understood(self, field: str, value: Any, cells: dict[str, Any]) -> Any:
        known = FIELDS_OF[self._what][field]
        try:
            if field in ("date", DATE_STOP):
                return _day_of(value, self._mapping)
            if known.kind == "time":
                return time_of(value, self._zone, self._mapping.dates)
            if known.kind == "currency":
                return read_currency(str(value))
        except Unclear as error:
            raise _Wrong(self.column_of(field), error.reason, str(error)) from error
        if field in COUNTS:
            return _count(value)
        if known.kind == "money":
            return self._sum(field, value, cells)
        if field == "level":
            return _LEVEL_WORDS.get(_text(value).casefold().replace(" ", ""), _text(value))
        if field == "kind":
            return kind_of(_text(value)) or _text(value)
        return _text(value)

    def _sum(self, field: str, value: Any, cells: dict[str, Any]) -> str:
        """A plain number; a currency beside it must be the row's."""
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return f"{Decimal(repr(value) if isinstance(value, float) else value):f}"
        try:
            amount, currencies = read_sum(str(value), self._mapping.decimals)
            said = read_currency(str(cells["currency"])) if "currency" in cells else None
        except Unclear as error:
            raise _Wrong(self.column_of(field), error.reason, str(error)) from error
        if currencies and said not in currencies:
            raise _Wrong(
                self.column_of(field),
                "currency",
                "Beside the number stands another currency than the row's; set it with "
                "--set currency=EUR.",
            )
        return f"{amount:f}"


_is_grouped = re.compile(r"\d{1,3}(?:[.,'’\u00a0\u202f ]\d{3})+").fullmatch


def _count(value: Any) -> str:
    """A whole number, whatever stands between its thousands; anything else stays as it is.

    >>> _count("1,234"), _count("1.234.567"), _count(12.0), _count("12.5")
    ('1234', '1234567', '12', '12.5')
    """
    text = _text(value)
    return re.sub(r"\D", "", text) if _is_grouped(text) else text


_LEVEL_WORDS = {
    **dict.fromkeys(("adset", "adgroup", "anzeigengruppe"), "adset"),
    **{"kampagne": "campaign", "anzeige": "ad", "werbeanzeige": "ad"},
}


def _sums_up(cells: dict[str, Any], mapped: Any) -> bool:
    """Whether a row adds others up: it says so in the place of a name, beside no id, or names
    nothing at all though the file has columns for it."""
    named = [name for name in _NAMES if name in cells]
    if named and _is_total(_text(cells[named[0]])):
        return not any(name.endswith("_id") for name in named[1:])
    return not named and any(name in mapped for name in _NAMES)


def _is_empty(value: Any) -> bool:
    if value is None or value != value:
        return True
    return isinstance(value, str) and value.strip().casefold() in _EMPTY


def _text(value: Any) -> str:
    """As people write it; a number that has lost digits shows it.

    >>> _text(12.0), _text(120210000000000123.0), _text(" c1 ")
    ('12', '1.202100E+17', 'c1')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < _EXACT_MAX else f"{value:E}"
    return str(value).strip()


def _day_of(value: Any, mapping: Mapping) -> str:
    """A day as 2026-11-01. A time of day is left out: the day is the platform's."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = str(value).strip()
    if _has_offset(text):
        text = text[:10]
    seconds = time_of(text, UTC, mapping.dates)
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
