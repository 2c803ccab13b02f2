"""The bridge from a collector's event loop to its log slot, and the clock that stamps receipts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from doublet.errors import BusyError
from doublet.log import Log, Writer


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
    """Appends records and waits for the disk; one per process and event loop."""

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writer: Writer = log.writer(self._on_commit)
        self.slot = self._writer.slot
        self.clock = Clock(_received_at(self._writer.last_record))

    async def append(self, records: Sequence[bytes]) -> None:
        """Return when the records are durable. Raises BusyError when they are not and will not
        be."""
        future = self._loop.create_future()
        self._writer.submit(records, future)
        await future

    def _on_commit(self, tokens: list[asyncio.Future[None]], error: BusyError | None) -> None:
        self._loop.call_soon_threadsafe(_settle, tokens, error)

    def close(self) -> None:
        """Write what is queued and release the slot."""
        self._writer.close()


def _settle(futures: list[asyncio.Future[None]], error: BusyError | None) -> None:
    for future in futures:
        # A client that hung up has cancelled its future; its record is durable all the same.
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def _received_at(record: bytes | None) -> int:
    if record is None:
        return 0
    return int(msgspec.json.decode(record).get("received_at", 0))
