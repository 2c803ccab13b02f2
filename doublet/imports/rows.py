"""Rows become events of the Conversions API by a mapping; lines of one order become one event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from doublet.accept.kinds import LEAD_ID_DIGITS
from doublet.accept.steps import ACTION_SOURCES
from doublet.errors import SenderError
from doublet.event import STANDARD_EVENTS, WireEvent
from doublet.imports.fields import CUSTOM, FIELD, LINE, ORDER_NAME, USER_FIELDS
from doublet.imports.files import Cells, Fault
from doublet.imports.mapping import Mapping as ColumnMapping
from doublet.imports.values import Unclear, read_currency, read_sum, time_of
from doublet.normalize import HASHED_KEYS

_UTC = ZoneInfo("UTC")
_WIRE = ("event_name", "event_id", "action_source", "event_source_url", "referrer_url")
_STANDARD = {name.casefold(): name for name in STANDARD_EVENTS}
_LINES_MAX = 500
_separators = re.compile(r"[;,|]").split
_is_utc = re.compile(r"(?:^|[^a-z])(?:gmt|utc)(?:$|[^a-z])").search


class Made(NamedTuple):
    """An event of one row or of several lines of an order: `rows` counts them, `line` is the
    first."""

    rows: int
    line: int
    event: WireEvent | Fault


class _Column(NamedTuple):
    name: str
    field: str
    zone: ZoneInfo


class RowMapper:
    """Reads rows by a mapping; `zone` is the account's."""

    def __init__(self, mapping: ColumnMapping, zone: ZoneInfo) -> None:
        """Raises SenderError when what is set for all rows cannot be understood."""
        own = ZoneInfo(mapping.time_zone) if mapping.time_zone else zone
        self._mapping = mapping
        self._columns = [
            # WooCommerce's date_created_gmt has no offset in its cells.
            _Column(name, field, _UTC if _is_utc(name.casefold().replace("_", " ")) else own)
            for name, field in mapping.columns.items()
        ]
        self._constants = [_Column("", field, own) for field in mapping.constants]
        for column in self._constants:
            self._check_constant(column)
        self._column_of = {field: name for name, field in mapping.columns.items()}
        self._folds = "value" in self._column_of and bool(
            self._column_of.keys() & {"order_id", ORDER_NAME}
        )

    def _check_constant(self, column: _Column) -> None:
        text = self._mapping.constants[column.field]
        try:
            self._understood(column, text)
        except Unclear as error:
            raise SenderError(
                f"{column.field}={text}: {error}", "Set it to something else."
            ) from error

    def column_of(self, place: str) -> str:
        """The column that a field of an event, such as `custom_data.value`, comes from; empty when
        it comes from none."""
        name = place.removeprefix("user_data.").removeprefix(CUSTOM)
        return self._column_of.get(place) or self._column_of.get(name, "")

    def events(self, rows: Iterable[Cells | Fault]) -> Iterator[Made]:
        """An event or a fault for each row. Rows that name the order of the row before and no value
        are further lines of that order."""
        head: Cells | None = None
        lines: list[Cells] = []
        for row in rows:
            if head is not None and self._folds and self._continues(head, row):
                assert isinstance(row, Cells)
                lines.append(row)
                continue
            if head is not None:
                yield self._made(head, lines)
            head, lines = None, []
            if isinstance(row, Fault):
                yield Made(1, row.line, row)
            else:
                head = row
        if head is not None:
            yield self._made(head, lines)

    def _continues(self, head: Cells, row: Cells | Fault) -> bool:
        if isinstance(row, Fault) or not _is_empty(row.values.get(self._column_of["value"])):
            return False
        for field in (ORDER_NAME, "order_id"):
            column = self._column_of.get(field)
            name = row.values.get(column) if column else None
            if column and not _is_empty(name):
                return bool(name == head.values.get(column))
        return False

    def _made(self, head: Cells, lines: list[Cells]) -> Made:
        try:
            event: WireEvent | Fault = self._event([head, *lines])
        except _Wrong as wrong:
            event = Fault(head.line, wrong.column, wrong.reason, str(wrong))
        return Made(1 + len(lines), head.line, event)

    def _event(self, rows: list[Cells]) -> WireEvent:
        found = _Fields()
        head = rows[0].values
        for column in self._constants:
            self._read(found, column, self._mapping.constants[column.field])
        for column in self._columns:
            value = head.get(column.name)
            if not _is_empty(value) and not column.field.startswith(LINE):
                self._read(found, column, value)
        self._read_lines(found, rows)
        self._settle_currency(found)
        return found.event()

    def _read(self, found: _Fields, column: _Column, value: Any) -> None:
        try:
            found.put(column.field, self._understood(column, value))
        except Unclear as error:
            raise _Wrong(column.name, error.reason, str(error)) from error

    def _understood(self, column: _Column, value: Any) -> Any:
        kind = FIELD[column.field].kind if column.field in FIELD else "custom"
        if kind == "time":
            return time_of(value, column.zone, self._mapping.dates)
        if kind == "money":
            return _sum(value, self._mapping)
        if kind == "currency":
            return read_currency(str(value))
        if kind == "number":
            return _number(value)
        if kind == "list":
            return _listed(value)
        if kind == "json":
            return _contents(value)
        if kind == "custom":
            return value if isinstance(value, str | int | float | bool | list) else str(value)
        if column.field == "action_source":
            return _action_source(str(value))
        if kind == "user" and isinstance(value, list):
            return [_text(each) for each in value]
        return _text(value)

    def _read_lines(self, found: _Fields, rows: list[Cells]) -> None:
        columns = [column for column in self._columns if column.field.startswith(LINE)]
        if not columns:
            return
        contents = []
        for row in rows[:_LINES_MAX]:
            entry: dict[str, Any] = {}
            for column in columns:
                value = row.values.get(column.name)
                if _is_empty(value):
                    continue
                try:
                    read = self._understood(column, value)
                except Unclear as error:
                    raise _Wrong(column.name, error.reason, str(error)) from error
                key = column.field.removeprefix(LINE)
                entry[key] = _wire_number(read[0]) if isinstance(read, tuple) else read
            if "id" in entry:
                contents.append(entry)
        if contents:
            found.custom.setdefault("contents", contents)

    def _settle_currency(self, found: _Fields) -> None:
        """What is written beside the value counts where nothing else names the currency, and must
        not contradict what does."""
        said, beside = found.custom.get("currency"), found.beside
        if not beside or said in beside:
            return
        column = self._column_of.get("value", "")
        if said is not None:
            raise _Wrong(
                column,
                "currency_conflict",
                "The currency beside the number is not the one of the row; mend one of them.",
            )
        if len(beside) > 1:
            raise _Wrong(
                column,
                "ambiguous_currency",
                "The sign beside the number stands for several currencies; say --set currency=USD.",
            )
        found.custom["currency"] = min(beside)


class _Wrong(Exception):  # noqa: N818 - it ends the reading of one row, nothing has failed
    def __init__(self, column: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.reason = reason


class _Fields:
    """The fields of one event as they are found."""

    def __init__(self) -> None:
        self.wire: dict[str, Any] = {}
        self.user: dict[str, Any] = {}
        self.custom: dict[str, Any] = {}
        self.beside: frozenset[str] = frozenset()

    def put(self, field: str, value: Any) -> None:
        """Where a field's value belongs."""
        if field in USER_FIELDS:
            self._put_user(field, value)
        elif field == "event_time":
            self.wire[field] = value
        elif field == "event_name":
            self.wire[field] = _STANDARD.get(value.casefold(), value)
        elif field in _WIRE:
            self.wire[field] = value
        elif field == "lead_id":
            # Meta's own are numbers of this length; others are the CRM's or the site's.
            if value.isdecimal() and len(value) in LEAD_ID_DIGITS:
                self.user[field] = value
            self.custom[field] = value
        elif field == "value":
            self.custom[field] = _wire_number(value[0])
            self.beside = value[1]
        elif field != ORDER_NAME:
            value = _wire_number(value[0]) if isinstance(value, tuple) else value
            self.custom[field.removeprefix(CUSTOM)] = value

    def _put_user(self, field: str, value: Any) -> None:
        """Several columns may hold what is hashed: two addresses of one person."""
        known = self.user.get(field)
        if known is None or field not in HASHED_KEYS:
            self.user[field] = value
            return
        both = [*_as_list(known), *_as_list(value)]
        self.user[field] = list(dict.fromkeys(both))

    def event(self) -> WireEvent:
        """All of them."""
        return WireEvent(**self.wire, user_data=self.user, custom_data=self.custom or None)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value != value


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _action_source(text: str) -> str:
    word = text.strip().casefold().replace(" ", "_")
    if word not in ACTION_SOURCES:
        raise Unclear("action_source", f"It is none of {', '.join(sorted(ACTION_SOURCES))}.")
    return word


def _sum(value: Any, mapping: ColumnMapping) -> tuple[Decimal, frozenset[str]]:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return Decimal(value), frozenset()
    if isinstance(value, float):
        return Decimal(repr(value)), frozenset()
    return tuple(read_sum(str(value), mapping.decimals))  # type: ignore[return-value]


def _wire_number(amount: Decimal) -> int | float | str:
    """A number as clients send it; a text where a double would say something else."""
    if not amount.is_finite():
        return str(amount)
    if amount == amount.to_integral_value():
        return int(amount) if abs(amount) < 1 << 53 else f"{amount:f}"
    return float(amount) if Decimal(repr(float(amount))) == amount else f"{amount:f}"


def _number(value: Any) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        exact = Decimal(str(value).strip())
        return int(exact) if exact == exact.to_integral_value() else float(exact)
    except ArithmeticError as error:
        raise Unclear("number", "It is no number; write one such as 2.") from error


def _listed(value: Any) -> list[str]:
    if isinstance(value, list):
        return [_text(each) for each in value]
    text = str(value).strip()
    if text.startswith("["):
        try:
            return [_text(each) for each in msgspec.json.decode(text, type=list[Any])]
        except msgspec.MsgspecError as error:
            raise Unclear("list", "It is no JSON array; write ids with commas between.") from error
    return [part.strip() for part in _separators(text) if part.strip()]


def _contents(value: Any) -> list[Any]:
    try:
        found = msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.MsgspecError:
        found = None
    if not isinstance(found, list):
        raise Unclear("contents", 'It is no JSON array such as [{"id": "A1", "quantity": 2}].')
    return found
