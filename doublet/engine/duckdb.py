"""DuckDB as the engine: one database file, owned by one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from doublet.engine import NOTHING
from doublet.errors import CorruptError, LockedError, MemoryLimitError


def connect(
    file: Path | None, scratch: Path, memory_limit_mib: int, threads: int
) -> duckdb.DuckDBPyConnection:
    """A database in a file or (None) in memory only, within limits, with days in UTC."""
    scratch.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        str(file or ":memory:"),
        config={
            "memory_limit": f"{memory_limit_mib}MiB",
            "threads": str(threads),
            "temp_directory": str(scratch),
            # Files are read once; keeping their bytes would only hold memory.
            "enable_external_file_cache": "false",
            "autoinstall_known_extensions": "false",
            # `checkpoint` now and then is better than one in the middle of a refresh.
            "checkpoint_threshold": "256MiB",
            # Every text orders what it wants ordered; the rest need not wait for its turn.
            "preserve_insertion_order": "false",
        },
    )
    connection.execute("set global timezone = 'UTC'")
    return connection


class DuckDBTransaction:
    """See `doublet.engine.Transaction`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """Execute one statement. Raises MemoryLimitError when it needs too much memory."""
        try:
            return self._connection.execute(sql, dict(parameters)).fetchall()
        except duckdb.OutOfMemoryException as error:
            raise MemoryLimitError(
                "This needs more memory than engine_memory_limit_mib allows.",
                "Raise it, e.g. --set engine_memory_limit_mib=1024.",
            ) from error


class _Door:
    """Many may be inside at once, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_shut = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Together with others; waits while somebody is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until all others have left; nobody enters meanwhile."""
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._is_shut = False
                self._changed.notify_all()


class DuckDBEngine:
    """See `doublet.engine.Engine`. Larger work than `memory_limit_mib` spills to `scratch`."""

    def __init__(
        self, file: Path, scratch: Path, *, memory_limit_mib: int = 384, threads: int = 2
    ) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._fresh = file.with_suffix(".rewritten")
        self._remove_fresh()
        self._connect = partial(connect, file, scratch, memory_limit_mib, threads)
        try:
            self.connection = self._connect()
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise CorruptError(
                    f"{file} cannot be read as a database.",
                    "Remove it: all it holds is made anew from the lake.",
                ) from error
            raise LockedError(
                f"{file} is in use by another process.",
                "Ask the running server, or stop it first.",
            ) from error
        self._writing = threading.Lock()
        self._door = _Door()
        self._changes = self._report_changes = 0

    @property
    def changes(self) -> int:
        """How many transactions have been committed."""
        return self._changes

    @property
    def report_changes(self) -> int:
        """How many of them may have changed what reports say."""
        return self._report_changes

    def query(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> list[dict[str, Any]]:
        """Rows of a SELECT as dicts. Raises MemoryLimitError when it needs too much memory."""
        with self._asked(sql, parameters) as result:
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def columns(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """Its columns as numpy arrays. Raises MemoryLimitError likewise."""
        with self._asked(sql, parameters) as result:
            return dict(result.fetchnumpy())

    @contextmanager
    def _asked(
        self, sql: str, parameters: Mapping[str, Any]
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A question under way, on a cursor of its own."""
        with self._door.inside():
            cursor = self.connection.cursor()
            try:
                yield cursor.execute(sql, dict(parameters))
            except duckdb.OutOfMemoryException as error:
                raise MemoryLimitError(
                    "The question needs more memory than the engine may use.",
                    "Ask for fewer days, or raise engine_memory_limit_mib.",
                ) from error
            finally:
                cursor.close()

    @contextmanager
    def transaction(self, *, is_reported: bool = True) -> Iterator[DuckDBTransaction]:
        """One writing transaction; others wait for it."""
        with self._writing:
            self.connection.begin()
            try:
                yield DuckDBTransaction(self.connection)
            except BaseException:
                self.connection.rollback()
                raise
            self.connection.commit()
            self._changes += 1
            self._report_changes += is_reported

    def checkpoint(self) -> None:
        """Write what the log of transactions holds into the file."""
        with self._writing:
            self.connection.execute("checkpoint")

    def rewrite(self) -> None:
        """Copy all tables into a new file, which takes the place of the old one.

        Deleted rows stay in the blocks of a file, neither CHECKPOINT nor VACUUM takes them out;
        a copy has none. Readers go on meanwhile and wait for the moment of the exchange. Every
        other cursor of `connection` must be closed before.
        """
        fresh = self._fresh
        with self._writing:
            self._remove_fresh()
            ((name,),) = self.connection.execute("select current_database()").fetchall()
            quoted = str(fresh).replace("'", "''")
            self.connection.execute(f"attach '{quoted}' as rewritten")
            try:
                self.connection.execute(f'copy from database "{name}" to rewritten')
                self.connection.execute("checkpoint rewritten")
            finally:
                self.connection.execute("detach rewritten")
            _sync(fresh)
            with self._door.alone():
                # Closing writes a checkpoint and removes the write-ahead log.
                self.connection.close()
                try:
                    wal = Path(f"{self._file}.wal")
                    assert not wal.exists(), "somebody still has the database open"
                    fresh.replace(self._file)
                    _sync(self._file.parent)
                finally:
                    self.connection = self._connect()

    def _remove_fresh(self) -> None:
        """What a process that was killed has left of it."""
        for path in (self._fresh, Path(f"{self._fresh}.wal")):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write a checkpoint and give the file back, after whoever still reads or writes."""
        with self._writing, self._door.alone():
            self.connection.close()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
