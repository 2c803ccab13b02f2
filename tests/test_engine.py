"""The DuckDB engine: closing waits for whoever reads or writes."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pytest

from doublet.engine.duckdb import DuckDBEngine


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
