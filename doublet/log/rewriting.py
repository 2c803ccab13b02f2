"""Changing records of a log segment that is complete, without moving a byte of the others.

A changed record is padded with blanks to the length it had, and its group gets a new trailer of
the length the old one had: so positions, offsets and the length that the next segment vouches for
all stay true. A new file replaces the old one in one step.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Container
from pathlib import Path

from doublet.errors import CorruptError
from doublet.log import segment

Change = Callable[[bytes], bytes]
"""Gets a record as JSON and returns it changed, no longer than it was."""

_SCRATCH = ".rewriting"
_offset_of = re.compile(rb'\{"log_offset":(\d+)[,}]').match
_CRC32_DIGITS_MAX = 10


def rewrite(path: Path, offsets: Container[int], change: Change) -> int:
    """Change the records at these offsets; how many did change.

    Raises CorruptError when a changed record does not fit. What follows the last good group of a
    damaged segment is left as it is; see `blank`.
    """
    data = path.read_bytes()
    pieces: list[bytes] = []
    begin = changed = 0
    for group in segment.groups(data):
        lines, count = _change_group(data[begin : group.end], group, offsets, change)
        pieces.append(lines)
        begin, changed = group.end, changed + count
    if changed:
        pieces.append(data[begin:])
        _replace(path, b"".join(pieces), len(data))
    return changed


def _change_group(
    whole: bytes, group: segment.Group, offsets: Container[int], change: Change
) -> tuple[bytes, int]:
    *lines, _ = whole.splitlines(keepends=True)
    changed = []
    for n, line in enumerate(lines):
        found = _offset_of(line)
        if found and int(found[1]) in offsets:
            record = change(line[:-1])
            if record.rstrip() != line.rstrip():
                lines[n] = record.ljust(len(line) - 1) + b"\n"
                changed.append(n)
    if not changed:
        return whole, 0
    return _frame(lines, changed[-1], len(whole), group), len(changed)


def _frame(lines: list[bytes], padded: int, size_bytes: int, group: segment.Group) -> bytes:
    """The group's lines and a trailer, together as long as before: the checksum may take more
    digits than the old one, which the blanks of a changed record then lack."""
    text = lines[padded][:-1].rstrip()
    others = sum(map(len, lines)) - len(lines[padded])
    for digits in range(_CRC32_DIGITS_MAX, 0, -1):
        tail = b',"next_offset":%d,"records":%d}\n' % (group.next_offset, group.records)
        room = size_bytes - others - len(b'{"crc32":') - digits - len(tail) - 1
        if room < len(text):
            continue
        body = b"".join([*lines[:padded], text.ljust(room), b"\n", *lines[padded + 1 :]])
        crc32 = b"%d" % zlib.crc32(body)
        if len(crc32) <= digits:
            return body + b'{"crc32":' + crc32.rjust(digits) + tail
    raise CorruptError(
        "A changed record does not fit where it was.",
        "Nothing was changed in this segment; please report this.",
    )


def blank(path: Path, is_wanted: Callable[[bytes], bool]) -> int:
    """Overwrite with blanks what no checksum vouches for: the lines behind the last good group of
    a segment, or every line of a damaged copy; how many lines were wanted."""
    data = path.read_bytes()
    end = max((group.end for group in segment.groups(data)), default=0)
    good = end if path.suffix == ".jsonl" else 0
    lines = data[good:].splitlines(keepends=True)
    wanted = [n for n, line in enumerate(lines) if line.strip() and is_wanted(line)]
    for n in wanted:
        bare = lines[n].rstrip(b"\r\n")
        lines[n] = b" " * len(bare) + lines[n][len(bare) :]
    if wanted:
        _replace(path, data[:good] + b"".join(lines), len(data))
    return len(wanted)


def remove_scratch(folder: Path) -> None:
    """Remove what a process that was killed has left in a slot's folder."""
    for path in folder.glob(f"*{_SCRATCH}"):
        path.unlink()


def _replace(path: Path, data: bytes, size_bytes: int) -> None:
    assert len(data) == size_bytes, "a segment must keep its length"
    status = path.stat()
    scratch = path.with_suffix(_SCRATCH)
    scratch.unlink(missing_ok=True)
    file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        # Its age decides when it is deleted.
        os.utime(stream.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(stream.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
