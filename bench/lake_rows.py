"""Rows of the lake made by SQL, for benchmarks that need more than a log would give soon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from doublet.lake.columns import Column, duckdb_type
from doublet.lake.table import MERGED, Table
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS


def user_data_sql(values: Mapping[str, str]) -> str:
    """The column user_data of some keys' expressions; the other keys are null."""
    lists = dict.fromkeys(HASHED_KEYS, "cast(null as varchar[])")
    texts = dict.fromkeys(PLAIN_KEYS, "cast(null as varchar)")
    user = ", ".join(f"{key} := {value}" for key, value in {**lists, **texts, **values}.items())
    return f"struct_pack({user})"


class LakeWriter:
    """Commits rows to the table in a folder, in files as merging leaves them."""

    def __init__(self, folder: Path, columns: tuple[Column, ...]) -> None:
        self._table = Table(folder, columns)
        self._connection = duckdb.connect(
            config={"threads": "2", "memory_limit": "2GiB", "temp_directory": str(folder.parent)}
        )
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set enable_progress_bar = false")
        self.written = 0

    def write(self, sql: str, rows: int = 0) -> int:
        """Commit the rows of a SELECT, one file per date; how many they were. `rows` is how many
        records of the log they stand for, where that is not the same."""
        columns = ", ".join(
            f"cast({c.name} as {duckdb_type(c)}) as {c.name}" for c in self._table.columns
        )
        self._connection.execute(
            f"create or replace temp table made as select {columns} from ({sql})"
        )
        dates = self._connection.execute("select distinct received_date from made").fetchall()
        actions = []
        for (date,) in sorted(dates):
            actions += self._table.copy(self._connection, "from made", {}, str(date), MERGED)
        ((made,),) = self._connection.execute("select count(*) from made").fetchall()
        self.written += rows or made
        assert self._table.append(actions, {0: self.written})
        return int(made)
