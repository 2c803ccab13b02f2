"""What was imported from files: which events, and how far each file got. In `imports.sqlite`.

A group of events is written down as under way before it goes into the log, and as imported when it
is durable there. Whoever was cut off in between looks into log and lake before going on, so that a
row is in the log exactly once, whatever happens. Events are known by their key alone; nothing of a
person is kept. Records that are of no pixel are known by the number of their account.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from doublet.sqlite_file import opened, written

VERSION = 1

_SCHEMA = """
create table if not exists files (
  file_key text primary key,
  pixel_id integer not null,
  rows integer not null,
  imported integer not null,
  bad integer not null,
  began_at integer not null,
  ended_at integer
) without rowid;
create table if not exists imported (
  pixel_id integer not null,
  event_key integer not null,
  primary key (pixel_id, event_key)
) without rowid;
create table if not exists under_way (
  file_key text not null,
  log_slot integer not null,
  log_offset integer not null,
  received_at integer not null,
  rows integer not null,
  bad integer not null,
  keys blob not null
);
"""
NO_KEY = 0
"""In the place of a key: a record that is imported whenever it comes."""

_KEY_BYTES = 8
_ASKED = 500


class Progress(NamedTuple):
    """How far a file got: rows that are done, events of them that were imported, rows that were
    bad, and when it ended (Unix seconds; None: it did not)."""

    rows: int = 0
    imported: int = 0
    bad: int = 0
    ended_at: int | None = None


class Group(NamedTuple):
    """Events of a file that go into the log together: the log's slot and offset for the first, its
    receipt (µs since 1970), all their keys, and how far the file is then."""

    file_key: str
    place: tuple[int, int]
    received_at: int
    keys: Sequence[int]
    rows: int
    bad: int


class Book:
    """The file; used by one thread of one process at a time."""

    def __init__(self, file: Path) -> None:
        """Raises NewerFormatError for a file that a newer Doublet has written."""
        self._db = opened(file, VERSION, _SCHEMA)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def progress(self, file_key: str) -> Progress:
        """How far a file got; nowhere when it is not known."""
        found = self._db.execute(
            "select rows, imported, bad, ended_at from files where file_key = ?", (file_key,)
        ).fetchone()
        return Progress(*found) if found else Progress()

    def known(self, pixel_id: str, keys: Iterable[int]) -> set[int]:
        """Those of the keys whose events were imported before."""
        found: set[int] = set()
        left = iter(keys)
        while some := list(islice(left, _ASKED)):
            marks = ",".join("?" * len(some))
            found.update(
                key
                for (key,) in self._db.execute(
                    f"select event_key from imported where pixel_id = ? and event_key in ({marks})",
                    (int(pixel_id), *some),
                )
            )
        return found

    def begin(self, file_key: str, pixel_id: str) -> None:
        """Make a file known."""
        self._db.execute(
            "insert or ignore into files values (?, ?, 0, 0, 0, ?, null)",
            (file_key, int(pixel_id), int(time.time())),
        )

    def announce(self, group: Group) -> None:
        """Write down that a group goes into the log now."""
        with written(self._db):
            self._db.execute(
                "insert into under_way values (?, ?, ?, ?, ?, ?, ?)",
                (
                    group.file_key,
                    *group.place,
                    group.received_at,
                    group.rows,
                    group.bad,
                    b"".join(key.to_bytes(_KEY_BYTES, "little", signed=True) for key in group.keys),
                ),
            )

    def confirm(self) -> None:
        """What is under way is in the log."""
        with written(self._db):
            for group in self._under_way():
                self._db.executemany(
                    "insert or ignore into imported "
                    "select pixel_id, ? from files where file_key = ?",
                    [(key, group.file_key) for key in group.keys if key != NO_KEY],
                )
                self._advance(group.file_key, group.rows, group.bad, len(group.keys))
            self._db.execute("delete from under_way")

    def pass_over(self, file_key: str, rows: int, bad: int) -> None:
        """Write down that rows are done of which nothing went into the log."""
        with written(self._db):
            self._advance(file_key, rows, bad, 0)

    def settle(self, has_landed: Callable[[tuple[int, int], int], bool]) -> None:
        """Find out what became of a group that was under way when its process ended;
        `has_landed` is asked for its place and receipt."""
        for group in self._under_way():
            if has_landed(group.place, group.received_at):
                self.confirm()
            else:
                with written(self._db):
                    self._db.execute("delete from under_way")

    def end(self, file_key: str) -> None:
        """A file is done."""
        self._db.execute(
            "update files set ended_at = ? where file_key = ?", (int(time.time()), file_key)
        )

    def _advance(self, file_key: str, rows: int, bad: int, imported: int) -> None:
        self._db.execute(
            "update files set rows = ?, bad = ?, imported = imported + ? where file_key = ?",
            (rows, bad, imported, file_key),
        )

    def _under_way(self) -> list[Group]:
        found = self._db.execute("select * from under_way").fetchall()
        return [
            Group(
                file_key,
                (slot, offset),
                received_at,
                [
                    int.from_bytes(keys[at : at + _KEY_BYTES], "little", signed=True)
                    for at in range(0, len(keys), _KEY_BYTES)
                ],
                rows,
                bad,
            )
            for file_key, slot, offset, received_at, rows, bad, keys in found
        ]


class Seen:
    """Rows of one file by digest, on the disk, so that millions of them fit."""

    def __init__(self) -> None:
        # SQLite's name for a database in a temporary file that nobody else can open.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("pragma cache_size = -65536")
        self._db.execute(
            "create table seen (digest blob primary key, said blob, line integer, times integer) "
            "without rowid"
        )
        self._db.execute("begin")

    def count(self, digest: bytes, said: bytes, line: int) -> tuple[int, bool, int]:
        """How often a digest was met by now, whether what was said with it is what was said first,
        and on which line that was."""
        row = self._db.execute(
            "insert into seen values (?, ?, ?, 1) on conflict (digest) do update "
            "set times = times + 1 returning times, said, line",
            (digest, said, line),
        ).fetchone()
        return row[0], row[1] == said, row[2]

    def close(self) -> None:
        """Forget them."""
        self._db.close()
