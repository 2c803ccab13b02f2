"""A CSV file of messages about orders, line by line. Pure: lines in, messages or faults out.

The first line names the columns, which are the fields of `WireOrder`; commas, semicolons or tabs
separate them. A time without an offset is on the clocks of the account. Other columns are left
aside, so that what a shop exports about its customers is never kept.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from doublet.event import WireOrder
from doublet.refusal import Reason, Refusal, quote_name

COLUMNS = WireOrder.__struct_fields__
_NEEDED = ("order_id", "kind", "changed_at")


class Line(NamedTuple):
    """One line that is not empty: its number in the file, and its message or what is wrong."""

    number: int
    message: WireOrder | Refusal


class OrderFile:
    """Messages of a file. `columns` are the names in its first line, `ignored` those that mean
    nothing here; `problem` says why the file cannot be read at all."""

    def __init__(self, lines: Iterable[str], zone: ZoneInfo) -> None:
        self._zone = zone
        self._lines = iter(lines)
        self.problem: Refusal | None = None
        first = next(self._lines, "").lstrip("\ufeff")
        delimiter = max(",;\t", key=first.count)
        self._reader = csv.reader(self._lines, delimiter=delimiter)
        self.columns = [
            cell.strip().lower() for cell in next(csv.reader([first], delimiter=delimiter), [])
        ]
        self.ignored = [quote_name(name) for name in self.columns if name and name not in COLUMNS]
        self._check_columns()

    def _check_columns(self) -> None:
        repeated = {
            name for name in self.columns if name in COLUMNS and self.columns.count(name) > 1
        }
        missing = [name for name in _NEEDED if name not in self.columns]
        if repeated:
            self.problem = _wrong(min(repeated), f"column {min(repeated)} comes twice; keep one.")
        elif missing:
            name = missing[0]
            others = ", ".join(column for column in COLUMNS if column not in _NEEDED)
            self.problem = _wrong(
                name,
                f"the first line names no column {name}{self._near(name)}; it must have "
                f"{', '.join(_NEEDED)}, and may have {others}.",
            )
        else:
            # A misspelt column would be left aside, and its values with it.
            for name in COLUMNS:
                if name not in self.columns and self._near(name):
                    self.problem = _wrong(name, f"column {name} is misspelt{self._near(name)}.")

    def _near(self, name: str) -> str:
        unknown = [known for known in self.columns if known not in COLUMNS]
        near = difflib.get_close_matches(name, unknown, n=1, cutoff=0.8)
        return f" (there is {quote_name(near[0])})" if near else ""

    def __iter__(self) -> Iterator[Line]:
        number = 1
        while True:
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                yield Line(number + self._reader.line_num, _wrong("", f"{error}."))
                return
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield Line(number + self._reader.line_num, self._message(cells))

    def _message(self, cells: list[str]) -> WireOrder | Refusal:
        if len(cells) != len(self.columns):
            return _wrong(
                "",
                f"{len(cells)} cells, but {len(self.columns)} columns; put text with the separator "
                "in it between quotation marks.",
            )
        found = {
            name: cell.strip()
            for name, cell in zip(self.columns, cells, strict=True)
            if name in COLUMNS and cell.strip()
        }
        if "changed_at" in found:
            found["changed_at"] = self._in_zone(found["changed_at"])
        return WireOrder(**found)

    def _in_zone(self, text: str) -> str:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        return text if moment.tzinfo else moment.replace(tzinfo=self._zone).isoformat()


def _wrong(field: str, message: str) -> Refusal:
    return Refusal(Reason.INVALID_ORDER, message, field)
