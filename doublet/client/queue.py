"""Events that wait to be sent: in memory, or in a folder that outlives the process.

A folder may be shared by all processes of a site. Events of each pixel lie in a file of
their own. All processes put events in freely; one at a time takes them out, namely the one that
holds the lock of that file, which the kernel frees if it dies.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

Row = tuple[int, bytes]
"""Number and JSON of one waiting event."""

_BUSY_TIMEOUT_S = 30.0

# A connection must neither be used nor closed by a child that was forked with it (SQLite, *How to
# corrupt*, section 2.6), so that a child keeps its parent's.
_OF_PARENTS: list[object] = []


class Queue:
    """Waiting events of one pixel, oldest first, at most `events_max`; without `folder` they end
    with the process.

    In a folder each event outlives the process from the moment `put` returns; whether it also
    outlives a power cut is the disk's affair. Not for two threads at once.
    """

    def __init__(self, folder: Path | None, pixel_id: str, events_max: int) -> None:
        self._folder = folder
        self._name = quote(pixel_id, safe="")
        self._events_max = events_max
        self._open()

    def _open(self) -> None:
        file = ":memory:"
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = str(self._folder / f"{self._name}.sqlite")
        self._db = sqlite3.connect(
            file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute(
            "create table if not exists events "
            "(number integer primary key autoincrement, event blob not null)"
        )

    def reopen_in_child(self) -> None:
        """After a fork: a connection of its own; what waits in memory is for the parent to send."""
        _OF_PARENTS.append(self._db)
        self._open()

    def put(self, event: bytes) -> list[bytes]:
        """Keep an event; the oldest ones that had to go for want of room."""
        self._db.execute("insert into events (event) values (?)", (event,))
        # Numbers have gaps, so that this is the cheap first look.
        low, high = self._db.execute("select min(number), max(number) from events").fetchone()
        if low is None or high - low < self._events_max:
            return []
        surplus = len(self) - self._events_max
        dropped = self.first(surplus) if surplus > 0 else []
        self.remove([number for number, _ in dropped])
        return [event for _, event in dropped]

    def first(self, count: int) -> list[Row]:
        """Up to so many of the oldest events."""
        select = "select number, event from events order by number limit ?"
        return list(self._db.execute(select, (count,)))

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget these events."""
        self._db.execute("begin immediate")
        self._db.executemany("delete from events where number = ?", [(n,) for n in numbers])
        self._db.execute("commit")

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from events").fetchone()[0])

    @contextmanager
    def sole_sender(self) -> Iterator[bool]:
        """Whether this process alone may take events out, while the context lasts."""
        if self._folder is None:
            yield True
            return
        with (self._folder / f"{self._name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                # Explicitly, since a child forked meanwhile has the same lock open.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
