"""The lake: the log's records in Delta tables, loaded exactly once.

`events` is the truth from which everything else can be rebuilt; `refused` holds what was not
accepted. The log position is committed with the rows, so that a crash at any moment, or two
loaders at once, neither lose nor repeat a record.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
from deltalake.transaction import AddAction

from doublet.errors import CorruptError
from doublet.lake.columns import EVENTS, REFUSED, user_data_type
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
        self._connection = connection
        self._scratch = scratch / "load"
        self.events = Table(folder / "events", EVENTS)
        self.refused = Table(folder / "refused", REFUSED)
        self.tables = (self.events, self.refused)

    def load(self, log: Log, size_bytes_max: int = 64 << 20) -> Loaded:
        """Load what the log has beyond the tables' positions, at most about `size_bytes_max`.

        The position of `events` is the loader's own; `refused` commits first and skips what it
        already holds, so that a crash in between repeats nothing.
        """
        chunks, problem, room = [], "", size_bytes_max
        for partition in log.partitions():
            try:
                chunk = log.read(partition, self.events.position(partition), room)
            except CorruptError as error:
                logger.error("log-damaged %s", error)
                problem = str(error)
                continue
            if chunk is not None:
                chunks.append(chunk)
                room -= len(chunk.lines)
                if room <= 0:
                    break
        rows = self._load(chunks) if chunks else 0
        return Loaded(rows, room <= 0, problem)

    def _load(self, chunks: list[Chunk]) -> int:
        paths = self._stage(chunks)
        positions = {chunk.partition: chunk.next_position for chunk in chunks}
        dates = _received_dates(chunks)
        # After a crash between the two commits `refused` already holds some of the records.
        repeating = any(self.refused.position(p) > self.events.position(p) for p in positions)
        refused = 0
        if any(b'"record_type":"refused"' in chunk.lines for chunk in chunks):
            actions = self._copy("refused", self.refused, paths, positions, dates)
            if not self.refused.append(actions, positions):
                self.events.update()
                return 0
            refused = _rows(actions)
        actions = self._copy("events", self.events, paths, positions, dates)
        rows, records = _rows(actions) + refused, _records(chunks)
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
        for date in dates:
            actions += table.copy(self._connection, _sql(name), parameters, date)
        return actions

    def _stage(self, chunks: list[Chunk]) -> list[str]:
        """Write the verified lines where DuckDB can read them."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        paths = []
        for chunk in chunks:
            path = self._scratch / f"{chunk.partition}.jsonl"
            path.write_bytes(chunk.lines)
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


def _records(chunks: list[Chunk]) -> int:
    """How many records the chunks hold; a record's own text cannot contain a newline."""
    return sum(
        chunk.lines.count(_RECORD_LINE) + chunk.lines.startswith(_RECORD) for chunk in chunks
    )


def _received_dates(chunks: list[Chunk]) -> list[str]:
    """All UTC dates on which the chunks' records were received; time rises within a chunk."""
    first = min(_received_at(chunk.lines, chunk.lines.find(_RECORD)) for chunk in chunks)
    last = max(_received_at(chunk.lines, chunk.lines.rfind(_RECORD)) for chunk in chunks)
    day = datetime.fromtimestamp(first / 1e6, UTC).date()
    end = datetime.fromtimestamp(last / 1e6, UTC).date()
    dates = []
    while day <= end:
        dates.append(day.isoformat())
        day += timedelta(days=1)
    return dates


def _received_at(lines: bytes, start: int) -> int:
    record = msgspec.json.decode(lines[start : lines.index(b"\n", start)])
    return int(record["received_at"])


_RECORD = b'{"log_offset":'
_RECORD_LINE = b"\n" + _RECORD
