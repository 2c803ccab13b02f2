"""The bridge from a collector's event loop to its log slot, and the clock that stamps receipts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from doublet.errors import BusyError
from doublet.log import Log, Writer

_GROUP_INTERVAL_S = 0.002


class Clock:
    """Microseconds since 1970, UTC; never the same twice and never backwards."""

    def __init__(self, floor: int = 0, now: Callable[[], int] = time.time_ns) -> None:
        self._last = floor
        self._now = now

    def stamp(self) -> int:
        """The time of a receipt."""
        self._last = max(self._last + 1, self._now() // 1000)
        return self._last


class Appender:
    """Appends records and tells when they are durable; one per process and event loop.

    One group is with the writer at any time; what arrives meanwhile is the next. Groups begin at
    least 2 ms apart: a sync costs about 0.1 ms of processor time however little it writes, so that
    under load a short pause makes each event much cheaper. A lone event never waits for it.
    """

    def __init__(
        self, log: Log, loop: asyncio.AbstractEventLoop, waiting_size_bytes_max: int = 32 << 20
    ) -> None:
        self._loop = loop
        self._waiting_size_bytes_max = waiting_size_bytes_max
        self._writer: Writer = log.writer(self._on_commit)
        self.slot = self._writer.slot
        self.clock = Clock(_received_at(self._writer.last_record))
        self._records: list[bytes] = []
        self._futures: list[asyncio.Future[None]] = []
        self._size_bytes = 0
        self._is_busy = False
        self._handed_over_at = 0.0

    def submit(self, records: Sequence[bytes]) -> asyncio.Future[None]:
        """A future that is done when the records are durable; it raises BusyError when they are
        not and will not be. Raises BusyError at once when too much is waiting already."""
        if self._size_bytes > self._waiting_size_bytes_max:
            raise BusyError("Too many events are waiting for the disk.", "Try again later.")
        future = self._loop.create_future()
        self._records += records
        self._futures.append(future)
        for record in records:
            self._size_bytes += len(record)
        if not self._is_busy:
            # Not now but after all requests that are ready in this turn of the loop.
            self._is_busy = True
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        if not self._futures:
            self._is_busy = False
            return
        records, futures = self._records, self._futures
        self._records, self._futures, self._size_bytes = [], [], 0
        self._handed_over_at = self._loop.time()
        try:
            self._writer.submit(records, futures)
        except BusyError as error:
            self._settle(futures, error)

    def _on_commit(self, tokens: list[list[asyncio.Future[None]]], error: BusyError | None) -> None:
        """Runs in the writer's thread."""
        for futures in tokens:
            self._loop.call_soon_threadsafe(self._settle, futures, error)

    def _settle(self, futures: list[asyncio.Future[None]], error: BusyError | None) -> None:
        for future in futures:
            # A client that hung up has cancelled its future; its record is durable all the same.
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        pause_s = self._handed_over_at + _GROUP_INTERVAL_S - self._loop.time()
        if pause_s > 0 and self._futures:
            self._loop.call_later(pause_s, self._hand_over)
        else:
            self._hand_over()

    def close(self) -> None:
        """Write what is queued and release the slot."""
        if self._futures:
            self._hand_over()
        self._writer.close()


def _received_at(record: bytes | None) -> int:
    if record is None:
        return 0
    return int(msgspec.json.decode(record).get("received_at", 0))
