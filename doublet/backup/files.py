"""Copies of files that can be relied on: private, on the disk, and known by their digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

Tell = Callable[[int], None]
"""Called with how many bytes were just read or written."""

_CHUNK_BYTES = 1 << 20


def make_folders(folder: Path, root: Path) -> None:
    """Make a folder below `root`, for this user alone."""
    if folder != root and not folder.is_dir():
        make_folders(folder.parent, root)
        folder.mkdir(0o700)


def create(path: Path) -> int:
    """A new file for this user alone, open for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def write(path: Path, data: bytes | memoryview) -> str:
    """A new file with this content, on the disk when this returns; its SHA-256."""
    with os.fdopen(create(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def copy(source: Path, target: Path, tell: Tell) -> str:
    """A copy, on the disk when this returns; the SHA-256 of what was read."""
    sha256 = hashlib.sha256()
    with source.open("rb") as reading, os.fdopen(create(target), "wb") as writing:
        for chunk in _chunks(reading.fileno()):
            sha256.update(chunk)
            writing.write(chunk)
            tell(len(chunk))
        writing.flush()
        os.fsync(writing.fileno())
        # So that whoever reads it next to compare reads the disk, not the memory.
        os.posix_fadvise(writing.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return sha256.hexdigest()


def digest(path: Path, tell: Tell) -> str:
    """The SHA-256 of a file as hex."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in _chunks(file.fileno()):
            sha256.update(chunk)
            tell(len(chunk))
    return sha256.hexdigest()


def _chunks(file: int) -> Iterator[bytes]:
    while chunk := os.read(file, _CHUNK_BYTES):
        yield chunk


def sync_folders(root: Path) -> None:
    """Wait until the names below and in `root` are on the disk."""
    for folder in (*(path for path in root.rglob("*") if path.is_dir()), root):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
