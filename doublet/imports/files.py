"""Rows of CSV, JSON lines and Parquet, one after the other in bounded memory, gzip unpacked.

What a file is goes by its name or by what one says. A row is a mapping of its columns to what is in
them; a row that cannot be read is a fault with its line, and the next one is read.
"""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TextIO

import msgspec

from doublet.errors import SenderError
from doublet.normalize import is_sha256

Format = Literal["csv", "jsonl", "parquet"]

_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_SAMPLE_ROWS = 1000
_BATCH_ROWS = 2048
_COLUMNS_MAX = 2000
_CELL_LENGTH_MAX = 1 << 20
_DEPTH_MAX = 4


class Fault(NamedTuple):
    """What is wrong with a row: its line, a column if it is one's fault, a stable `reason`, and
    what to write. Never what is in a cell."""

    line: int
    column: str
    reason: str
    message: str


class Cells(NamedTuple):
    """A row as it was read: its line (in Parquet its number), and what is in its columns."""

    line: int
    values: dict[str, Any]


Rows = Generator[Cells | Fault]


class FileSource(NamedTuple):
    """A file to import. `encoding` is that of its text."""

    path: Path
    format: Format
    is_packed: bool
    encoding: str = "utf-8"

    @property
    def noun(self) -> str:
        """What a row is counted as."""
        return "row" if self.format == "parquet" else "line"

    def digest(self) -> str:
        """BLAKE2b of the file, as it is."""
        found = hashlib.blake2b(digest_size=16)
        with self.path.open("rb") as file:
            while chunk := file.read(1 << 20):
                found.update(chunk)
        return found.hexdigest()

    def sample(self) -> tuple[list[str], list[dict[str, Any]]]:
        """The columns, and the first rows that can be read. Raises SenderError when there are
        none."""
        with self.rows() as found:
            rows = [row.values for row in islice(found, _SAMPLE_ROWS) if isinstance(row, Cells)]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if not rows:
            raise SenderError(f"{self.path.name} holds no rows.", "Look at it.")
        if self.format != "jsonl":
            _check_columns(self.path, columns)
        return columns, rows

    @contextmanager
    def rows(self) -> Iterator[Iterator[Cells | Fault]]:
        """All rows in the order of the file. Raises SenderError when it cannot be read at all."""
        try:
            with ExitStack() as opened:
                if self.format == "parquet":
                    found = _parquet_rows(self.path)
                else:
                    plain: Any = opened.enter_context(self.path.open("rb"))
                    if self.is_packed:
                        plain = opened.enter_context(gzip.GzipFile(fileobj=plain))
                    found = _csv_rows(self, plain) if self.format == "csv" else _json_rows(plain)
                # Whoever has seen enough leaves it half read.
                yield opened.enter_context(closing(found))
        except UnicodeDecodeError as error:
            raise SenderError(
                f"{self.path.name} is not {self.encoding} (byte {error.start} of a part).",
                "Save it as UTF-8, or name its encoding, such as --encoding cp1252.",
            ) from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SenderError(
                f"{self.path.name} is no whole gzip file: {error}.", "Copy it again."
            ) from error


def open_source(path: Path, named: Format | None = None, encoding: str = "utf-8") -> FileSource:
    """A file by its name, or as `named`. Raises SenderError when neither says what it is."""
    if not path.is_file():
        raise SenderError(f"There is no file {path}.", "Look at its name.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_packed = suffixes[-1:] == [".gz"]
    ending = next(iter(suffixes[-2:-1] if is_packed else suffixes[-1:]), "")
    found = named or _ENDINGS.get(ending)
    if found is None or (is_packed and found == "parquet"):
        raise SenderError(
            f"{path.name} names no format that is read.",
            "Call it .csv, .jsonl (both also .gz) or .parquet, or give --format.",
        )
    try:
        "".encode(encoding)
    except LookupError as error:
        raise SenderError(
            f"There is no encoding {encoding!r}.", "Write utf-8, cp1252 or utf-16."
        ) from error
    return FileSource(path, found, is_packed, encoding)


_looks_like_data = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[-+]?[\d.,:/ -]{2,}").fullmatch


def _check_columns(path: Path, columns: list[str]) -> None:
    if any(_looks_like_data(name) or is_sha256(name.lower()) for name in columns):
        raise SenderError(
            f"The first line of {path.name} looks like data.",
            "Begin the file with a line that names the columns.",
        )
    if len(columns) > _COLUMNS_MAX:
        raise SenderError(
            f"{path.name} has {len(columns):,} columns, at most {_COLUMNS_MAX:,} are read.",
            "Leave some out.",
        )


# --- CSV -------------------------------------------------------------------------------------


def _csv_rows(source: FileSource, plain: BinaryIO) -> Rows:
    encoding = "utf-8-sig" if source.encoding.lower() in ("utf-8", "utf8") else source.encoding
    with io.TextIOWrapper(plain, encoding, newline="") as lines:
        yield from csv_rows(lines)


def csv_rows(lines: TextIO) -> Rows:
    """The rows of an open CSV file; a fault `unreadable` is its end."""
    first = lines.readline()
    above = 0
    delimiter = max(",;\t|", key=first.count)
    if said := _says_separator(first):
        # Excel writes and reads such a line.
        delimiter, above, first = said[1], 1, lines.readline()
    csv.field_size_limit(_CELL_LENGTH_MAX)
    titles, first, left = _titles(first, lines)
    if titles:
        above, delimiter = above + titles, max(",;\t|", key=first.count)
    reader = csv.reader(_again(first, left), delimiter=delimiter)
    try:
        columns = _distinct([cell.strip() for cell in next(reader, [])])
    except csv.Error as error:
        yield Fault(1, "", "unreadable", f"{error}.")
        return
    while True:
        line = above + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Fault(line, "", "unreadable", f"It is no CSV: {error}; nothing after it is read.")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            yield Fault(
                line,
                "",
                "cells",
                f"{len(cells)} cells, but {len(columns)} columns; put text with the separator in "
                "it between quotation marks.",
            )
            continue
        # Spreadsheets put an apostrophe before what must stay text.
        yield Cells(
            line,
            {
                name: cell.strip().removeprefix("'")
                for name, cell in zip(columns, cells, strict=True)
                if name
            },
        )


def _titles(first: str, lines: TextIO) -> tuple[int, str, Iterator[str]]:
    """How many lines are a title, the line that names the columns, and all behind it. Google Ads
    writes the report's name and its days, a cell each, above the columns."""
    read = [first]
    while _is_one_cell(read[-1]) and len(read) <= _TITLES_MAX and (line := lines.readline()):
        read.append(line)
    at = 0 if _is_one_cell(read[-1]) else len(read) - 1
    return at, read[at], chain(read[at + 1 :], lines)


def _is_one_cell(line: str) -> bool:
    return not any(sign in _quoted.sub("", line) for sign in ",;\t|")


_TITLES_MAX = 3
_quoted = re.compile(r'"[^"]*"')


_says_separator = re.compile(r"sep=(.)\s*", re.IGNORECASE).fullmatch


def _again(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _distinct(names: list[str]) -> list[str]:
    """Columns of one name are told apart by number: the second `Price` is `Price #2`."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name} #{seen[name]}" if name and seen[name] > 1 else name)
    return found


# --- JSON lines ------------------------------------------------------------------------------

_decode = msgspec.json.Decoder().decode


def _json_rows(plain: BinaryIO) -> Rows:
    for number, line in enumerate(plain, 1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not text:
            continue
        try:
            found = _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            found = None
        if isinstance(found, dict):
            yield Cells(number, _flat(found))
        else:
            yield Fault(
                number,
                "",
                "unreadable",
                "It is no JSON object in one line; write one object a line.",
            )


def _flat(found: dict[str, Any], before: str = "", depth: int = 1) -> dict[str, Any]:
    """An object in an object as columns of their own, such as `customer.email`."""
    cells: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            cells.update(_flat(value, f"{before}{name}.", depth + 1))
        elif value is not None:
            cells[f"{before}{name}"] = value
    return cells


# --- Parquet ---------------------------------------------------------------------------------


def _parquet_rows(path: Path) -> Rows:
    import duckdb

    connection = duckdb.connect(
        config={"memory_limit": "512MB", "threads": 1, "autoinstall_known_extensions": False}
    )
    try:
        try:
            connection.execute("set timezone = 'UTC'")
            found = connection.execute(
                "select * from read_parquet($path)", {"path": glob.escape(str(path))}
            )
        except duckdb.Error as error:
            raise SenderError(
                f"{path.name} is no Parquet file that can be read.",
                "Look at it, or export it again.",
            ) from error
        columns = [column[0] for column in found.description or ()]
        number = 0
        while rows := found.fetchmany(_BATCH_ROWS):
            for row in rows:
                number += 1
                yield Cells(number, _flat(dict(zip(columns, row, strict=True))))
    finally:
        connection.close()
