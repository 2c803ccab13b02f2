"""A shop's export of its orders, line by line. Lines in, orders or faults out; no I/O.

Commas, semicolons or tabs separate the columns that the first line names. What is ambiguous, such
as `1.234` or `03/04/2026`, is told by the other lines or by whoever asks, and is never guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from doublet.reconcile.columns import Mapped, map_columns
from doublet.shops.contract import UnreadableError
from doublet.shops.orders import ShopOrder, State, decimal_text, hashed_address, micros, state_of

Mark = Literal["comma", "point"]
"""What stands before the decimals."""

_SAMPLE_LINES = 1000
_MONEY = ("total", "refunded", "tax", "shipping", "discount")
_TRUE = {"true", "yes", "1", "y", "test", "ja"}
_NEVER = {"", "0", "no", "false", "n", "nein", "null", "none", "-"}
_MILLISECONDS_MIN = 10**11

_is_amount = re.compile(r"-?[0-9][0-9.,]*").fullmatch
_slashed = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?:,?\s+(.*))?").fullmatch
_dotted = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?:,?\s+(.*))?").fullmatch
_before_offset = re.compile(r"\s+(?=[+-][0-9]{2}:?[0-9]{2}$)")


class Fault(NamedTuple):
    """What is wrong with a line. `message` says what to write."""

    line: int
    column: str
    message: str


class Manner(NamedTuple):
    """How amounts and days are written: known from the lines, or given. None: not known."""

    mark: Mark | None = None
    day_first: bool | None = None
    date_format: str | None = None


class ShopFile:
    """Orders of an export. `columns` are the names in its first line, `mapped` what they are taken
    for; `unknown_states` counts the words for an order's state that mean nothing here, `more_lines`
    those with further articles of an order."""

    def __init__(
        self,
        lines: Iterable[str],
        zone: ZoneInfo,
        currency: str,
        given: Mapping[str, str],
        manner: Manner,
    ) -> None:
        """`currency` is that of amounts where no column says it, `zone` that of times without an
        offset. Raises SenderError when the first line cannot be understood."""
        self._lines = iter(lines)
        first = next(self._lines, "").lstrip("\ufeff")
        delimiter = max(",;\t", key=first.count)
        self._cells = csv.reader(self._lines, delimiter=delimiter)
        self.columns = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
        self.mapped = map_columns(self.columns, given)
        self.unknown_states: dict[str, int] = {}
        self.more_lines = 0
        self._by_field: dict[str, Mapped] = {mapped.field: mapped for mapped in self.mapped}
        self._zone = zone
        self._currency = currency
        self._manner = manner

    @property
    def currency(self) -> str | None:
        """The currency of all amounts where no column says it."""
        return None if "currency" in self._by_field else self._currency

    def learn(self) -> Manner:
        """How amounts and days are written, by the first thousand lines; reads them away."""
        marks: set[Mark] = set()
        orders: set[bool] = set()
        for _, cells in islice(self._rows(), _SAMPLE_LINES):
            for field in _MONEY:
                marks |= _marks(_bare(self._cell(cells, field)))
            if found := _slashed(self._cell(cells, "created_at")):
                one, two = int(found[1]), int(found[2])
                orders |= {True} if one > 12 else set()
                orders |= {False} if two > 12 else set()
        mark = next(iter(marks)) if len(marks) == 1 else None
        day_first = next(iter(orders)) if len(orders) == 1 else None
        given = self._manner
        return given._replace(
            mark=given.mark or mark,
            day_first=day_first if given.day_first is None else given.day_first,
        )

    def __iter__(self) -> Iterator[ShopOrder | Fault]:
        for number, cells in self._rows():
            if len(cells) != len(self.columns):
                message = f"{len(cells)} cells, but {len(self.columns)} columns."
                yield Fault(number, "", message)
                continue
            if not self._cell(cells, "created_at") and not self._cell(cells, "total"):
                self.more_lines += 1
                continue
            try:
                yield self._order(cells)
            except _WrongCellError as error:
                yield Fault(number, self._by_field[error.field].column, error.message)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            try:
                cells = next(self._cells, None)
            except csv.Error as error:
                yield 1 + self._cells.line_num, [f"{error}"]
                return
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield 1 + self._cells.line_num, cells

    def _cell(self, cells: list[str], field: str) -> str:
        mapped = self._by_field.get(field)
        if mapped is None or mapped.place >= len(cells):
            return ""
        return cells[mapped.place].strip()

    def _order(self, cells: list[str]) -> ShopOrder:
        order_id, name = self._cell(cells, "order_id"), self._cell(cells, "name")
        if not order_id and not name:
            raise _WrongCellError("order_id", "it is empty; each order needs its id.")
        total = self._money(cells, "total")
        if total is None:
            raise _WrongCellError("total", "it is empty; write the order's total.")
        state = self._state(cells)
        refunded = self._money(cells, "refunded")
        if "refunded" in self._by_field:
            refunded = abs(refunded or Decimal())
        elif self._cell(cells, "status").lower().removeprefix("wc-") == "refunded":
            refunded = total
        currency = self._cell(cells, "currency").upper() or self._currency
        if len(currency) != 3:
            raise _WrongCellError("currency", f"{currency[:10]!r} is no currency, such as EUR.")
        return ShopOrder(
            (order_id or name)[:200],
            self._moment(self._cell(cells, "created_at")),
            decimal_text(total),
            currency=currency,
            name=name[:200] if order_id and name != order_id else "",
            state=state,
            is_test=self._cell(cells, "test").lower() in _TRUE,
            refunded=_text(refunded),
            tax=_text(self._money(cells, "tax")),
            shipping=_text(self._money(cells, "shipping")),
            discount=_text(abs(self._money(cells, "discount") or Decimal())),
            em=hashed_address(self._cell(cells, "email")),
        )

    def _state(self, cells: list[str]) -> State:
        if self._cell(cells, "cancelled_at").lower() not in _NEVER:
            return "cancelled"
        word = self._cell(cells, "status")
        state = state_of(word)
        if word and not state and (word in self.unknown_states or len(self.unknown_states) < 20):
            self.unknown_states[word[:40]] = self.unknown_states.get(word[:40], 0) + 1
        return state

    def _money(self, cells: list[str], field: str) -> Decimal | None:
        cell = self._cell(cells, field)
        if not cell:
            return None
        try:
            amount = read_amount(cell, self._manner.mark)
            decimal_text(amount)
        except UnreadableError as error:
            raise _WrongCellError(field, str(error)) from None
        return amount

    def _moment(self, said: str) -> int:
        try:
            moment = _moment(said, self._manner)
            if moment is not None:
                return micros(moment if moment.tzinfo else moment.replace(tzinfo=self._zone))
        except (ValueError, OverflowError, OSError):
            moment = None
        hint = "write 2026-11-01 10:00:00, or say how times are written with --date-format."
        raise _WrongCellError("created_at", f"{said[:40]!r} is no time; {hint}")


class _WrongCellError(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else decimal_text(amount)


# --- amounts -----------------------------------------------------------------------------------


def _bare(cell: str) -> str:
    """An amount without its currency and the spaces in it."""
    return re.sub(r"[^0-9.,-]", "", cell)


def _marks(bare: str) -> set[Mark]:
    """What a figure shows to stand before the decimals; nothing when it could be both."""
    comma, point = bare.rfind(","), bare.rfind(".")
    if comma < 0 and point < 0:
        return set()
    last = max(comma, point)
    is_mark = min(comma, point) >= 0 or (
        bare.count(bare[last]) == 1 and (len(bare) - last != 4 or bare[:last] in ("", "0", "-0"))
    )
    if not is_mark:
        return set()
    return {"comma" if last == comma else "point"}


def read_amount(cell: str, mark: Mark | None = None) -> Decimal:
    """An amount as exports write it. `mark` stands before the decimals; left out, it must show.
    Raises UnreadableError.

    >>> read_amount("€ 1.234,50"), read_amount("1,234.5"), read_amount("1.234", "comma")
    (Decimal('1234.50'), Decimal('1234.5'), Decimal('1234'))
    """
    bare = _bare(cell)
    if not _is_amount(bare):
        raise UnreadableError(f"{cell[:40]!r} is no amount.")
    if mark is None:
        seps = {sign for sign in bare if sign in ",."}
        shown = _marks(bare)
        if seps and not shown and sum(bare.count(sign) for sign in seps) == 1:
            raise UnreadableError(
                f"{cell[:40]!r} may be read in two ways; say --decimal point or --decimal comma."
            )
        # Only marks of thousands: the other one would stand before decimals.
        mark = next(iter(shown)) if shown else ("comma" if seps == {"."} else "point")
    whole, decimals = (",", ".") if mark == "point" else (".", ",")
    left, _, right = bare.partition(decimals)
    groups = left.split(whole)
    is_grouped = all(len(group) == 3 for group in groups[1:]) and 1 <= len(groups[0].strip("-"))
    if whole in right or decimals in right or (len(groups) > 1 and not is_grouped):
        raise UnreadableError(f"{cell[:40]!r} is no amount with a decimal {mark}.")
    return Decimal("".join(groups) + (f".{right}" if right else ""))


# --- days --------------------------------------------------------------------------------------


def _moment(said: str, manner: Manner) -> datetime | None:
    """A moment, None for what is none; it may lack an offset."""
    if manner.date_format is not None:
        return datetime.strptime(said, manner.date_format)  # noqa: DTZ007
    if said.isdecimal() and len(said) >= 9:
        number = int(said)
        seconds = number / 1000 if number >= _MILLISECONDS_MIN else number
        return datetime.fromtimestamp(seconds, UTC)
    if found := _slashed(said):
        if manner.day_first is None:
            return None
        day, month = (found[1], found[2]) if manner.day_first else (found[2], found[1])
        return _on(day, month, found[3], found[4])
    if found := _dotted(said):
        return _on(found[1], found[2], found[3], found[4])
    if said[:3].isalpha():
        return parsedate_to_datetime(said)
    text = said.removesuffix(" UTC") + ("+00:00" if said.endswith(" UTC") else "")
    return datetime.fromisoformat(_before_offset.sub("", text))


def _on(day: str, month: str, year: str, clock: str | None) -> datetime:
    date = f"{year}-{month:0>2}-{day:0>2}"
    hour = (clock or "00:00").strip()
    if hour[-2:].upper() in ("AM", "PM"):
        form = "%Y-%m-%d %I:%M:%S %p" if hour.count(":") == 2 else "%Y-%m-%d %I:%M %p"
        return datetime.strptime(f"{date} {hour[:-2].strip()} {hour[-2:].upper()}", form)  # noqa: DTZ007
    return datetime.fromisoformat(f"{date}T{hour if hour[1:2] != ':' else f'0{hour}'}")
