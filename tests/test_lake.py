"""The lake: loaded exactly once, whatever dies or races; damage is named; files are tidied."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from doublet.accept import Arrival, refused_record
from doublet.errors import CorruptError, NewerFormatError
from doublet.lake import Lake
from doublet.lake.columns import EVENTS, REFUSED
from doublet.lake.table import File, Table, _mergeable
from doublet.log import segment
from doublet.log.disk import DiskLog
from doublet.refusal import Reason, Refusal
from doublet.rounds import Freshener
from doublet.settings import Settings
from tests.factories import ACCOUNT, HOUR, NOON, PIXEL, SECOND, Pipeline, make_record, sha256
from tests.synced import watch_synced

DAY = 24 * HOUR

# One loader in a process of its own, in steps so small that it commits many times.
LOADER = """
import sys
from pathlib import Path
import duckdb
from doublet.lake import Lake
from doublet.log.disk import DiskLog
folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
lake = Lake(folder / "lake", scratch, duckdb.connect())
print("ready", flush=True)
log = DiskLog(folder / "log")
idle = 0
while idle < 2:
    lake.events.update()
    lake.refused.update()
    idle = 0 if lake.load(log, size_bytes_max=20_000).more else idle + 1
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def make_refused(received_at: int, slot: int = 0, name: str = "Purchase") -> bytes:
    """The record of a refused request."""
    refusal = Refusal(Reason.EVENT_TOO_OLD, "event_time is more than 7 days ago.")
    arrival = Arrival(ACCOUNT, PIXEL, "server", received_at, slot)
    return refused_record(refusal, arrival, b"{}", [{"event_name": name}])


def rows(table: Table | Path, columns: str = "log_slot, log_offset") -> list[tuple[Any, ...]]:
    """Rows of a Delta table as other readers see it."""
    folder = table if isinstance(table, Path) else table.folder
    paths = DeltaTable(str(folder)).file_uris()
    if not paths:
        return []
    return duckdb.execute(
        f"select {columns} from read_parquet($paths, hive_partitioning = true) "
        "order by log_slot, log_offset",
        {"paths": paths},
    ).fetchall()


def test_every_field_of_a_record_becomes_a_typed_column(pipeline: Pipeline) -> None:
    record = make_record(
        NOON,
        event_name="Purchase",
        user_data={"em": [sha256("a")], "fbp": "fb.1.1780000000000.7", "client_user_agent": "UA"},
        custom_data={"value": "10.50", "currency": "eur", "order_id": 7, "gift": True},
        referrer_url="https://search.example/",
    )
    pipeline.append([record])
    pipeline.refresh()
    files = [file.path for file in pipeline.lake.events.files()]
    (row,) = pipeline.engine.query(f"select * from {pipeline.lake.events.read_sql(files)}")
    assert {column.name for column in EVENTS} == set(row)
    assert datetime.fromtimestamp(NOON / 1e6, UTC) == row["received_at"]
    assert (ACCOUNT, PIXEL, "event", "server") == tuple(
        row[name] for name in ("account_id", "pixel_id", "record_type", "source")
    )
    assert (Decimal("10.5"), "EUR", "7") == (row["value"], row["currency"], row["order_id"])
    assert ([sha256("a")], "UA", None) == tuple(
        row["user_data"][name] for name in ("em", "client_user_agent", "ph")
    )
    assert '{"referrer_url":"https://search.example/"}' == row["extra"]
    assert row["is_test"] is False


def test_other_readers_see_the_same_schema(pipeline: Pipeline) -> None:
    for table, columns in ((pipeline.lake.events, EVENTS), (pipeline.lake.refused, REFUSED)):
        schema = DeltaTable(str(table.folder)).schema()
        assert [column.name for column in columns] == [field.name for field in schema.fields]
        assert all(field.metadata["comment"] for field in schema.fields)


def test_days_are_partitions_and_refused_requests_have_their_own_table(pipeline: Pipeline) -> None:
    pipeline.append(
        [
            make_record(NOON),
            make_refused(NOON + SECOND),
            make_record(NOON + 2 * DAY),
            make_refused(NOON + 2 * DAY + SECOND),
        ]
    )
    pipeline.refresh()
    dates = [file.received_date for file in pipeline.lake.events.files()]
    assert ["2026-05-28", "2026-05-30"] == dates
    assert [(0, 0), (0, 2)] == rows(pipeline.lake.events)
    found = rows(pipeline.lake.refused, "log_offset, reason, size_bytes, payload, account_id")
    assert [
        (1, "event_too_old", 2, '[{"event_name":"Purchase"}]', ACCOUNT),
        (3, "event_too_old", 2, '[{"event_name":"Purchase"}]', ACCOUNT),
    ] == found


@pytest.mark.parametrize(("count", "size_bytes"), [(7, 8 << 20), (200, 300_000)])
def test_large_refused_requests_load_within_the_memory_there_is(
    pipeline: Pipeline, count: int, size_bytes: int
) -> None:
    for n in range(count):
        name = f"{n:03d}" + "x" * (size_bytes - 3)
        pipeline.append([make_refused(NOON + n * SECOND, name=name)])
    assert count == pipeline.lake.load(pipeline.log).rows
    found = rows(pipeline.lake.refused, "log_offset, length(payload)")
    assert [(n, size_bytes + len('[{"event_name":""}]')) for n in range(count)] == found


@pytest.mark.parametrize("ats", [[2 * DAY, 0], [0, 3000 * DAY], [0, 1]])
def test_a_clock_that_was_set_stops_nothing(pipeline: Pipeline, ats: list[int]) -> None:
    for n, at in enumerate(ats):
        pipeline.append([make_record(NOON + at, event_id=f"o.{n}")])
    assert len(ats) == pipeline.lake.load(pipeline.log).rows
    folders = len(list(pipeline.lake.events.folder.glob("received_date=*")))
    assert len({at // DAY for at in ats}) == folders


def fill(folder: Path, records: int, slots: int) -> None:
    """A log with some refused records among the events, in many small groups."""
    pipeline = Pipeline(folder)
    for slot in range(slots):
        for start in range(0, records, 50):
            pipeline.append(
                [
                    make_refused(NOON + n * SECOND, slot)
                    if n % 17 == 0
                    else make_record(NOON + n * SECOND, slot=slot, event_id=f"{slot}.{n}")
                    for n in range(start, min(records, start + 50))
                ],
                slot,
            )
    pipeline.close()


def assert_loaded_once(folder: Path, records: int, slots: int) -> None:
    """Each record is in its table, and there once."""
    refused = [(s, n) for s in range(slots) for n in range(records) if n % 17 == 0]
    events = [(s, n) for s in range(slots) for n in range(records) if n % 17]
    assert events == rows(folder / "lake" / "events")
    assert refused == rows(folder / "lake" / "refused")


def start_loader(folder: Path, scratch: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(folder), str(folder / scratch)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_loader_that_is_killed_anywhere_neither_loses_nor_repeats(
    tmp_path: Path, seed: int
) -> None:
    fill(tmp_path, 1000, 2)
    chance = random.Random(seed)
    kills = 0
    while True:
        process = start_loader(tmp_path, "tmp")
        try:
            process.wait(chance.uniform(0.005, 0.35))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        finally:
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]
        if process.returncode == 0:
            break
        assert kills < 60
    assert kills > 2
    assert_loaded_once(tmp_path, 1000, 2)


@pytest.mark.slow
def test_loaders_that_race_load_each_record_once(tmp_path: Path) -> None:
    fill(tmp_path, 1000, 2)
    loaders = [start_loader(tmp_path, f"tmp{n}") for n in range(2)]
    assert [0, 0] == [loader.wait(60) for loader in loaders]
    for loader in loaders:
        loader.stdout.close()  # type: ignore[union-attr]
    assert_loaded_once(tmp_path, 1000, 2)


def test_the_position_is_in_the_same_commit_as_the_rows(tmp_path: Path) -> None:
    fill(tmp_path, 100, 2)
    first = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    second = Lake(tmp_path / "lake", tmp_path / "b", duckdb.connect())
    log = DiskLog(tmp_path / "log")
    assert 200 == first.load(log).rows
    # The second one has not seen that; its commit must fail and leave no file behind.
    assert 0 == second.load(log).rows
    assert {0: 100, 1: 100} == {p: second.events.position(p) for p in (0, 1)}
    named = {Path(path).name for path in DeltaTable(str(tmp_path / "lake" / "events")).file_uris()}
    written = {path.name for path in (tmp_path / "lake" / "events").rglob("*.parquet")}
    assert named == written
    assert_loaded_once(tmp_path, 100, 2)


def test_a_crash_between_the_two_tables_repeats_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 100, 1)
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    log = DiskLog(tmp_path / "log")
    # What a loader has done that died after its first commit.
    chunk = log.read(0, 0, 1 << 20)
    assert chunk is not None
    paths = lake._stage([chunk])
    actions = lake._copy("refused", lake.refused, paths, {0: 100}, ["2026-05-28"])
    assert lake.refused.append(actions, {0: 100})
    assert 0 == lake.events.position(0)
    lake.load(log)
    assert_loaded_once(tmp_path, 100, 1)


def test_a_torn_last_commit_is_removed_and_loaded_again(tmp_path: Path) -> None:
    fill(tmp_path, 40, 1)
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    log = DiskLog(tmp_path / "log")
    lake.load(log)
    commits = sorted((tmp_path / "lake" / "events" / "_delta_log").glob("*.json"))
    commits[-1].write_bytes(commits[-1].read_bytes()[:100])
    again = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    again.load(log)
    assert_loaded_once(tmp_path, 40, 1)


def test_damage_in_one_slot_leaves_the_others_loading(tmp_path: Path) -> None:
    fill(tmp_path, 60, 2)
    damaged = segment.segments(tmp_path / "log" / "0")[0]
    data = bytearray(damaged.read_bytes())
    data[data.index(b"Purchase")] ^= 1
    damaged.write_bytes(data)
    # A write may be under way for some time; then it is damage.
    old = time.time() - 120
    for path in segment.segments(tmp_path / "log" / "0"):
        os.utime(path, (old, old))
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    loaded = lake.load(DiskLog(tmp_path / "log"))
    assert "is damaged at byte" in loaded.problem
    assert 60 == loaded.rows
    assert {1} == {slot for slot, _ in rows(lake.events)}


def test_a_table_that_plain_readers_would_misread_is_refused(tmp_path: Path) -> None:
    Table(tmp_path / "events", EVENTS)
    DeltaTable(str(tmp_path / "events")).alter.set_table_properties(
        {"delta.enableDeletionVectors": "true"}
    )
    with pytest.raises(CorruptError, match="enableDeletionVectors"):
        Table(tmp_path / "events", EVENTS)


def test_a_table_bears_its_format_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    Table(tmp_path / "events", EVENTS)
    delta = DeltaTable(str(tmp_path / "events"))
    assert "1" == delta.metadata().configuration["doublet.format"]
    delta.alter.set_table_properties({"doublet.format": "2"}, raise_if_not_exists=False)
    with pytest.raises(NewerFormatError, match=r"events/? has format 2"):
        Table(tmp_path / "events", EVENTS)


def test_compaction_keeps_every_row(pipeline: Pipeline) -> None:
    for n in range(64):
        pipeline.append([make_record(NOON + n * SECOND, event_id=f"o.{n}")])
        pipeline.lake.load(pipeline.log)
    before = rows(pipeline.lake.events, "log_slot, log_offset, event_id, received_at")
    pipeline.refresh()
    pipeline.compact()
    assert len(pipeline.lake.events.files()) < 8
    after = rows(pipeline.lake.events, "log_slot, log_offset, event_id, received_at")
    assert before == after


def make_files(count: int, rows: int, size_bytes: int, name: str) -> list[File]:
    """Files of one date, as the Delta log describes them."""
    at = datetime(2026, 5, 28, tzinfo=UTC)
    return [
        File(f"{name}{n}", "2026-05-28", rows, size_bytes, at, at + timedelta(seconds=1))
        for n in range(count)
    ]


@pytest.mark.parametrize("rows", [300, 300_000])
def test_files_that_are_large_in_bytes_or_rows_stay_and_keep_no_others_waiting(rows: int) -> None:
    large = make_files(9, rows, 90 << 20, "large")
    small = make_files(8, rows if rows == 300 else 100_000, 1 << 20, "small")
    assert [small] == _mergeable(large + small)


def test_what_is_merged_at_once_is_bounded_in_bytes_and_rows() -> None:
    wide = make_files(20, 300, 30 << 20, "wide")
    assert [wide[:8]] == _mergeable(wide)
    long = make_files(20, 100_000, 1 << 20, "long")
    assert [long[:10]] == _mergeable(long)


def test_a_group_that_cannot_be_merged_is_left_alone_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline(tmp_path)
    for n in range(16):
        # Records of 300 KiB: more than a row group of them does not fit into 64 MiB.
        order = {"value": n, "currency": "EUR"} | ({"pad": "x" * 300_000} if n < 8 else {})
        at = NOON + n * SECOND + (0 if n < 8 else DAY)
        pipeline.append(
            [make_record(at, event_id=f"{n}.{i}", custom_data={"i": i} | order) for i in range(30)]
        )
        pipeline.lake.load(pipeline.log)
    pipeline.refresh()
    pipeline.close()
    freshener = Freshener(Settings(data=tmp_path, merge_memory_limit_mib=64))
    try:
        freshener.tidy()
        freshener.tidy()
    finally:
        freshener.close()
    table = Table(tmp_path / "lake" / "events", EVENTS)
    assert {"2026-05-28": 8, "2026-05-29": 1} == dict(
        Counter(file.received_date for file in table.files())
    )
    left = set(table.folder.glob("received_date=2026-05-28/*"))
    assert {Path(file.path) for file in table.files()} >= left
    assert 480 == len(rows(table))
    warned = [line.getMessage() for line in caplog.records if "merge-failed" in line.msg]
    assert 1 == len(warned)
    assert "Out of Memory" in warned[0]


def test_new_folders_are_named_durably_by_those_around_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 20, 1)
    shutil.rmtree(tmp_path / "lake")
    synced = watch_synced(monkeypatch)
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    assert 20 == lake.load(DiskLog(tmp_path / "log")).rows
    lake.close()
    made = {path for path in (tmp_path / "lake").rglob("*") if path.is_dir()}
    assert {path.parent for path in made} | {tmp_path} <= synced


def test_busy_partitions_take_turns(tmp_path: Path) -> None:
    fill(tmp_path, 600, 3)
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    log = DiskLog(tmp_path / "log")
    for _ in range(3):
        assert lake.load(log, size_bytes_max=20_000).more
    positions = [lake.events.position(slot) for slot in range(3)]
    assert 0 < min(positions)
    assert max(positions) < 600
    while lake.load(log, size_bytes_max=20_000).more:
        pass
    lake.close()
    assert_loaded_once(tmp_path, 600, 3)


def test_clean_up_keeps_what_is_named_and_bounds_the_delta_log(pipeline: Pipeline) -> None:
    for n in range(40):
        pipeline.append([make_record(NOON + n * SECOND, event_id=f"o.{n}")])
        pipeline.lake.load(pipeline.log)
    pipeline.refresh()
    pipeline.compact()
    pipeline.lake.clean_up(0)
    files = list((pipeline.folder / "lake" / "events").rglob("part-*.parquet"))
    assert len(pipeline.lake.events.files()) == len(files) < 40
    reopened = Table(pipeline.folder / "lake" / "events", EVENTS)
    assert 40 == reopened.position(0)
    assert 40 == len(rows(reopened))


def test_somebody_else_may_compact_between_two_loads(pipeline: Pipeline) -> None:
    for n in range(8):
        pipeline.append([make_record(NOON + n * SECOND, event_id=f"o.{n}")])
        pipeline.refresh()
    other = Table(pipeline.lake.events.folder, EVENTS)
    (group,) = other.mergeable()
    assert 1 == len(other.replace(group, other.merge(duckdb.connect(), group)))
    pipeline.append([make_record(NOON + 9 * SECOND, event_id="o.9")])
    # The first commit meets a newer version and is given up; the next sees it.
    pipeline.refresh()
    pipeline.refresh()
    assert [(0, n) for n in range(9)] == rows(pipeline.lake.events)
    assert 9 == len(pipeline.events())


def test_files_that_another_compaction_has_replaced_are_not_replaced_again(
    pipeline: Pipeline,
) -> None:
    for n in range(8):
        pipeline.append([make_record(NOON + n * SECOND, event_id=f"o.{n}")])
        pipeline.refresh()
    table = pipeline.lake.events
    (group,) = table.mergeable()
    other = Table(table.folder, EVENTS)
    assert 1 == len(other.replace(group, other.merge(duckdb.connect(), group)))
    # This snapshot now holds the other's commit, so that Delta itself sees no conflict.
    table.update()
    assert [] == table.replace(group, other.merge(duckdb.connect(), group))
    assert [(0, n) for n in range(8)] == rows(table)


def test_loaded_segments_are_deleted_after_their_time(pipeline: Pipeline) -> None:
    fill(pipeline.folder, 100, 1)
    pipeline.lake.load(pipeline.log)
    pipeline.lake.free_log(pipeline.log, retention_h=24)
    assert_loaded_once(pipeline.folder, 100, 1)
    DiskLog(pipeline.folder / "log").settle_abandoned()
    before = len(segment.segments(pipeline.folder / "log" / "0"))
    pipeline.lake.free_log(pipeline.log, retention_h=0)
    assert 1 == len(segment.segments(pipeline.folder / "log" / "0")) < before
    pipeline.append([make_record(NOON + HOUR, event_id="later")])
    pipeline.lake.load(pipeline.log)
    assert 95 == len(rows(pipeline.lake.events))
