"""Messages about orders reach the lake once."""

from __future__ import annotations

from pathlib import Path

import duckdb
from deltalake import DeltaTable

from doublet.lake import Lake
from doublet.lake.columns import ORDER_MESSAGES
from doublet.log.disk import DiskLog
from tests.factories import NOON, SECOND, Pipeline, make_order, make_record


def fill(folder: Path) -> None:
    """A log with 20 events and a message about an order after each."""
    pipeline = Pipeline(folder)
    for n in range(20):
        event = make_record(NOON + 2 * n * SECOND, event_id=str(n))
        order = make_order("placed", (2 * n + 1) * SECOND, order_id=str(n), value=n, currency="EUR")
        pipeline.append([event, order])
    pipeline.close()


def offsets(folder: Path, table: str) -> list[int]:
    """What a table holds, as other readers see it."""
    paths = DeltaTable(str(folder / "lake" / table)).file_uris()
    found = duckdb.execute("select log_offset from read_parquet($p) order by 1", {"p": paths})
    return [row[0] for row in found.fetchall()]


def test_messages_have_a_table_of_their_own(tmp_path: Path) -> None:
    fill(tmp_path)
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    assert 40 == lake.load(DiskLog(tmp_path / "log")).rows
    assert list(range(0, 40, 2)) == offsets(tmp_path, "events")
    assert list(range(1, 40, 2)) == offsets(tmp_path, "order_messages")
    schema = DeltaTable(str(tmp_path / "lake" / "order_messages")).schema()
    assert [column.name for column in ORDER_MESSAGES] == [field.name for field in schema.fields]
    lake.close()


def test_a_crash_between_the_tables_repeats_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    log = DiskLog(tmp_path / "log")
    # What a loader has done that died after its first commit.
    chunk = log.read(0, 0, 1 << 20)
    assert chunk is not None
    paths = lake._stage([chunk])
    actions = lake._copy(
        "order_messages", lake.order_messages, paths, {0: chunk.next_position}, ["2026-05-28"]
    )
    assert lake.order_messages.append(actions, {0: chunk.next_position})
    lake.close()
    other = Lake(tmp_path / "lake", tmp_path / "b", duckdb.connect())
    assert 20 == other.load(log).rows
    other.close()
    assert list(range(1, 40, 2)) == offsets(tmp_path, "order_messages")
    assert list(range(0, 40, 2)) == offsets(tmp_path, "events")
