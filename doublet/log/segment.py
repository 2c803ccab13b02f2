"""The format of a log segment, version 1; docs/formats.md describes it for other readers.

A segment is JSON lines: a header, then commit groups. A group is any number of records and a
trailer with the CRC-32 of all bytes since the previous trailer; the header belongs to the first
group. A group whose trailer matches is complete; everything after the last such group is torn.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from doublet.errors import CorruptError, NewerFormatError

FORMAT = "doublet-log"
VERSION = 1
_TRAILER_START = b'\n{"crc32":'


class Stamp(msgspec.Struct):
    """What the header of every version says."""

    format: str
    version: int


class Header(Stamp):
    """First line. `previous_size_bytes` is the good length of the segment before this one."""

    slot: int
    first_offset: int
    previous_size_bytes: int


class Trailer(msgspec.Struct):
    """Last line of a commit group; `next_offset` is the offset after its last record."""

    crc32: int
    next_offset: int
    records: int


class Group(NamedTuple):
    """A verified group: where it ends in the segment, the offset after it, its records."""

    end: int
    next_offset: int
    records: int


_encode = msgspec.json.encode
_decode_stamp = msgspec.json.Decoder(Stamp).decode
_decode_header = msgspec.json.Decoder(Header).decode
_decode_trailer = msgspec.json.Decoder(Trailer).decode


def name(first_offset: int) -> str:
    """File name of the segment that begins with this offset."""
    return f"{first_offset:020d}.jsonl"


def segments(folder: Path) -> list[Path]:
    """The segments of one slot, oldest first."""
    return sorted(folder.glob("*.jsonl"))


def first_offset(path: Path) -> int:
    """Offset that a segment's name promises."""
    return int(path.stem)


def frame(lines: Sequence[bytes], next_offset: int, records: int) -> bytes:
    """Complete a group: `lines` (each with its newline) and the trailer that vouches for them."""
    crc32 = 0
    for line in lines:
        crc32 = zlib.crc32(line, crc32)
    # Joined once: a group may be megabytes.
    trailer = b'{"crc32":%d,"next_offset":%d,"records":%d}\n' % (crc32, next_offset, records)
    return b"".join((*lines, trailer))


def frame_header(slot: int, offset: int, previous_size_bytes: int) -> bytes:
    """The first group of a new segment: its header."""
    header = Header(FORMAT, VERSION, slot, offset, previous_size_bytes)
    return frame([_encode(header) + b"\n"], offset, 0)


def stamp(records: Sequence[bytes], offset: int) -> list[bytes]:
    """Records as lines that bear their offsets."""
    return [b'{"log_offset":%d,%s\n' % (n, record[1:]) for n, record in enumerate(records, offset)]


def read_header(path: Path) -> Header | None:
    """The header of a segment, None if it is torn. Raises NewerFormatError for a version that this
    one does not know, CorruptError for another format."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        stamp = _decode_stamp(line)
        if stamp.format == FORMAT and stamp.version > VERSION:
            raise NewerFormatError(str(path), stamp.version, VERSION)
        header = _decode_header(line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    if (header.format, header.version) != (FORMAT, VERSION):
        raise CorruptError(
            f"{path} has format {header.format} version {header.version}.",
            f"This version of Doublet reads {FORMAT} version {VERSION}.",
        )
    return header


def is_damaged(data: bytes, end: int) -> bool:
    """Whether complete groups lie behind `end`, where the good ones stop.

    One group is written at a time, and only after the one before it was synced: so a torn end
    holds at most one trailer, as its last line. Anything else is damage, not a torn end.
    """
    torn = data[end:]
    at = torn.find(_TRAILER_START)
    return at >= 0 and torn.find(b"\n", at + 1) not in (-1, len(torn) - 1)


def groups(data: bytes, start: int = 0) -> Iterator[Group]:
    """The complete groups in `data`, which begins at a group's beginning.

    Stops at the first that is torn. `start` is added to the positions that are returned.
    """
    whole = memoryview(data)
    begin = 0
    while True:
        at = data.find(_TRAILER_START, begin)
        end = data.find(b"\n", at + 1) + 1 if at >= 0 else 0
        if not end:
            return
        try:
            trailer = _decode_trailer(data[at + 1 : end])
        except (msgspec.MsgspecError, UnicodeError):
            return
        if zlib.crc32(whole[begin : at + 1]) != trailer.crc32:
            return
        yield Group(start + end, trailer.next_offset, trailer.records)
        begin = end
