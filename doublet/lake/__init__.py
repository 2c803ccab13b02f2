"""The lake: the log's records in Delta tables, loaded exactly once.

All but `refused`, which holds what was not accepted, are the truth from which everything else can
be rebuilt. The log position is committed with the rows, so that a crash at any
moment, or two loaders at once, neither lose nor repeat a record.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
from deltalake.transaction import AddAction

from doublet.errors import CorruptError
from doublet.lake.ahead import ReadAhead
from doublet.lake.columns import (
    AD_DAYS,
    AD_DECISIONS,
    AD_TOUCHES,
    DECISIONS,
    EVENTS,
    ORDER_MESSAGES,
    REFUSED,
    user_data_type,
)
from doublet.lake.table import Table
from doublet.log import Chunk, Log

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """What one round of loading did."""

    rows: int
    more: bool
    problem: str


@cache
def _sql(name: str) -> str:
    text = package_files("doublet.lake").joinpath(f"{name}.sql").read_text("utf-8")
    return text.replace("@user_data", user_data_type())


class Lake:
    """The Delta tables in a folder, and their loader. Used by one thread."""

    def __init__(self, folder: Path, scratch: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._scratch = scratch / "load"
        self.events = Table(folder / "events", EVENTS)
        self.refused = Table(folder / "refused", REFUSED)
        self.order_messages = Table(folder / "order_messages", ORDER_MESSAGES)
        self.ad_touches = Table(folder / "ad_touches", AD_TOUCHES)
        self.ad_days = Table(folder / "ad_days", AD_DAYS)
        self.ad_decisions = Table(folder / "ad_decisions", AD_DECISIONS)
        self.decisions = Table(folder / "decisions", DECISIONS)
        self.modelled = (
            *(self.events, self.order_messages),
            *(self.ad_touches, self.ad_days, self.decisions),
        )
        """The tables that the models read."""
        self.tables = (*self.modelled, self.ad_decisions, self.refused)
        self._ahead = ReadAhead()

    def update(self) -> None:
        """See what others have committed."""
        for table in self.tables:
            table.update()

    def load(
        self,
        log: Log,
        size_bytes_max: int = 64 << 20,
        before: Callable[[int], object] | None = None,
    ) -> Loaded:
        """Load what the log has beyond the tables' positions, at most about `size_bytes_max`.

        The position of `events` is the loader's own; the other tables commit first and skip what
        they already hold, so that a crash in between repeats nothing. `before` is told when the
        earliest record was received (µs since 1970), before anything is loaded.
        """
        since = {p: self.events.position(p) for p in log.partitions()}
        found = self._ahead.read(log, since, size_bytes_max)
        if found.chunks and before is not None:
            before(min(map(_first_received_at, found.chunks)))
        rows = self._load(found.chunks) if found.chunks else 0
        return Loaded(rows, found.more, found.problem)

    def forget_scratch(self) -> None:
        """Remove what loading has left among the temporary files."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()

    def _load(self, chunks: list[Chunk]) -> int:
        paths = self._stage(chunks)
        positions = {chunk.partition: chunk.next_position for chunk in chunks}
        dates = _received_dates(chunks)
        # After a crash between the commits the other tables already hold some of the records.
        repeating = any(
            table.position(p) > self.events.position(p) for table in self.tables for p in positions
        )
        others = 0
        held = {kind for chunk in chunks for part in chunk.parts for kind in _other_kinds(part)}
        for table in self.tables:
            if _RECORD_TYPES.get(table.folder.name) in held:
                actions = self._copy(table.folder.name, table, paths, positions, dates)
                if not table.append(actions, positions):
                    self.events.update()
                    return 0
                others += _rows(actions)
        actions = self._copy("events", self.events, paths, positions, dates)
        rows = _rows(actions) + others
        records = sum(chunk.records for chunk in chunks)
        if rows != records and not (repeating and rows < records):
            raise CorruptError(
                f"{records} records of the log became {rows} rows.",
                "Nothing was committed and nothing is lost; please report this.",
            )
        return rows if self.events.append(actions, positions) else 0

    def _copy(
        self, name: str, table: Table, paths: list[str], positions: dict[int, int], dates: list[str]
    ) -> list[AddAction]:
        wanted = [table.position(slot) for slot in range(max(positions) + 1)]
        parameters = {"paths": paths, "positions": wanted}
        actions: list[AddAction] = []
        for received_date in dates:
            actions += table.copy(self.connection, _sql(name), parameters, received_date)
        return actions

    def _stage(self, chunks: list[Chunk]) -> list[str]:
        """Write the verified lines where DuckDB can read them."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        paths = []
        for chunk in chunks:
            path = self._scratch / f"{chunk.partition}.jsonl"
            with path.open("wb") as file:
                file.writelines(chunk.parts)
            paths.append(str(path))
        return paths

    def free_log(self, log: Log, retention_h: float) -> None:
        """Delete log segments that are loaded and old enough."""
        positions = {p: self.events.position(p) for p in log.partitions()}
        log.delete(positions, time.time() - retention_h * 3600)

    def clean_up(self, vacuum_retention_h: float) -> None:
        """Shorten the Delta logs, delete files that compaction replaced."""
        for table in self.tables:
            table.clean_up(vacuum_retention_h)


def _rows(actions: list[AddAction]) -> int:
    return sum(json.loads(action.stats)["numRecords"] for action in actions)


def _received_dates(chunks: list[Chunk]) -> list[str]:
    """All UTC dates on which the chunks' records were received."""
    if any(_is_replayed(chunk) for chunk in chunks):
        return _days({at // _DAY_US for chunk in chunks for at in _all_received_at(chunk)})
    firsts = [_received_at(_first_record(chunk)) // _DAY_US for chunk in chunks]
    lasts = [_received_at(_last_record(chunk)) // _DAY_US for chunk in chunks]
    days = set(range(min(firsts), max(lasts) + 1))
    if not 1 <= len(days) <= _DAYS_COMMON:
        # Somebody has set the clock: then only the records themselves tell.
        days = {at // _DAY_US for chunk in chunks for at in _all_received_at(chunk)}
    return _days(days)


def _days(days: set[int]) -> list[str]:
    return [(_EPOCH + timedelta(days=day)).isoformat() for day in sorted(days)]


def _is_replayed(chunk: Chunk) -> bool:
    """Whether a chunk may hold records whose receipts do not rise, since they were replayed."""
    return any(_holds_replayed(part) for part in chunk.parts)


def _first_received_at(chunk: Chunk) -> int:
    if _is_replayed(chunk):
        return min(_all_received_at(chunk))
    # All others rise within a partition.
    return _received_at(_first_record(chunk))


def _all_received_at(chunk: Chunk) -> Iterator[int]:
    return (_received_at(line) for line in chunk.lines.splitlines() if line.startswith(_RECORD))


def _first_record(chunk: Chunk) -> bytes:
    found = _find_record(chunk.parts[0])
    assert found is not None, "a part without a record"
    return found[0]


def _last_record(chunk: Chunk) -> bytes:
    end = len(chunk.parts[-1])
    size = _TAIL_BYTES
    while True:
        tail = bytes(chunk.parts[-1][max(0, end - size) :])
        at = tail.rfind(_RECORD_LINE) + 1
        if at or size >= end:
            return tail[at : tail.index(b"\n", at)]
        size *= 8


def _received_at(record: bytes) -> int:
    return int(msgspec.json.decode(record)["received_at"])


_TAIL_BYTES = 1 << 16
_DAY_US = 86_400_000_000
_DAYS_COMMON = 2
_EPOCH = date(1970, 1, 1)
_find_record = re.compile(rb'\{"log_offset":[^\n]*').search
_RECORD_TYPES = {
    "refused": b"refused",
    "order_messages": b"order",
    "ad_touches": b"ad_touch",
    "ad_days": b"ad_day",
    "ad_decisions": b"ad_decision",
    "decisions": b"decision",
}
"""Of the records of each table but `events`, by the table's folder."""
_other_kinds = re.compile(rb'"record_type":"(?!event")([a-z_]+)"').findall
_holds_replayed = re.compile(rb'"replay_of":').search
_RECORD = b'{"log_offset":'
_RECORD_LINE = b"\n" + _RECORD
