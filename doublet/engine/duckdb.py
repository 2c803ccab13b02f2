"""DuckDB as the engine: one database file, owned by one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


class DuckDBEngine:
    """See `doublet.engine.Engine`. Larger work than `memory_limit_mib` spills to `scratch`."""

    def __init__(
        self, file: Path, scratch: Path, *, memory_limit_mib: int = 384, threads: int = 2
    ) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = connect(file, scratch, memory_limit_mib, threads)
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

    def query(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> list[dict[str, Any]]:
        """Rows of a SELECT as dicts."""
        cursor = self.connection.cursor()
        try:
            result = cursor.execute(sql, dict(parameters))
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        finally:
            cursor.close()

    @contextmanager
    def transaction(self) -> Iterator[DuckDBTransaction]:
        """One writing transaction; others wait for it."""
        with self._writing:
            self.connection.begin()
            try:
                yield DuckDBTransaction(self.connection)
            except BaseException:
                self.connection.rollback()
                raise
            self.connection.commit()

    def checkpoint(self) -> None:
        """Write what the log of transactions holds into the file."""
        with self._writing:
            self.connection.execute("checkpoint")

    def close(self) -> None:
        """Write a checkpoint and give the file back."""
        self.connection.close()
