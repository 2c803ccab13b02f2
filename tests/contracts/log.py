"""What every log promises; `tests/test_log.py` runs this suite on each implementation."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any

import msgspec
import pytest

from doublet.errors import BusyError
from doublet.log import Log, Writer


def record(number: int, size: int = 0) -> bytes:
    """A record that can be told apart."""
    return b'{"record_type":"event","n":%d,"pad":"%s"}' % (number, b"x" * size)


class Commits:
    """Collects what a writer reports."""

    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.errors: list[BusyError] = []
        self._changed = threading.Condition()

    def __call__(self, tokens: list[Any], error: BusyError | None) -> None:
        with self._changed:
            self.tokens += tokens
            self.errors += [error] * len(tokens) if error else []
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Until that many submissions were reported."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.tokens) >= count, 30)


class LogContract:
    """Subclasses supply `make_log`, which opens the same stored log each time."""

    @abstractmethod
    def make_log(self) -> Log:
        """The log under test."""

    def append(self, *numbers: int) -> None:
        """Write records and wait until they are durable."""
        commits = Commits()
        writer = self.make_log().writer(commits)
        writer.submit([record(n) for n in numbers], 1)
        commits.wait_for(1)
        writer.close()
        assert [] == commits.errors

    def read_all(self, log: Log | None = None, size: int = 1 << 20) -> list[tuple[int, int, int]]:
        """(partition, offset, number) of all records."""
        log = log or self.make_log()
        found = []
        for partition in log.partitions():
            position = 0
            while (chunk := log.read(partition, position, size)) is not None:
                assert chunk.next_position > position
                for line in chunk.lines.splitlines():
                    fields = msgspec.json.decode(line)
                    if "record_type" in fields:
                        found.append((partition, fields["log_offset"], fields["n"]))
                position = chunk.next_position
        return found

    def test_an_empty_log_has_nothing_to_read(self) -> None:
        assert [] == self.read_all()

    def test_records_are_read_in_the_order_of_their_submission(self) -> None:
        self.append(1, 2, 3)
        self.append(4)
        assert [1, 2, 3, 4] == [n for _, _, n in self.read_all()]

    def test_offsets_rise_and_are_never_used_twice(self) -> None:
        for n in range(5):
            self.append(n)
        offsets = [offset for _, offset, _ in self.read_all()]
        assert sorted(set(offsets)) == offsets

    def test_reading_goes_on_from_a_position(self) -> None:
        self.append(1, 2)
        log = self.make_log()
        first = log.read(log.partitions()[0], 0, 1 << 20)
        assert first is not None
        assert log.read(first.partition, first.next_position, 1 << 20) is None
        self.append(3)
        second = log.read(first.partition, first.next_position, 1 << 20)
        assert second is not None
        assert b'"n":3' in second.lines
        assert b'"n":2' not in second.lines

    def test_small_reads_give_the_same_records(self) -> None:
        for n in range(20):
            self.append(n)
        assert self.read_all(size=1) == self.read_all()

    def test_every_submission_is_reported_once(self) -> None:
        commits = Commits()
        writer = self.make_log().writer(commits)
        for n in range(500):
            writer.submit([record(n)], n)
        commits.wait_for(500)
        writer.close()
        assert list(range(500)) == commits.tokens
        assert list(range(500)) == [n for _, _, n in self.read_all()]

    def test_closing_writes_what_is_queued(self) -> None:
        commits = Commits()
        writer = self.make_log().writer(commits)
        for n in range(50):
            writer.submit([record(n)], n)
        writer.close()
        assert 50 == len(commits.tokens)
        assert 50 == len(self.read_all())

    def test_two_writers_have_partitions_of_their_own(self) -> None:
        commits = Commits()
        log = self.make_log()
        writers: list[Writer] = [log.writer(commits), log.writer(commits)]
        for n, writer in enumerate(writers):
            writer.submit([record(n)], n)
        commits.wait_for(2)
        for writer in writers:
            writer.close()
        assert writers[0].slot != writers[1].slot
        assert {0, 1} == {n for _, _, n in self.read_all()}

    def test_a_partition_is_taken_again_after_its_writer_closed(self) -> None:
        self.append(1)
        self.append(2)
        assert 1 == len(self.make_log().partitions())

    def test_the_last_record_is_known_to_the_next_writer(self) -> None:
        self.append(1, 2)
        writer = self.make_log().writer(Commits())
        assert writer.last_record is not None
        assert 2 == msgspec.json.decode(writer.last_record)["n"]
        writer.close()

    def test_too_much_waiting_is_refused_at_once(self) -> None:
        writer = self.make_log().writer(Commits())

        def submit_without_end() -> None:
            for n in range(100_000):
                writer.submit([record(n, 10_000)], n)

        with pytest.raises(BusyError):
            submit_without_end()
        writer.close()

    def test_what_is_loaded_and_old_is_deleted_and_the_rest_stays(self) -> None:
        for n in range(6):
            self.append(n)
        log = self.make_log()
        partition = log.partitions()[0]
        everything = self.read_all()
        log.delete({partition: everything[3][1]}, older_than=2e10)
        left = [n for _, _, n in self.read_all()]
        assert [3, 4, 5] == [n for n in left if n >= 3]
        log.delete({partition: everything[-1][1] + 1}, older_than=0.0)
        assert left == [n for _, _, n in self.read_all()]
