"""Making a data folder from a backup: everything is verified before anything is written.

The new content is made in `restoring/` inside the data folder and moved into place when it is
whole; the server does not start while that folder is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from doublet.backup import files
from doublet.backup.manifest import (
    NAME,
    Manifest,
    complete_backups,
    folder_name,
    read_manifest,
    verify,
)
from doublet.backup.save import Progress, quiet
from doublet.catalog import check_version
from doublet.deliveries import VERSION as DELIVERIES_VERSION
from doublet.errors import CorruptError, LockedError, NewerFormatError, OperatorError
from doublet.lake.table import FORMAT as LAKE_FORMAT
from doublet.log import segment
from doublet.log.disk import DiskLog
from doublet.log.writer import take_slot
from doublet.outbox import VERSION as OUTBOX_VERSION
from doublet.person import unite
from doublet.processes import RESTORING, FileLock, make_folder
from doublet.settings import Settings

_NO_CONTENT = {RESTORING, "run", "tmp", "lost+found"}
_ASIDE = "replaced-"


class Restored(NamedTuple):
    """What was restored, and where the former content of the folder lies, if there was any."""

    backup: Path
    manifest: Manifest
    replaced: Path | None


def check(backup: Path, on_progress: Progress = quiet) -> tuple[Path, Manifest]:
    """Verify a backup, or the newest complete one in a folder of backups; which one that is.

    Raises OperatorError when there is none, NewerFormatError when only a newer Doublet can read
    it, CorruptError when a file is missing or changed.
    """
    if not (backup / NAME).exists():
        backup = next(reversed(complete_backups(backup)), backup)
    manifest = read_manifest(backup)
    formats = manifest.formats
    if formats.log > segment.VERSION:
        raise NewerFormatError(f"The log in {backup}", formats.log, segment.VERSION)
    if formats.lake > LAKE_FORMAT:
        raise NewerFormatError(f"The lake in {backup}", formats.lake, LAKE_FORMAT)
    check_version(formats.catalog)
    if (formats.relay or 0) > OUTBOX_VERSION:
        raise NewerFormatError(f"The outbox in {backup}", formats.relay or 0, OUTBOX_VERSION)
    if (formats.deliveries or 0) > DELIVERIES_VERSION:
        raise NewerFormatError(
            f"What shops delivered in {backup}", formats.deliveries or 0, DELIVERIES_VERSION
        )
    verify(backup, manifest, _telling("Verifying", manifest.size_bytes, on_progress))
    return backup, manifest


def restore(
    settings: Settings, backup: Path, *, replace: bool = False, on_progress: Progress = quiet
) -> Restored:
    """Make `settings.data` from a backup that `check` accepts. The derived tables are not in it:
    they are made anew from the lake at the first start.

    Raises OperatorError when the folder holds something, unless `replace` says to move it aside,
    and LockedError when a server runs on it.
    """
    backup, manifest = check(backup, on_progress)
    data = settings.data
    make_folder(data)
    content = _content(data)
    if content and not replace:
        raise OperatorError(
            f"{data} is not empty: it holds {', '.join(content[:4])}.",
            "Name a new folder with --data, or give --replace to move aside what is there.",
        )
    with _nobody_else(settings):
        restoring = data / RESTORING
        shutil.rmtree(restoring, ignore_errors=True)
        restoring.mkdir(0o700)
        try:
            tell = _telling("Restoring", manifest.size_bytes, on_progress)
            for file in manifest.files:
                target = restoring / file.path
                files.make_folders(target.parent, restoring)
                if files.copy(backup / file.path, target, tell) != file.sha256:
                    raise CorruptError(f"{backup / file.path} has just changed.", "Restore again.")
            # What is erased in the present content is erased from the restored one too: the worker
            # finds tombstones that the tables have not been through.
            unite(settings.erasures_folder, restoring / settings.erasures_folder.name)
            files.sync_folders(restoring)
        except (OperatorError, OSError):
            # Nothing of the present content was touched: it can be served as before.
            shutil.rmtree(restoring, ignore_errors=True)
            raise
        replaced = _move_aside(data) if content else None
        for path in sorted(restoring.iterdir()):
            path.rename(data / path.name)
        files.sync_folder(data)
        restoring.rmdir()
        files.sync_folder(data)
    return Restored(backup, manifest, replaced)


def _content(data: Path) -> list[str]:
    """What a restore would write over, by name."""
    return sorted(path.name for path in data.iterdir() if path.name not in _NO_CONTENT)


def _move_aside(data: Path) -> Path:
    aside = data / f"{_ASIDE}{folder_name(datetime.now(UTC))}"
    aside.mkdir(0o700)
    for name in _content(data):
        if not name.startswith(_ASIDE):
            (data / name).rename(aside / name)
    return aside


@contextmanager
def _nobody_else(settings: Settings) -> Iterator[None]:
    """While this lasts no server can start on the folder; raises LockedError when one runs."""
    what = str(settings.data)
    locks = []
    try:
        for name in ("serve.lock", "worker.lock"):
            locks.append(FileLock(settings.run_folder / name, what))
        for slot in DiskLog(settings.log_folder).partitions():
            lock = take_slot(settings.log_folder, slot)
            if lock is None:
                raise LockedError(
                    f"{what} is in use by a collector.", "Stop it, or choose another folder."
                )
            # A collector that starts later finds the folder being restored, and stops.
            os.close(lock)
        yield
    finally:
        for held in locks:
            held.release()


def _telling(what: str, total: int, on_progress: Progress) -> files.Tell:
    done = 0

    def tell(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        on_progress(what, done, total)

    return tell
