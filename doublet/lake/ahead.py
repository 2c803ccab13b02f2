"""Reading ahead: while one chunk becomes Parquet, the next is read from the log and verified."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from doublet.errors import CorruptError
from doublet.log import Chunk, Log

logger = logging.getLogger(__name__)


class Read(NamedTuple):
    """What was read from the positions `since`. `more` says that there was no room for the rest,
    `problem` names a partition that cannot be read on."""

    since: dict[int, int]
    chunks: list[Chunk]
    more: bool
    problem: str

    @property
    def until(self) -> dict[int, int]:
        """The positions after the chunks."""
        return self.since | {chunk.partition: chunk.next_position for chunk in self.chunks}


def read(log: Log, since: Mapping[int, int], size_bytes_max: int) -> Read:
    """At most about `size_bytes_max` of what the partitions hold beyond these positions; those
    that come first in `since` are read first."""
    chunks, problem, room = [], "", size_bytes_max
    for partition, position in since.items():
        try:
            chunk = log.read(partition, position, room)
        except CorruptError as error:
            logger.error("log-damaged %s", error)
            problem = str(error)
            continue
        if chunk is not None:
            chunks.append(chunk)
            room -= chunk.size_bytes
            if room <= 0:
                break
    return Read(dict(since), chunks, room <= 0, problem)


class ReadAhead:
    """Reads from one log, one chunk ahead when there is more than one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._next: Future[Read] | None = None
        self._last = -1

    def read(self, log: Log, since: Mapping[int, int], size_bytes_max: int) -> Read:
        """The same as `read`, but the partitions take turns in being the first, so that a busy one
        leaves room for the others; begins with what follows if there is more."""
        found = None
        if self._next is not None:
            found, self._next = self._next.result(), None
        # Another loader may have been first, so that what was read ahead is not wanted any more.
        if found is None or {p: since.get(p) for p in found.since} != found.since:
            found = read(log, self._in_turn(since), size_bytes_max)
        if found.more:
            self._last = found.chunks[-1].partition
            until = self._in_turn(found.until)
            self._next = self._thread.submit(read, log, until, size_bytes_max)
        return found

    def _in_turn(self, since: Mapping[int, int]) -> dict[int, int]:
        """Beginning behind the partition that took the last of the room."""
        return dict(sorted(since.items(), key=lambda item: (item[0] <= self._last, item[0])))

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown()
