"""What lies behind a position of a slot, for copying: whole verified groups of every segment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from doublet.errors import CorruptError
from doublet.log import segment


class Piece(NamedTuple):
    """The sound beginning of a segment: its file name, its bytes, the offset after its last group,
    and how many of its records lie at or behind the position that was asked for."""

    name: str
    data: memoryview
    next_offset: int
    records: int


def names(place: Path) -> list[str]:
    """The file names of a slot's segments, oldest first."""
    return [path.name for path in segment.segments(place)]


def tail(place: Path, position: int, known: Iterable[str] = ()) -> Iterator[Piece]:
    """From the segment that holds `position` on, oldest first; the newest one may still grow.

    `known` names segments that were there before: one that is gone, though it would be needed,
    raises FileNotFoundError. Raises CorruptError when bytes are not what was written.
    """
    paths = [place / name for name in sorted({*known, *names(place)})]
    before = [path for path in paths if segment.first_offset(path) <= position]
    wanted = [path for path in paths if not before or path >= before[-1]]
    for path, following in zip(wanted, [*wanted[1:], None], strict=False):
        data = _read(path)
        segment.read_header(path)
        groups = list(segment.groups(data))
        end = groups[-1].end if groups else 0
        header = segment.read_header(following) if following else None
        if segment.is_damaged(data, end) if header is None else end < header.previous_size_bytes:
            raise CorruptError(
                f"{path} is damaged at byte {end} of {len(data)}.",
                "Start the server again: it keeps a copy and goes on behind the good part.",
            )
        if groups:
            records = sum(group.records for group in groups if group.next_offset > position)
            yield Piece(path.name, memoryview(data)[:end], groups[-1].next_offset, records)


def _read(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # A group may be complete in memory and not yet on the disk; then nobody was promised it.
        os.fdatasync(file)
        with os.fdopen(os.dup(file), "rb") as stream:
            return stream.read()
    finally:
        os.close(file)
