"""The disk log: the contract, damage, full disks, and every crash the hardware allows."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.errors import BusyError, CorruptError, NewerFormatError
from doublet.log import segment
from doublet.log.disk import DiskLog
from doublet.log.writer import DiskWriter, Files, Limits, take_slot
from tests.contracts.log import Commits, LogContract, record
from tests.synced import watch_synced

SMALL = Limits(queue_size_bytes_max=1 << 20, segment_size_bytes=60)


class TestDiskLog(LogContract):
    """The contract on disk, with segments so small that every group has its own."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "log"

    def make_log(self) -> DiskLog:
        return DiskLog(self.folder, SMALL)


class TestDiskLogWithLargeSegments(LogContract):
    """The contract where all groups share one segment."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "log"

    def make_log(self) -> DiskLog:
        return DiskLog(self.folder, Limits(queue_size_bytes_max=1 << 20))

    def test_what_is_loaded_and_old_is_deleted_and_the_rest_stays(self) -> None:
        self.append(1)
        self.make_log().delete({0: 1}, older_than=2e10)
        assert [1] == [n for _, _, n in self.read_all()]


def _open(folder: Path, files: Files | None = None, limits: Limits | None = None) -> Any:
    lock = take_slot(folder, 0)
    assert lock is not None
    commits = Commits()
    return DiskWriter(folder, 0, lock, commits, limits or Limits(), files), commits


def _numbers(folder: Path) -> list[int]:
    log, position, found = DiskLog(folder), 0, []
    while (chunk := log.read(0, position, 1 << 20)) is not None:
        lines = [msgspec.json.decode(line) for line in chunk.lines.splitlines()]
        found += [line["n"] for line in lines if "record_type" in line]
        position = chunk.next_position
    return found


def _write(folder: Path, *numbers: int, limits: Limits | None = None) -> None:
    writer, commits = _open(folder, limits=limits)
    for n in numbers:
        writer.submit([record(n)], n)
        commits.wait_for(numbers.index(n) + 1)
    writer.close()


def test_a_torn_tail_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    (path,) = segment.segments(tmp_path / "0")
    with path.open("ab") as file:
        file.write(b'{"log_offset":2,"record_type":"event","n":99}\n{"crc')
    _write(tmp_path, 3)
    assert [1, 2, 3] == _numbers(tmp_path)


@pytest.mark.parametrize(("damaged", "kept"), [(1, []), (2, [1])])
def test_damage_is_no_torn_tail_and_a_copy_of_it_is_kept(
    tmp_path: Path, damaged: int, kept: list[int]
) -> None:
    _write(tmp_path, 1, 2, 3)
    (path,) = segment.segments(tmp_path / "0")
    data = bytearray(path.read_bytes())
    data[data.index(b'"n":%d' % damaged)] ^= 1
    path.write_bytes(data)
    _write(tmp_path, 4, limits=Limits(first_offset=1000))
    assert [*kept, 4] == _numbers(tmp_path)
    (copy,) = (tmp_path / "0").glob("*.damaged")
    assert bytes(data) == copy.read_bytes()


def test_a_slot_whose_segments_are_gone_begins_beyond_them(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2, 3)
    shutil.rmtree(tmp_path / "0")
    _write(tmp_path, 4, limits=Limits(first_offset=1000))
    chunk = DiskLog(tmp_path).read(0, 3, 1 << 20)
    assert chunk is not None
    assert (1001, 1) == (chunk.next_position, chunk.records)


def test_a_damaged_segment_is_named_and_its_slot_stops(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2, 3, limits=SMALL)
    path = segment.segments(tmp_path / "0")[1]
    data = bytearray(path.read_bytes())
    data[data.index(b'"n":2')] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="damaged at byte"):
        _numbers(tmp_path)


def test_damage_in_the_last_segment_is_noticed_once_it_is_old(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    (path,) = segment.segments(tmp_path / "0")
    data = bytearray(path.read_bytes())
    data[data.index(b'"n":2')] ^= 1
    path.write_bytes(data)
    assert [1] == _numbers(tmp_path)
    os.utime(path, (1, 1))
    with pytest.raises(CorruptError, match="damaged at byte"):
        _numbers(tmp_path)


@pytest.mark.parametrize("is_framed_alike", [True, False])
def test_a_format_of_the_future_is_neither_read_nor_written_to(
    tmp_path: Path, is_framed_alike: bool
) -> None:
    _write(tmp_path, 1)
    (path,) = segment.segments(tmp_path / "0")
    future = b'{"format":"doublet-log","version":2,"other":0}\n{"log_offset":0}\n'
    before = segment.frame([future], 1, 1) if is_framed_alike else future
    path.write_bytes(before)
    with pytest.raises(NewerFormatError, match=r"has format 2; this .* up to 1"):
        _open(tmp_path)
    with pytest.raises(NewerFormatError, match="newer"):
        DiskLog(tmp_path).read(0, 0, 1 << 20)
    assert before == path.read_bytes()


class FullDisk(Files):
    """Fails like a full disk while `full` is set: half a write, then ENOSPC."""

    full = False
    fail_sync = False

    def write(self, file: int, data: bytes, at: int) -> None:
        if self.full:
            os.pwrite(file, data[: len(data) // 2], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, data, at)

    def sync(self, file: int) -> None:
        super().sync(file)
        if self.fail_sync:
            raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("fault", ["full", "fail_sync"])
def test_a_failing_disk_costs_only_what_was_refused(tmp_path: Path, fault: str) -> None:
    files = FullDisk()
    writer, commits = _open(tmp_path, files)
    for n, broken in enumerate([False, True, True, False, True, False]):
        setattr(files, fault, broken)
        writer.submit([record(n)], n)
        commits.wait_for(n + 1)
    writer.close()
    assert 3 == len(commits.errors)
    assert all(isinstance(error, BusyError) for error in commits.errors)
    assert [0, 3, 5] == _numbers(tmp_path)


def test_a_nearly_full_disk_is_refused_before_it_is_full(tmp_path: Path) -> None:
    writer, _ = _open(tmp_path, limits=Limits(disk_free_bytes_min=1 << 60))
    with pytest.raises(BusyError, match="nearly full"):
        writer.submit([record(1)], 1)
    writer.close()


def test_an_abandoned_slot_can_be_deleted_to_its_end(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    log = DiskLog(tmp_path)
    log.settle_abandoned()
    assert [1, 2] == _numbers(tmp_path)
    assert log.delete({0: 2}, older_than=2e10) > 0
    assert [] == _numbers(tmp_path)
    _write(tmp_path, 3)
    assert [3] == _numbers(tmp_path)
    assert 2 == segment.first_offset(segment.segments(tmp_path / "0")[0])


class Interleaved(DiskLog):
    """Lets the writer go on just before and after a reader looks for the next segment."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def _after(self, path: Path) -> Path | None:
        before, self.before = self.before, None
        if before:
            before()
        found = super()._after(path)
        after, self.after = self.after, None
        if after:
            after()
        return found


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_rotation_while_the_log_is_read_is_no_damage(tmp_path: Path, moment: str) -> None:
    writer, commits = _open(tmp_path, limits=Limits(segment_size_bytes=300))

    def go_on() -> None:
        for n in (2, 3, 4):
            writer.submit([record(n)], n)
            commits.wait_for(n)

    writer.submit([record(1)], 1)
    commits.wait_for(1)
    log = Interleaved(tmp_path)
    first = log.read(0, 0, 1 << 20)
    assert first is not None
    assert 1 == len(segment.segments(tmp_path / "0"))
    setattr(log, moment, go_on)
    position, found = first.next_position, b""
    for _ in range(2):
        chunk = log.read(0, position, 1 << 20)
        if chunk is not None:
            position, found = chunk.next_position, found + chunk.lines
    writer.close()
    assert len(segment.segments(tmp_path / "0")) > 1
    assert 4 == position
    assert all(b'"n":%d' % n in found for n in (2, 3, 4))


def _fail_then_rotate(folder: Path) -> None:
    """A slot whose last group failed, and behind it a segment without records."""
    files = FullDisk()
    writer, commits = _open(folder, files)
    writer.submit([record(1)], 1)
    commits.wait_for(1)
    files.full = True
    writer.submit([record(2), record(3)], 2)
    commits.wait_for(2)
    files.full = False
    writer.close(rotate=True)
    assert [0, 3] == [segment.first_offset(path) for path in segment.segments(folder / "0")]


def test_a_gap_before_an_empty_segment_is_read_once(tmp_path: Path) -> None:
    _fail_then_rotate(tmp_path)
    log = DiskLog(tmp_path)
    first = log.read(0, 0, 1 << 20)
    assert first is not None
    assert (3, 1) == (first.next_position, first.records)
    # A reader that was there before the failed group and the segment behind it.
    assert log.read(0, 1, 1 << 20) is None
    path = segment.segments(tmp_path / "0")[0]
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":0'))
    assert log.read(0, 1, 1 << 20) is None
    _write(tmp_path, 4)
    chunk = log.read(0, 1, 1 << 20)
    assert chunk is not None
    assert (4, 1) == (chunk.next_position, chunk.records)


def test_a_segment_before_a_gap_can_be_deleted(tmp_path: Path) -> None:
    _fail_then_rotate(tmp_path)
    log = DiskLog(tmp_path)
    assert 0 == log.delete({0: 1}, older_than=2e10)
    assert log.read(0, 1, 1 << 20) is None
    assert log.delete({0: 1}, older_than=2e10) > 0
    assert [3] == [segment.first_offset(path) for path in segment.segments(tmp_path / "0")]
    assert log.read(0, 1, 1 << 20) is None


def test_a_segment_that_could_not_be_begun_holds_no_reader_up(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    # A reader may see a new segment just before its writer has to give it up.
    begun = tmp_path / "0" / segment.name(1)
    begun.touch()
    log = DiskLog(tmp_path)
    assert log.read(0, 0, 1 << 20) is not None
    begun.unlink()
    _write(tmp_path, 2)
    chunk = log.read(0, 1, 1 << 20)
    assert chunk is not None
    assert (2, 1) == (chunk.next_position, chunk.records)


def test_the_folders_of_a_slot_are_named_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watch_synced(monkeypatch)
    lock = take_slot(tmp_path / "log", 0)
    assert lock is not None
    os.close(lock)
    assert {tmp_path, tmp_path / "log"} <= synced


# --- crashes ---------------------------------------------------------------------------------
# The writer's system calls are recorded. A crash may lose any part of what was not synced: of a
# file's bytes any subset of 512-byte sectors (the rest reads as zeros), of a folder any names.

SECTOR = 512


class Recorder(Files):
    """Performs every call and notes it; `answered` notes what was reported as durable."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        file = super().create(path)
        self._names[file] = path.name
        self.calls.append(("create", path.name))
        return file

    def open(self, path: Path) -> int:
        file = super().open(path)
        self._names[file] = path.name
        return file

    def write(self, file: int, data: bytes, at: int) -> None:
        super().write(file, data, at)
        self.calls.append(("write", self._names[file], data, at))

    def sync(self, file: int) -> None:
        super().sync(file)
        self.calls.append(("sync", self._names[file]))

    def truncate(self, file: int, size: int) -> None:
        super().truncate(file, size)
        self.calls.append(("truncate", self._names[file], size))

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.calls.append(("sync_folder",))


class Disk:
    """What a disk may hold after some calls: durable content, and writes that may be lost."""

    def __init__(self) -> None:
        self.durable: dict[str, bytes] = {}
        self.named: set[str] = set()
        self.pending: dict[str, list[tuple[int, bytes]]] = {}

    def apply(self, call: tuple[Any, ...]) -> None:
        match call:
            case ("create", name):
                self.durable[name] = b""
                self.pending[name] = []
            case ("write", name, data, at):
                self.pending[name] += [
                    (at + i, data[i : i + SECTOR]) for i in range(0, len(data), SECTOR)
                ]
            case ("sync", name):
                self.durable[name] = _patched(self.durable[name], self.pending[name])
                self.pending[name] = []
            case ("sync_folder",):
                self.named = set(self.durable)

    def crash(self, choose: Callable[[], bool], folder: Path) -> None:
        """Write down one of the states that a power cut may leave."""
        for name, content in self.durable.items():
            if name in self.named or choose():
                survived = [write for write in self.pending[name] if choose()]
                (folder / name).write_bytes(_patched(content, survived))


def _patched(content: bytes, writes: list[tuple[int, bytes]]) -> bytes:
    size = max([len(content), *(at + len(data) for at, data in writes)])
    patched = bytearray(content.ljust(size, b"\0"))
    for at, data in writes:
        patched[at : at + len(data)] = data
    return bytes(patched)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("segment_size_bytes", [2500, 1 << 20])
def test_no_crash_loses_what_was_answered(
    tmp_path: Path, seed: int, segment_size_bytes: int
) -> None:
    chance = random.Random(seed)
    recorder = Recorder()
    calls = recorder.calls
    done = threading.Semaphore(0)

    def on_commit(tokens: list[Any], error: BusyError | None) -> None:
        assert error is None
        calls.extend(("answered", n) for numbers in tokens for n in numbers)
        done.release()

    place = tmp_path / "written"
    lock = take_slot(place, 0)
    assert lock is not None
    limits = Limits(segment_size_bytes=segment_size_bytes)
    writer = DiskWriter(place, 0, lock, on_commit, limits, recorder)
    number = 0
    for _ in range(25):
        size = chance.randint(1, 6)
        numbers = range(number, number + size)
        writer.submit([record(n, chance.choice([0, 100, 900])) for n in numbers], numbers)
        done.acquire()
        number += size
    writer.close()

    for point in range(1, len(calls) + 1):
        disk, answered = Disk(), []
        for call in calls[:point]:
            if call[0] == "answered":
                answered.append(call[1])
            else:
                disk.apply(call)
        for odds in (0.0, 0.5, 0.9, 1.0):
            crashed = tmp_path / "crashed"
            shutil.rmtree(crashed, ignore_errors=True)
            (crashed / "0").mkdir(parents=True)
            disk.crash(lambda odds=odds: chance.random() < odds, crashed / "0")  # type: ignore[misc]
            _write(crashed, 10_000)
            found = _numbers(crashed)
            assert 10_000 == found[-1]
            assert found[:-1] == list(range(len(found) - 1))
            assert len(found) - 1 >= len(answered)
