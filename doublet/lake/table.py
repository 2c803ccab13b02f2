"""One Delta table: commits that are durable and happen once, compaction, clean-up.

DuckDB writes the Parquet files, delta-rs commits them. Every file is synced before the commit
that names it, and every commit before the caller learns of it.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction

from doublet.errors import CorruptError, NewerFormatError
from doublet.lake.columns import Column, delta_schema, duckdb_type

logger = logging.getLogger(__name__)

PARTITION = "received_date"
FORMAT = 1
"""Version of what the files and columns of a table mean; the table's property `doublet.format`."""
_FORMAT_KEY = "doublet.format"
_QUIET = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_NOT_UNDERSTOOD = ("delta.enableDeletionVectors", "delta.columnMapping.mode")
# A writer holds a whole row group of each thread in memory.
LOADED = "compression snappy, row_group_size 20480, row_group_size_bytes '8MB'"
MERGED = "compression zstd, row_group_size 20480, row_group_size_bytes '16MB'"
MERGED_FILES_MIN = 8
MERGED_ROWS_MAX = 1_000_000
MERGED_SIZE_BYTES_MAX = 256 << 20


class File(NamedTuple):
    """A file of the table: absolute path, and what the Delta log says of it."""

    path: str
    received_date: str
    rows: int
    size_bytes: int
    first_received_at: datetime
    last_received_at: datetime


class Table:
    """A Delta table in a folder. Used by one thread; other processes may commit beside it."""

    def __init__(self, folder: Path, columns: tuple[Column, ...]) -> None:
        self.folder = folder
        self.columns = columns
        self._schema = delta_schema(columns)
        _drop_torn_commit(folder)
        self._delta = self._open()

    def _open(self) -> DeltaTable:
        path = str(self.folder.absolute())
        if DeltaTable.is_deltatable(path):
            delta = DeltaTable(path)
        else:
            delta = DeltaTable.create(
                path,
                schema=self._schema,
                mode="ignore",
                partition_by=[PARTITION],
                configuration={
                    _FORMAT_KEY: str(FORMAT),
                    "delta.logRetentionDuration": "interval 1 hours",
                    "delta.deletedFileRetentionDuration": "interval 1 hours",
                },
                raise_if_key_not_exists=False,
            )
            _sync_log(self.folder)
        # Each folder is named by the one around it. Also when the table is not new: the process
        # that made it may have been killed before this.
        for around in (self.folder, *self.folder.absolute().parents[:2]):
            _sync(around)
        check_format(delta)
        used = [key for key in _NOT_UNDERSTOOD if _is_on(delta.metadata().configuration, key)]
        if used:
            raise CorruptError(
                f"{path} uses {', '.join(used)}, which plain Parquet readers would ignore.",
                "Rewrite the table without it.",
            )
        return delta

    @property
    def version(self) -> int:
        """Delta version that this instance sees."""
        return self._delta.version()

    def update(self) -> None:
        """See what others have committed."""
        self._delta.update_incremental()

    def position(self, partition: int) -> int:
        """Offset of the next record of a log partition that is not in the table yet."""
        return self._delta.transaction_version(f"log/{partition}") or 0

    def files(self) -> list[File]:
        """The table's files, in the order in which their rows were received."""
        actions = self._delta.get_add_actions(flatten=True)
        names = (
            "path",
            "partition.received_date",
            "num_records",
            "size_bytes",
            "min.received_at",
            "max.received_at",
        )
        columns = [actions.column(name).to_pylist() for name in names]
        found = [
            # Other writers cut statistics to milliseconds (Delta protocol, Per-file Statistics).
            File(
                str(self.folder.absolute() / path),
                str(received_date),
                rows,
                size_bytes,
                first,
                last + timedelta(milliseconds=1),
            )
            for path, received_date, rows, size_bytes, first, last in zip(*columns, strict=True)
        ]
        return sorted(found, key=lambda file: (file.first_received_at, file.path))

    # --- writing ------------------------------------------------------------------------------

    def copy(
        self,
        connection: duckdb.DuckDBPyConnection,
        sql: str,
        parameters: Mapping[str, Any],
        received_date: str,
        options: str = LOADED,
    ) -> list[AddAction]:
        """Write the rows of a SELECT that were received on one date as a Parquet file, synced,
        not yet part of the table; no file when there are none, or when it fails."""
        folder = self.folder / f"{PARTITION}={received_date}"
        folder.mkdir(exist_ok=True)
        path = folder / f"part-{uuid.uuid4()}.parquet"
        try:
            rows = connection.execute(
                f"copy (select * exclude ({PARTITION}) from ({sql}) where {PARTITION} = "
                f"cast($received_date as date)) to '{_quoted(path)}' "
                f"(format parquet, {options}, return_stats true)",
                {**parameters, "received_date": received_date},
            ).fetchall()
        except duckdb.Error:
            path.unlink(missing_ok=True)
            raise
        (_, count, size_bytes, _, statistics, *_) = rows[0] if rows else ("", 0, 0, 0, {})
        if not count:
            path.unlink(missing_ok=True)
            return []
        for changed in (path, folder, self.folder):
            _sync(changed)
        return [_add_action(self.folder, path, count, size_bytes, statistics, received_date)]

    def append(self, actions: list[AddAction], positions: Mapping[int, int]) -> bool:
        """Commit files together with the log positions after them.

        False, and nothing happened, when another loader was first. Check and commit use the same
        snapshot: delta-rs accepts a transaction id again from a fresh one.
        """
        transactions = [Transaction(f"log/{p}", at) for p, at in sorted(positions.items())]
        try:
            self._commit(list(actions), transactions)
        except CommitFailedError as error:
            logger.info("commit-lost table=%s error=%s", self.folder.name, error)
            self.discard(actions)
            self._delta.update_incremental()
            return False
        return True

    def discard(self, actions: list[AddAction]) -> None:
        """Remove files that were written and not committed."""
        for action in actions:
            (self.folder / action.path).unlink(missing_ok=True)

    def _commit(
        self, actions: list[AddAction | RemoveAction], transactions: list[Transaction]
    ) -> None:
        self._delta.create_write_transaction(
            actions,
            mode="append",
            schema=self._schema,
            partition_by=[PARTITION],
            commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
            post_commithook_properties=_QUIET,
        )
        self._delta.update_incremental()
        _sync_log(self.folder)

    # --- tidying ------------------------------------------------------------------------------

    def mergeable(
        self, among: Container[str] | None = None, without: Container[str] = ()
    ) -> list[list[File]]:
        """Groups of small neighbouring files that `merge` should make one; `among` restricts them
        to files with these paths, `without` leaves some out.

        Files of about the same size (a power of ten of rows) are merged as soon as there are
        eight, so that each row is rewritten a few times in its life only, and neighbours in time
        stay neighbours (a log-structured merge tree's tiers: O'Neil et al. 1996).
        """
        return _mergeable(
            [
                file
                for file in self.files()
                if (among is None or file.path in among) and file.path not in without
            ]
        )

    def merge(self, connection: duckdb.DuckDBPyConnection, group: list[File]) -> list[AddAction]:
        """Write the rows of a group as one file.

        Files never change, so this may run beside loading; `replace` commits what it made. The
        rows stay about in the order of their receipt, so that each row group covers a short time:
        that is how older copies are found. Sorting them by pixel and event_time, as is common,
        needs more memory than DuckDB may have (at 384 MiB it fails from 350,000 rows on). As it is
        the memory depends on the row groups only, not on how large the group is. Raises
        duckdb.Error when a file cannot be read or written.
        """
        names = ", ".join(column.name for column in self.columns)
        sql = f"select {names} from {self.read_sql([file.path for file in group])}"
        return self.copy(connection, sql, {}, group[0].received_date, MERGED)

    def replace(
        self, group: list[File], actions: list[AddAction], *, changes_rows: bool = False
    ) -> list[str]:
        """Commit files in place of a group; their paths, none when another was first.

        Delta sees no conflict with a commit that this snapshot already holds, so a group that
        another writer has replaced meanwhile must be noticed here. `changes_rows` tells readers
        who follow the table that it is not the same rows in other files (Delta, *dataChange*).
        """
        self._delta.update_incremental()
        if not {file.path for file in group} <= {file.path for file in self.files()}:
            logger.info("compaction-lost table=%s", self.folder.name)
            self.discard(actions)
            return []
        removed = self._removals(group, changes_rows)
        for action in actions:
            action.data_change = changes_rows
        try:
            self._commit([*actions, *removed], [])
        except CommitFailedError as error:
            logger.info("compaction-lost table=%s error=%s", self.folder.name, error)
            self.discard(actions)
            self._delta.update_incremental()
            return []
        return [str(self.folder.absolute() / action.path) for action in actions]

    def _removals(self, files: list[File], changes_rows: bool) -> list[RemoveAction]:
        now_ms = int(time.time() * 1000)
        return [
            RemoveAction(
                str(Path(file.path).relative_to(self.folder.absolute())),
                changes_rows,
                now_ms,
                file.size_bytes,
                {PARTITION: file.received_date},
            )
            for file in files
        ]

    def read_sql(self, paths: Sequence[str]) -> str:
        """The table function that reads these files."""
        listed = ", ".join("'{}'".format(path.replace("'", "''")) for path in paths)
        return (
            f"read_parquet([{listed}], hive_partitioning = true, "
            f"hive_types = {{'{PARTITION}': date}})"
        )

    def clean_up(self, retention_h: float) -> None:
        """Checkpoint the Delta log, forget old versions, delete files nobody names."""
        self._delta.create_checkpoint()
        # Only once it is on the disk may the commits go that it stands for.
        _sync_log(self.folder)
        self._delta.cleanup_metadata()
        self._delta.vacuum(
            retention_hours=max(0, round(retention_h)),
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
            post_commithook_properties=_QUIET,
        )
        self._delta.update_incremental()
        _sync_log(self.folder)

    def drop_before(self, received_date: date) -> list[str]:
        """Commit that the files of earlier dates are no longer part of the table; their paths.
        Vacuum deletes them later. Raises CommitFailedError when another writer was first."""
        self._delta.update_incremental()
        old = [file for file in self.files() if file.received_date < received_date.isoformat()]
        if old:
            self._commit([*self._removals(old, changes_rows=True)], [])
            logger.info("expired table=%s files=%d", self.folder.name, len(old))
        return [file.path for file in old]

    # --- forgetting ---------------------------------------------------------------------------

    def mark(self, name: str) -> int:
        """The number last set under this name in the table itself, 0 for none; a table that was
        restored to an older state has the older one."""
        return self._delta.transaction_version(name) or 0

    def set_mark(self, name: str, number: int) -> None:
        """Commit a number under a name (Delta, *Transaction Identifiers*). Raises
        CommitFailedError when another writer was first."""
        self._delta.update_incremental()
        self._commit([], [Transaction(name, number)])

    def forget_history(self) -> None:
        """Delete every older version: files that are not part of the table now, and the entries
        of the Delta log before a new checkpoint, whose statistics may hold values of rows.

        Readers of an older version lose their files. Call it while nobody writes.
        """
        self._delta.update_incremental()
        checkpoint = f"{self.version:020d}"
        self.clean_up(0)
        log = self.folder / "_delta_log"
        for path in sorted(log.iterdir()):
            if path.name[:20].isdigit() and path.name[:20] < checkpoint:
                path.unlink()
        _sync(log)


def empty_sql(columns: tuple[Column, ...]) -> str:
    """A SELECT with these columns and no rows."""
    casts = ", ".join(f"cast(null as {duckdb_type(c)}) as {c.name}" for c in columns)
    return f"(select {casts} where false)"


def check_format(delta: DeltaTable) -> None:
    """Raises NewerFormatError for a table that a newer version has written."""
    found = delta.metadata().configuration.get(_FORMAT_KEY) or "1"
    if not found.isdecimal() or int(found) > FORMAT:
        raise NewerFormatError(str(delta.table_uri), found, FORMAT)


def _mergeable(files: list[File]) -> list[list[File]]:
    """Groups of at least eight files of one date and size class, oldest first.

    A file with more than an eighth of what a merged one may hold is large enough; so eight others
    always fit together.
    """
    tiers: dict[tuple[str, int], list[File]] = {}
    for file in files:
        if (
            file.rows * MERGED_FILES_MIN <= MERGED_ROWS_MAX
            and file.size_bytes * MERGED_FILES_MIN <= MERGED_SIZE_BYTES_MAX
        ):
            tiers.setdefault((file.received_date, len(str(file.rows))), []).append(file)
    groups = []
    for tier in tiers.values():
        group: list[File] = []
        rows = size_bytes = 0
        for file in tier:
            rows, size_bytes = rows + file.rows, size_bytes + file.size_bytes
            if rows > MERGED_ROWS_MAX or size_bytes > MERGED_SIZE_BYTES_MAX:
                break
            group.append(file)
        if len(group) >= MERGED_FILES_MIN:
            groups.append(group)
    return groups


def _add_action(
    folder: Path,
    path: Path,
    rows: int,
    size_bytes: int,
    statistics: Mapping[str, Mapping[str, str]],
    received_date: str,
) -> AddAction:
    received = statistics['"received_at"']
    stats = {
        "numRecords": rows,
        "minValues": {"received_at": _delta_time(received["min"])},
        "maxValues": {"received_at": _delta_time(received["max"])},
        "nullCount": {"received_at": 0},
    }
    return AddAction(
        path=str(path.relative_to(folder)),
        size=size_bytes,
        partition_values={PARTITION: received_date},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps(stats),
    )


def _delta_time(text: str) -> str:
    """DuckDB's `2026-01-02 03:04:05.6+00` as the ISO form of Delta's statistics."""
    return datetime.fromisoformat(text + ":00").astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_on(configuration: Mapping[str, str | None], key: str) -> bool:
    return (configuration.get(key) or "false").lower() not in ("false", "none", "")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _sync_log(folder: Path) -> None:
    """Sync the newest commit, the checkpoint pointer, and the folder that names them."""
    log = folder / "_delta_log"
    names = sorted(path.name for path in log.iterdir())
    recent = [name for name in names if name[:1].isdigit()][-3:]
    for name in recent + [name for name in names if name == "_last_checkpoint"]:
        _sync(log / name)
    _sync(log)


def _drop_torn_commit(folder: Path) -> None:
    """Remove a last commit that a power cut left incomplete.

    Nobody was told of it: `append` returns only after its commit is synced. Older commits were.
    """
    log = folder / "_delta_log"
    commits = sorted(log.glob("*.json")) if log.exists() else []
    if not commits:
        return
    try:
        for line in commits[-1].read_text("utf-8").splitlines():
            json.loads(line)
        torn = commits[-1].stat().st_size == 0
    except ValueError:
        torn = True
    if torn:
        logger.warning("torn-commit-removed path=%s", commits[-1].name)
        commits[-1].unlink()
        _sync(log)
