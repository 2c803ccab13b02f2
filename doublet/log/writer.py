"""One writer of one slot: a thread that makes many waiting submissions durable at once.

Promises: `on_commit` without an error means that the records survive kill -9 and power cut; with
an error none of them will be read. Offsets of a failed group are never used again, since a reader
may have seen them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from doublet.errors import BusyError, LockedError
from doublet.log import OnCommit, segment

logger = logging.getLogger(__name__)

SLOTS_MAX = 1024
ROTATE = "rotate"
"""A file of this name in a slot's folder asks its writer to begin a new segment."""
_GROUP_SIZE_BYTES_MAX = 4 << 20
_IDLE_S = 1.0


class Files:
    """The system calls that durability rests on; the crash test records them."""

    def create(self, path: Path) -> int:
        """Open a new file for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """Open an existing file for writing."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def write(self, file: int, data: bytes, at: int) -> None:
        """Write all of `data` at byte `at`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, at)
            view, at = view[written:], at + written

    def sync(self, file: int) -> None:
        """Wait until the file's content is on the disk."""
        os.fdatasync(file)

    def truncate(self, file: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(file, size)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_folder(self, path: Path) -> None:
        """Wait until created and removed names are on the disk."""
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Limits:
    """What bounds a writer; see the settings of the same names."""

    def __init__(
        self,
        queue_size_bytes_max: int = 32 << 20,
        segment_size_bytes: int = 64 << 20,
        segment_age_s: float = 3600.0,
        disk_free_bytes_min: int = 0,
        first_offset: int = 0,
    ) -> None:
        """`first_offset` is where a slot without segments begins."""
        self.queue_size_bytes_max = queue_size_bytes_max
        self.segment_size_bytes = segment_size_bytes
        self.segment_age_s = segment_age_s
        self.disk_free_bytes_min = disk_free_bytes_min
        self.first_offset = first_offset


def fresh_offset() -> int:
    """Where to begin a slot without segments: microseconds since 1970.

    The lake may remember offsets of segments that somebody has removed, and takes all below them
    for loaded; the clock is beyond them, since no slot takes a million records a second for long.
    """
    return time.time_ns() // 1000


def take_slot(folder: Path, slot: int) -> int | None:
    """Lock a slot, made if need be; the file descriptor that holds it, None when another process
    does."""
    place = folder / str(slot)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    # Also when it is not new: the process that made it may have been killed before this.
    for around in (folder, folder.absolute().parent):
        Files().sync_folder(around)
    return lock


class DiskWriter:
    """The writer of one slot; recovers its tail when it opens."""

    def __init__(
        self,
        folder: Path,
        slot: int,
        lock: int,
        on_commit: OnCommit,
        limits: Limits,
        files: Files | None = None,
    ) -> None:
        self.slot = slot
        self.last_record: bytes | None = None
        self._place = folder / str(slot)
        self._lock = lock
        self._on_commit = on_commit
        self._limits = limits
        self._files = files or Files()
        self._file = -1
        self._size = 0
        self._offset = 0
        self._offset_of_segment = 0
        self._began_at = 0.0
        self._tended_at = 0.0
        self._sound = True
        self._disk_low = False
        self._submitted_bytes = 0
        self._settled_bytes = 0
        self._queue: queue.SimpleQueue[tuple[Sequence[bytes], Any, int] | None] = (
            queue.SimpleQueue()
        )
        self._recover()
        self._tend()
        self._thread = threading.Thread(target=self._run, name=f"log-{slot}", daemon=True)
        self._thread.start()

    @classmethod
    def take_any(cls, folder: Path, on_commit: OnCommit, limits: Limits) -> DiskWriter:
        """Take the first free slot. Raises LockedError when there is none."""
        for slot in range(SLOTS_MAX):
            lock = take_slot(folder, slot)
            if lock is not None:
                return cls(folder, slot, lock, on_commit, limits)
        raise LockedError(f"All {SLOTS_MAX} log slots are taken.", "Start fewer processes.")

    @property
    def offset(self) -> int:
        """Where the next record will lie, while nothing that was submitted is waiting."""
        return self._offset

    def submit(self, records: Sequence[bytes], token: Any) -> None:
        """Queue records for the next commit group; see `doublet.log.Writer`."""
        size = sum(map(len, records))
        if self._disk_low:
            raise BusyError("The disk is nearly full.", "Free disk space on the server.")
        if (
            self._submitted_bytes - self._settled_bytes + size > self._limits.queue_size_bytes_max
            and self._submitted_bytes != self._settled_bytes
        ):
            raise BusyError("Too many events are waiting for the disk.", "Try again later.")
        self._submitted_bytes += size
        self._queue.put((records, token, size))

    def close(self, *, rotate: bool = False) -> None:
        """Write what is queued, stop the thread, release the slot.

        `rotate` leaves an empty segment behind, so that all others can be deleted in time.
        """
        self._queue.put(None)
        self._thread.join()
        if rotate and self._offset_of_segment != self._offset:
            self._begin_segment(self._offset)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        os.close(self._lock)

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            # Without this thread no request would ever be answered; a new process opens the slot.
            logger.exception("writer-lost slot=%d", self.slot)
            os._exit(1)

    def _work(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=_IDLE_S)
                if first is None or not self._gather(first):
                    return
            except queue.Empty:
                pass
            if time.monotonic() - self._tended_at >= _IDLE_S:
                self._tend()

    def _gather(self, first: tuple[Sequence[bytes], Any, int]) -> bool:
        """Commit `first` and all that waits behind it; False when the writer is to stop."""
        records, tokens, size, go_on = list(first[0]), [first[1]], first[2], True
        while size < _GROUP_SIZE_BYTES_MAX:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                go_on = False
                break
            records += item[0]
            tokens.append(item[1])
            size += item[2]
        error = self._commit(records)
        self._settled_bytes += size
        self._on_commit(tokens, error)
        return go_on

    def _commit(self, records: list[bytes]) -> BusyError | None:
        """Make one group durable; an error means that nothing of it will be read."""
        offset = self._offset
        self._offset += len(records)
        try:
            if not self._sound or self._is_due(offset):
                self._begin_segment(offset)
            data = segment.frame(segment.stamp(records, offset), self._offset, len(records))
            self._files.write(self._file, data, self._size)
            self._files.sync(self._file)
        except OSError as error:
            logger.error("append-failed slot=%d offset=%d error=%s", self.slot, offset, error)
            self._cut_back()
            return BusyError(f"The log cannot be written: {error.strerror}.", "Look at the disk.")
        self._size += len(data)
        return None

    def _cut_back(self) -> None:
        """Remove a failed group; the next one goes into a new segment.

        After a failed sync nobody knows which pages the disk holds (LWN, *PostgreSQL's fsync()
        surprise*, 2018), so the segment is not written to again.
        """
        self._sound = False
        if self._file < 0:
            return
        try:
            self._files.truncate(self._file, self._size)
            self._files.sync(self._file)
        except OSError as error:
            logger.error("cut-back-failed slot=%d error=%s", self.slot, error)

    def _is_due(self, offset: int, is_asked: bool = False) -> bool:
        """Whether the segment is full, old or to be closed; one without records is never
        replaced."""
        if self._offset_of_segment == offset:
            return False
        if is_asked:
            return True
        age_s = time.monotonic() - self._began_at
        return self._size >= self._limits.segment_size_bytes or age_s >= self._limits.segment_age_s

    def _begin_segment(self, offset: int) -> None:
        path = self._place / segment.name(offset)
        data = segment.frame_header(self.slot, offset, self._size)
        file = self._files.create(path)
        try:
            self._files.write(file, data, 0)
            self._files.sync(file)
            self._files.sync_folder(self._place)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._sound = file, len(data), True
        self._offset_of_segment = offset
        self._began_at = time.monotonic()

    def _tend(self) -> None:
        """Once a second: watch the disk, close a segment that has grown old or is to be closed."""
        self._tended_at = time.monotonic()
        free = os.statvfs(self._place)
        self._disk_low = free.f_bavail * free.f_frsize < self._limits.disk_free_bytes_min
        is_asked = (self._place / ROTATE).exists()
        if self._sound and not self._disk_low and self._is_due(self._offset, is_asked):
            try:
                self._begin_segment(self._offset)
            except OSError as error:
                logger.error("rotate-failed slot=%d error=%s", self.slot, error)
        if is_asked and self._offset_of_segment == self._offset:
            (self._place / ROTATE).unlink(missing_ok=True)

    # --- opening ------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Find the end of the last complete group, cut off what is torn behind it."""
        paths = segment.segments(self._place)
        floor = segment.first_offset(paths[-1]) if paths else 0
        while paths:
            path = paths.pop()
            # What a newer version wrote may look torn, and is not ours to cut.
            segment.read_header(path)
            data = path.read_bytes()
            found = list(segment.groups(data))
            if segment.is_damaged(data, found[-1].end if found else 0):
                self._keep_damaged(path)
                floor = max(floor, self._limits.first_offset)
            if not found:
                # Its first sync never returned, so nothing in it was answered.
                self._files.remove(path)
                self._files.sync_folder(self._place)
                continue
            self._resume(path, data, found)
            self._offset = max(self._offset, floor)
            self.last_record = _last_record(data[: self._size]) or self._last_before(paths)
            return
        self._begin_first(max(floor, self._limits.first_offset))

    def _keep_damaged(self, path: Path) -> None:
        """Copy a damaged segment for a person to look at, before it is cut to its good part."""
        kept = path.with_suffix(".damaged")
        shutil.copyfile(path, kept)
        with kept.open("rb") as copy:
            os.fsync(copy.fileno())
        self._files.sync_folder(self._place)
        logger.error("segment-damaged slot=%d kept-as=%s", self.slot, kept)

    def _resume(self, path: Path, data: bytes, found: list[segment.Group]) -> None:
        end, self._offset, _ = found[-1]
        self._file = self._files.open(path)
        if end < len(data):
            logger.warning("torn-tail slot=%d bytes=%d", self.slot, len(data) - end)
            self._files.truncate(self._file, end)
        # What the previous process wrote may not have reached the disk yet.
        self._files.sync(self._file)
        self._files.sync_folder(self._place)
        self._size = end
        self._offset_of_segment = segment.first_offset(path)
        self._began_at = time.monotonic() - max(0.0, time.time() - path.stat().st_mtime)

    def _begin_first(self, offset: int) -> None:
        self._offset = offset
        try:
            self._begin_segment(offset)
        except OSError as error:
            logger.error("begin-failed slot=%d error=%s", self.slot, error)
            self._sound = False

    @staticmethod
    def _last_before(paths: list[Path]) -> bytes | None:
        found = (_last_record(path.read_bytes()) for path in reversed(paths))
        return next((record for record in found if record), None)


def _last_record(data: bytes) -> bytes | None:
    end = data.rfind(b'\n{"crc32":')
    while end > 0:
        start = data.rfind(b"\n", 0, end) + 1
        line = data[start:end]
        if line.startswith(b'{"log_offset":'):
            return line
        end = start - 1 if start else 0
    return None
