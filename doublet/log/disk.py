"""The log on disk: `FOLDER/SLOT/SEQUENCE.jsonl`, one slot per writing process."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from doublet.errors import BusyError, CorruptError
from doublet.log import Chunk, OnCommit, segment
from doublet.log.writer import ROTATE, DiskWriter, Limits, take_slot

_WRITE_S_MAX = 30.0
_LOOK_S = 0.05


class _Place(NamedTuple):
    """Where a position lies: byte `at` of a segment."""

    path: Path
    at: int


class DiskLog:
    """See `doublet.log.Log`. One instance is used by one thread."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder = folder
        self._limits = limits or Limits()
        self._places: dict[tuple[int, int], _Place] = {}

    def writer(self, on_commit: OnCommit) -> DiskWriter:
        """Take the first free slot."""
        return DiskWriter.take_any(self.folder, on_commit, self._limits)

    def partitions(self) -> list[int]:
        """The slots that exist."""
        if not self.folder.exists():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def read(self, partition: int, position: int, size_bytes_max: int) -> Chunk | None:
        """Verified records from `position` on; see `doublet.log.Log`."""
        place = self._places.pop((partition, position), None)
        if place is None or not place.path.exists():
            place = self._find(partition, position)
        parts: list[memoryview] = []
        next_position, room, records = position, size_bytes_max, 0
        while place is not None and room > 0:
            # Looked for before reading: only what has a successor by now is complete.
            following = self._after(place.path)
            lines, found = _read_groups(place, room)
            if found:
                if any(group.records for group in found):
                    parts.append(lines)
                    room -= len(lines)
                    records += sum(group.records for group in found)
                next_position = found[-1].next_offset
                place = _Place(place.path, found[-1].end)
                continue
            try:
                _check_sound(place, following)
            except CorruptError:
                if parts:
                    break
                raise
            if following is None:
                break
            place = _Place(following, 0)
        if not parts:
            # The caller comes again with the same position, wherever the next record will be.
            next_position = position
        if place is not None:
            self._places[partition, next_position] = place
        return Chunk(partition, next_position, parts, records) if parts else None

    def _find(self, partition: int, position: int) -> _Place | None:
        """The place of a position that this instance has not handed out itself."""
        paths = segment.segments(self.folder / str(partition))
        if not paths:
            return None
        before = [path for path in paths if segment.first_offset(path) <= position]
        path = before[-1] if before else paths[0]
        segment.read_header(path)
        at = 0
        for group in segment.groups(path.read_bytes()):
            if group.next_offset > position:
                break
            at = group.end
        return _Place(path, at)

    def _after(self, path: Path) -> Path | None:
        return next((p for p in segment.segments(path.parent) if p.name > path.name), None)

    def delete(self, positions: dict[int, int], older_than: float) -> int:
        """Delete segments that are loaded and older; the newest of each slot stays."""
        freed = 0
        for partition, position in positions.items():
            paths = segment.segments(self.folder / str(partition))
            # Behind a failed group the next record's offset is not known before it is there.
            place = self._places.get((partition, position))
            reached = place.path.name if place else ""
            for path, following in pairwise(paths):
                is_read = segment.first_offset(following) <= position or following.name <= reached
                status = path.stat()
                if not is_read or status.st_mtime > older_than:
                    break
                path.unlink()
                freed += status.st_size
        return freed

    def settle_abandoned(self) -> None:
        """Recover and close the slots that no process writes to, so that they can be read to
        their end and deleted in time."""
        for partition in self.partitions():
            self._settle(partition)

    def _settle(self, partition: int) -> bool:
        """False when a process writes to this slot."""
        lock = take_slot(self.folder, partition)
        if lock is None:
            return False
        DiskWriter(self.folder, partition, lock, _nobody_waits, self._limits).close(rotate=True)
        return True

    def close_segments(self, wait_s: float = 30.0) -> None:
        """Have every slot begin a new segment, so that what is written by now lies in complete
        ones. Raises BusyError when a writer does not do so within `wait_s`."""
        asked = []
        for partition in self.partitions():
            if not self._settle(partition):
                (self.folder / str(partition) / ROTATE).touch(mode=0o600)
                asked.append(partition)
        give_up_at = time.monotonic() + wait_s
        while asked := [p for p in asked if (self.folder / str(p) / ROTATE).exists()]:
            if time.monotonic() >= give_up_at:
                raise BusyError(
                    f"Log slot {asked[0]} begins no new segment.", "Is the disk full, or failing?"
                )
            time.sleep(_LOOK_S)
            for partition in asked:
                # Its writer may have ended since.
                if self._settle(partition):
                    (self.folder / str(partition) / ROTATE).unlink(missing_ok=True)

    def complete_segments(self) -> list[tuple[int, Path]]:
        """Partition and file of every segment that nobody writes to any more."""
        return [
            (partition, path)
            for partition in self.partitions()
            for path in segment.segments(self.folder / str(partition))[:-1]
        ]

    def damaged_copies(self) -> list[tuple[int, Path]]:
        """Partition and file of every segment that was kept for a person to look at."""
        return [
            (partition, path)
            for partition in self.partitions()
            for path in sorted((self.folder / str(partition)).glob("*.damaged"))
        ]


def _nobody_waits(tokens: list[Any], error: BusyError | None) -> None:
    """The commit callback of a writer that gets no submissions."""


def _read_groups(place: _Place, size_bytes_max: int) -> tuple[memoryview, list[segment.Group]]:
    """The complete groups at `place`: at least one if there is one."""
    try:
        file = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return memoryview(b""), []
    try:
        size = size_bytes_max
        while True:
            data = os.pread(file, size, place.at)
            found = list(segment.groups(data, place.at))
            if found or len(data) < size:
                break
            size *= 2
        if not found:
            return memoryview(b""), []
        # A group may be complete in memory and not yet on the disk. Were it loaded now and lost
        # in a power cut, its offsets would be given out again.
        os.fdatasync(file)
        return memoryview(data)[: found[-1].end - place.at], found
    finally:
        os.close(file)


def _check_sound(place: _Place, following: Path | None) -> None:
    """What follows the last complete group must be a write under way, not damage.

    A segment that has a successor must be whole up to the length recorded there.
    """
    if following is not None:
        header = segment.read_header(following)
        if header is None or place.at >= header.previous_size_bytes:
            return
        size = header.previous_size_bytes
    else:
        try:
            status = place.path.stat()
        except FileNotFoundError:
            return
        if status.st_size <= place.at or time.time() - status.st_mtime < _WRITE_S_MAX:
            return
        size = status.st_size
    raise CorruptError(
        f"{place.path} is damaged at byte {place.at} of {size}.",
        "Restart the server to cut off a torn end; otherwise restore the file from a backup, or "
        "move it away to load what follows.",
    )
