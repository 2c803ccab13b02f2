"""SQLite files of ours besides the catalog: opened with the newest tables, durable, for this user
alone; written in transactions; copied while others use them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from doublet.errors import CorruptError, NewerFormatError


def opened(file: Path, version: int, schema: str, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A connection for any thread, one at a time; what is committed outlives a power cut. Makes the
    file where there is none, with the tables of `schema`, which leaves alone those that another
    process has just made. Raises NewerFormatError."""
    file.touch(0o600)
    db = sqlite3.connect(file, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=wal", "synchronous=full", "secure_delete=on"):
        db.execute(f"pragma {pragma}")
    found = version_of(db)
    if found > version:
        db.close()
        raise NewerFormatError(str(file), str(found), str(version))
    if found < version:
        db.executescript(f"begin immediate; {schema} pragma user_version = {version}; commit;")
    return db


def version_of(db: sqlite3.Connection) -> int:
    """The format of a file's tables."""
    ((version,),) = db.execute("pragma user_version")
    return int(version)


@contextmanager
def written(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction, durable when it ends; an error undoes it."""
    db.execute("begin immediate")
    try:
        yield db
        db.execute("commit")
    except BaseException:
        # A full disk may or may not have ended the transaction already.
        if db.in_transaction:
            db.execute("rollback")
        raise


@contextmanager
def copied(file: Path, target: Path) -> Iterator[sqlite3.Connection]:
    """A new file that is a copy of another as it is at one moment, to take out of it what must not
    be in a copy; no byte of that is left. Raises CorruptError."""
    target.touch(0o600, exist_ok=False)
    with closing(sqlite3.connect(file)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
        # One file, whole by itself; whoever opens it chooses his own mode.
        writing.executescript("pragma journal_mode = delete; pragma secure_delete = on")
        ((problem,),) = writing.execute("pragma integrity_check").fetchall()
        if problem != "ok":
            raise CorruptError(f"The file {file} is damaged: {problem}.")
        yield writing
        writing.commit()
