"""A hold on a slot of the log for what comes by no request: files, commands, replays, errands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from doublet.accept import Arrival
from doublet.collect.appender import Clock
from doublet.errors import BusyError
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits, fresh_offset
from doublet.settings import Settings

_ANSWER_S = 60.0


def _log_of(settings: Settings) -> DiskLog:
    limits = Limits(
        settings.log_queue_size_bytes_max,
        settings.log_segment_size_bytes,
        settings.log_segment_age_s,
        settings.disk_free_bytes_min,
        fresh_offset(),
    )
    return DiskLog(settings.log_folder, limits)


class Deposit:
    """A hold on a slot of the log, for records of one account."""

    def __init__(self, settings: Settings, account_id: str) -> None:
        self._account_id = account_id
        self._settled = threading.Semaphore(0)
        self._error: BusyError | None = None
        self._writer = _log_of(settings).writer(self._on_commit)
        last = self._writer.last_record
        self._clock = Clock(int(msgspec.json.decode(last).get("received_at", 0)) if last else 0)

    def _on_commit(self, tokens: list[Any], error: BusyError | None) -> None:
        self._error = error
        self._settled.release()

    @property
    def place(self) -> tuple[int, int]:
        """Slot and offset at which the next record will lie."""
        return self._writer.slot, self._writer.offset

    def arrival(self, pixel_id: str = "") -> Arrival:
        """What arrives now; each record takes one of its own."""
        return Arrival(self._account_id, pixel_id, "server", self._clock.stamp(), self._writer.slot)

    def append(self, records: list[bytes]) -> None:
        """Return when the records are durable. Raises BusyError when they are not."""
        self._writer.submit(records, None)
        if not self._settled.acquire(timeout=_ANSWER_S):
            raise BusyError("The disk does not answer.", "Look at it, and try again.")
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Give the slot back."""
        self._writer.close()


@contextmanager
def deposit(settings: Settings, account_id: str) -> Iterator[Deposit]:
    """A deposit that is closed in the end."""
    opened = Deposit(settings, account_id)
    try:
        yield opened
    finally:
        opened.close()


def has_landed(settings: Settings, place: tuple[int, int], received_at: int) -> bool:
    """Whether the record of that receipt (µs since 1970) lies at a slot and offset, in the log or,
    where the log has it no more, in the lake. For who was cut off before it could know."""
    log = _log_of(settings)
    slot, offset = place
    # A torn end is cut off first; it was not acknowledged.
    log.settle_abandoned()
    chunk = log.read(slot, offset, 1) if slot in log.partitions() else None
    first = _first_record(chunk.lines) if chunk is not None else None
    if first is not None and first.log_offset == offset:
        return first.received_at == received_at
    return _is_in_lake(settings, slot, offset, received_at)


class _Placed(msgspec.Struct):
    log_offset: int
    received_at: int = 0


def _first_record(lines: bytes) -> _Placed | None:
    found = (line for line in lines.splitlines() if line.startswith(b'{"log_offset":'))
    return next((msgspec.json.decode(line, type=_Placed) for line in found), None)


def _is_in_lake(settings: Settings, slot: int, offset: int, received_at: int) -> bool:
    from doublet.lake.snapshot import Snapshot

    # Other tables commit before `events`, whose position is the loader's own.
    folder = settings.lake_folder / "events"
    if not (folder / "_delta_log").is_dir() or Snapshot(folder).position(slot) <= offset:
        return False
    return any(_is_in(settings.lake_folder / name, slot, offset, received_at) for name in _IMPORTED)


_IMPORTED = ("events", "ad_touches", "ad_days")
"""The tables that files are imported into."""


def _is_in(folder: Path, slot: int, offset: int, received_at: int) -> bool:
    import duckdb

    from doublet.lake.snapshot import Snapshot

    if not (folder / "_delta_log").is_dir():
        return False
    paths = [str(folder / file.path) for file in Snapshot(folder).files]
    if not paths:
        return False
    with duckdb.connect() as connection:
        found = connection.execute(
            "select count(*) from read_parquet($paths, hive_partitioning = true) "
            "where log_slot = $slot and log_offset = $offset "
            "and received_at = make_timestamptz($received_at)",
            {"paths": paths, "slot": slot, "offset": offset, "received_at": received_at},
        ).fetchone()
    return bool(found and found[0])
