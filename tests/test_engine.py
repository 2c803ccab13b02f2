"""The DuckDB engine: closing waits for whoever reads or writes."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pytest

from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import MemoryLimitError


@pytest.mark.parametrize("round", range(10))
def test_closing_waits_for_readers_and_writers(tmp_path: Path, round: int) -> None:
    engine = DuckDBEngine(tmp_path / "some.duckdb", tmp_path / "scratch")
    began = threading.Barrier(4)
    failures: list[Exception] = []

    def work(writes: bool) -> None:
        began.wait()
        try:
            while True:
                if writes:
                    with engine.transaction() as tx:
                        tx.run("select 1")
                else:
                    engine.query("select 1 as one")
        except duckdb.ConnectionException:
            return  # It is closed.
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(writes,)) for writes in (True, False, False)]
    for thread in threads:
        thread.start()
    began.wait()
    engine.close()
    for thread in threads:
        thread.join()
    assert [] == failures


def test_what_reports_do_not_read_is_counted_apart(tmp_path: Path) -> None:
    engine = DuckDBEngine(tmp_path / "w.duckdb", tmp_path / "scratch")
    with engine.transaction() as tx:
        tx.run("create table reported (n integer)")
    with engine.transaction(is_reported=False) as tx:
        tx.run("create table other (n integer)")
    assert (2, 1) == (engine.changes, engine.report_changes)
    engine.close()


def test_columns_are_the_rows_of_a_query_as_arrays(tmp_path: Path) -> None:
    engine = DuckDBEngine(tmp_path / "some.duckdb", tmp_path / "scratch")
    sql = "select cast(range as bigint) as n, cast(range as float) / 2 as half from range($rows)"
    rows = engine.query(sql, {"rows": 5000})
    columns = engine.columns(sql, {"rows": 5000})
    assert [row["n"] for row in rows] == columns["n"].tolist()
    assert [row["half"] for row in rows] == columns["half"].tolist()
    engine.close()
    small = DuckDBEngine(tmp_path / "small.duckdb", tmp_path / "scratch", memory_limit_mib=8)
    wide = "select range as n, repeat('x', 1000) || range as text from range(200000) order by text"
    with pytest.raises(MemoryLimitError, match="engine_memory_limit_mib"):
        small.columns(wide)
    small.close()
