"""The manifest of a backup: which files it holds, and their digests. Written last, so that what has
none is not a backup."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from doublet.backup.files import Tell, digest, write
from doublet.errors import CorruptError, NewerFormatError, OperatorError

FORMAT = "doublet-backup"
VERSION = 1
NAME = "MANIFEST.json"


class StoredFile(msgspec.Struct, frozen=True):
    """A file: its path in the data folder, which is also its path in the backup."""

    path: str
    size_bytes: int
    sha256: str


class TableState(msgspec.Struct, frozen=True):
    """Which version of a lake table the backup holds, and from which offset of each log slot the
    loader goes on."""

    version: int
    rows: int
    positions: dict[int, int]


class Formats(msgspec.Struct, frozen=True):
    """Formats of what is stored; `catalog`, `relay` (the outbox) and `deliveries` are None when the
    backup has none."""

    log: int
    lake: int
    catalog: str | None
    relay: int | None = None
    deliveries: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is. Everything that was acknowledged before `begun_at` (UTC) is in it."""

    format: str
    version: int
    doublet: str
    begun_at: str
    made_at: str
    formats: Formats
    tables: dict[str, TableState]
    log_records: int
    files: list[StoredFile]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make the folder a backup, in one step."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    write(folder / f"{NAME}.new", text + b"\n")
    (folder / f"{NAME}.new").rename(folder / NAME)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises OperatorError when there is none, NewerFormatError or
    CorruptError when it cannot be understood."""
    path = folder / NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OperatorError(
            f"{folder} is no complete backup: it has no {NAME}.",
            "The manifest is written last, so an interrupted backup has none. Name another one, or "
            "run `doublet backup` again.",
        ) from error
    try:
        raw: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        found = raw.get("format"), raw.get("version")
        if found[0] == FORMAT and isinstance(found[1], int) and found[1] > VERSION:
            raise NewerFormatError(f"The backup {folder}", found[1], VERSION)
        manifest = msgspec.convert(raw, Manifest, strict=False)
    except msgspec.MsgspecError as error:
        raise CorruptError(
            f"{path} cannot be read: {error}.", "The backup is damaged; use another one."
        ) from error
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise CorruptError(f"{path} is not the manifest of a backup.", "Name another folder.")
    for file in manifest.files:
        if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts:
            raise CorruptError(f"{path} names {file.path!r}.", "Do not use this backup.")
    return manifest


def verify(folder: Path, manifest: Manifest, tell: Tell) -> None:
    """Read every file. Raises CorruptError that names all which are missing or changed."""
    wrong = []
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            wrong.append(f"{file.path} is missing")
        elif path.stat().st_size != file.size_bytes:
            wrong.append(f"{file.path} has {path.stat().st_size} bytes, not {file.size_bytes}")
        elif digest(path, tell) != file.sha256:
            wrong.append(f"{file.path} has another content")
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CorruptError(
            f"The backup {folder} is damaged: {'; '.join(wrong[:3])}{more}.",
            "Use another backup; nothing was written.",
        )


PARTIAL = ".partial"
"""How the name of a backup ends while it is being made."""
_is_name = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}[.][0-9]{6}Z").fullmatch


def folder_name(moment: datetime) -> str:
    """The name of a backup in a folder of backups: a UTC moment, so that names sort by age."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")


def complete_backups(into: Path) -> list[Path]:
    """The complete backups in a folder of backups, oldest first."""
    found = (path.parent for path in into.glob(f"*/{NAME}"))
    return sorted(path for path in found if _is_name(path.name))


def interrupted_backups(into: Path) -> list[Path]:
    """What was begun in a folder of backups and not finished."""
    found = into.glob(f"*{PARTIAL}")
    return [path for path in found if _is_name(path.name.removesuffix(PARTIAL))]
