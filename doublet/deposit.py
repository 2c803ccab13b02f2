"""A hold on a slot of the log for what comes by no request: files, commands, replays, errands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from doublet.accept import Arrival
from doublet.collect.appender import Clock
from doublet.errors import BusyError
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits, fresh_offset
from doublet.settings import Settings

_ANSWER_S = 60.0


class Deposit:
    """A hold on a slot of the log, for records of one account."""

    def __init__(self, settings: Settings, account_id: str) -> None:
        limits = Limits(
            settings.log_queue_size_bytes_max,
            settings.log_segment_size_bytes,
            settings.log_segment_age_s,
            settings.disk_free_bytes_min,
            fresh_offset(),
        )
        self._account_id = account_id
        self._settled = threading.Semaphore(0)
        self._error: BusyError | None = None
        self._writer = DiskLog(settings.log_folder, limits).writer(self._on_commit)
        last = self._writer.last_record
        self._clock = Clock(int(msgspec.json.decode(last).get("received_at", 0)) if last else 0)

    def _on_commit(self, tokens: list[Any], error: BusyError | None) -> None:
        self._error = error
        self._settled.release()

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
