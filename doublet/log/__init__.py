"""The log: append, make durable, only then answer. A buffer in front of the lake.

This is the contract; `doublet.log.disk` is the embedded implementation. A log has partitions
(on disk: writer slots), a partition has records at rising int64 offsets. Offsets may have gaps
and are never used twice. A *position* is the offset of the next record to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from doublet.errors import BusyError

OnCommit = Callable[[list[Any], BusyError | None], None]
"""Called from the writer's thread once per commit group with the tokens of its submissions."""


class Chunk(NamedTuple):
    """Verified, durable records of one partition.

    `parts` are JSON lines, one after the other; every record bears its `log_offset`, lines without
    `record_type` are the log's own and to be skipped. `records` is how many the writer counted.
    """

    partition: int
    next_position: int
    parts: list[memoryview]
    records: int

    @property
    def lines(self) -> bytes:
        """All parts in one piece."""
        return b"".join(self.parts)

    @property
    def size_bytes(self) -> int:
        """How long the lines are."""
        return sum(map(len, self.parts))


class Writer(Protocol):
    """The only writer of one partition."""

    slot: int
    last_record: bytes | None
    """The last record written before this writer opened the partition."""

    def submit(self, records: Sequence[bytes], token: Any) -> None:
        """Queue records; `on_commit` gets `token` when all of them are durable, or none.

        Never blocks. Raises BusyError when too much is waiting or the disk is nearly full.
        """

    def close(self) -> None:
        """Write what is queued, then release the partition."""


class Log(Protocol):
    """What the loader needs of a log."""

    def writer(self, on_commit: OnCommit) -> Writer:
        """Take a free partition for writing."""

    def partitions(self) -> list[int]:
        """All partitions, in order."""

    def read(self, partition: int, position: int, size_bytes_max: int) -> Chunk | None:
        """Records from `position` on, whole commit groups, None when there are none.

        Returns at least one group, otherwise about `size_bytes_max`. Raises CorruptError when
        stored bytes are not what was written.
        """

    def delete(self, positions: dict[int, int], older_than: float) -> int:
        """Delete what lies before `positions` and was last written before Unix time
        `older_than`; returns how many bytes were freed."""
