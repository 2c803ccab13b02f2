"""Making a backup while the server runs.

The order is what makes it consistent. First the book of imports is copied, which must not know of
events that the backup lacks. Then the names of the log's segments are noted, one version of each
lake table is pinned, `events` first, and the log is copied from the positions that `events` has
committed with its rows. So every record that was acknowledged before is either in the pinned rows
or in the copied log, and the loader of the restored folder goes on exactly between the two.
Everything else is copied afterwards: the catalog, which may only be younger than the events that
name its pixels, the relay's outbox, and the files of the lake, which never change.

Compaction and clean-up go on meanwhile. Hard links hold the pinned files until they are copied;
where there are none, or where a file went before it was held, all begins anew from a new version.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from doublet import __version__
from doublet.backup import files
from doublet.backup.manifest import (
    FORMAT,
    PARTIAL,
    VERSION,
    Formats,
    Manifest,
    StoredFile,
    TableState,
    complete_backups,
    folder_name,
    interrupted_backups,
    read_manifest,
    write_manifest,
)
from doublet.catalog import Catalog
from doublet.deliveries import copy_deliveries
from doublet.errors import CorruptError, OperatorError
from doublet.lake.snapshot import Snapshot, tables
from doublet.lake.table import FORMAT as LAKE_FORMAT
from doublet.log import segment
from doublet.log.tail import names, tail
from doublet.outbox import copy_outbox
from doublet.processes import FileLock, make_folder
from doublet.settings import Settings
from doublet.sqlite_file import copied

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many bytes of it are done, and how many there are."""

_ATTEMPTS = 5


class Saved(NamedTuple):
    """A finished backup, and what of it was not already in the one before."""

    folder: Path
    manifest: Manifest
    copied_files: int
    copied_size_bytes: int


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def save(settings: Settings, into: Path, on_progress: Progress = quiet) -> Saved:
    """Make a backup as a new folder in `into`, named for the moment. What an earlier backup there
    holds already is linked, not copied.

    Raises OperatorError when there is nothing to back up or no place for it, CorruptError when
    what is stored is damaged.
    """
    if not settings.data.is_dir():
        raise OperatorError(
            f"There is no data folder {settings.data}.", "Name the one of the server with --data."
        )
    if into.resolve().is_relative_to(settings.data.resolve()):
        raise OperatorError(
            f"{into} lies in the data folder itself.",
            "Choose a folder elsewhere, best on another disk.",
        )
    make_folder(into)
    locks = [FileLock(into / "lock", str(into))]
    try:
        locks.append(
            FileLock(settings.run_folder / "backup.lock", f"The backup of {settings.data}")
        )
        return _Backup(settings, into, on_progress).make()
    finally:
        for lock in locks:
            lock.release()


class _Backup:
    def __init__(self, settings: Settings, into: Path, on_progress: Progress) -> None:
        self._settings = settings
        self._on_progress = on_progress
        for path in interrupted_backups(into):
            shutil.rmtree(path)
        self._previous = next(reversed(complete_backups(into)), None)
        self._known = _lake_files(self._previous)
        self._begun_at = datetime.now(UTC)
        self._name = folder_name(self._begun_at)
        self._folder = into / f"{self._name}{PARTIAL}"
        self._hold = settings.run_folder / "backup"
        self._begin()

    def _begin(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._hold, ignore_errors=True)
        self._folder.mkdir(0o700)
        self._files: list[StoredFile] = []
        self._copied = self._copied_bytes = 0

    def make(self) -> Saved:
        """The backup, complete or not at all."""
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._make()
                except FileNotFoundError as error:
                    if attempt == _ATTEMPTS:
                        raise OperatorError(
                            f"Files were gone before they could be copied: {error}.",
                            "If the server removes them so fast, set vacuum_retention_h and "
                            "log_retention_h to more than a backup takes; if it is the same file "
                            "each time, the lake is damaged.",
                        ) from error
                    self._begin()
            raise AssertionError("the last attempt returns or raises")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(self._hold, ignore_errors=True)

    def _make(self) -> Saved:
        # Before the log: what is known as imported or delivered must be in what is copied.
        self._copy_imports()
        deliveries = self._copy_deliveries()
        segments = {slot: names(slot) for slot in self._slots()}
        pinned = [Snapshot(folder) for folder in tables(self._settings.lake_folder)]
        held = {snapshot.folder.name: self._held(snapshot) for snapshot in pinned}
        events = next((each for each in pinned if each.folder.name == "events"), None)
        log_records, ends = self._copy_log(segments, events)
        catalog = Catalog(self._settings.catalog_url)
        try:
            version = catalog.copy(self._folder / "catalog.sqlite")
        finally:
            catalog.close()
        if version is not None:
            self._note("catalog.sqlite", files.digest(self._folder / "catalog.sqlite", _nobody))
        if Path("doublet.toml").is_file():
            self._add("doublet.toml", Path("doublet.toml").read_bytes())
        # After the lake was pinned, so that no erasure it has been through is missing.
        for path in sorted(self._settings.erasures_folder.glob("*")):
            if path.suffix in (".json", ""):
                self._add(f"erasures/{path.name}", path.read_bytes())
        for path in sorted(self._settings.rates_folder.glob("*.csv")):
            self._add(f"rates/{path.name}", path.read_bytes())
        # Also after: what the copied lake holds and was sent by then, the ledger knows.
        relay = copy_outbox(self._settings.outbox_file, self._folder / "relay.sqlite", ends)
        if relay is not None:
            self._note("relay.sqlite", files.digest(self._folder / "relay.sqlite", _nobody))
        self._copy_lake(pinned, held)
        for snapshot in pinned:
            self._check(snapshot)
        files.sync_folders(self._folder)
        manifest = Manifest(
            FORMAT,
            VERSION,
            __version__,
            self._begun_at.isoformat(timespec="microseconds"),
            datetime.now(UTC).isoformat(timespec="microseconds"),
            Formats(segment.VERSION, LAKE_FORMAT, version, relay, deliveries),
            {each.folder.name: self._state(each) for each in pinned},
            log_records,
            sorted(self._files, key=lambda file: file.path),
        )
        write_manifest(self._folder, manifest)
        files.sync_folder(self._folder)
        folder = self._folder.rename(self._folder.with_name(self._name))
        files.sync_folder(folder.parent)
        return Saved(folder, manifest, self._copied, self._copied_bytes)

    def _copy_imports(self) -> None:
        target = self._folder / "imports.sqlite"
        if not self._settings.imports_file.exists():
            return
        with copied(self._settings.imports_file, target):
            pass
        self._note("imports.sqlite", files.digest(target, _nobody))

    def _copy_deliveries(self) -> int | None:
        target = self._folder / "deliveries.sqlite"
        version = copy_deliveries(self._settings.deliveries_file, target)
        if version is not None:
            self._note("deliveries.sqlite", files.digest(target, _nobody))
        return version

    def _slots(self) -> list[Path]:
        log = self._settings.log_folder
        found = log.iterdir() if log.is_dir() else ()
        return sorted((p for p in found if p.name.isdigit()), key=lambda slot: int(slot.name))

    def _state(self, snapshot: Snapshot) -> TableState:
        positions = {int(slot.name): snapshot.position(int(slot.name)) for slot in self._slots()}
        rows = sum(file.rows for file in snapshot.files)
        return TableState(snapshot.version, rows, positions)

    # --- the log ------------------------------------------------------------------------------

    def _copy_log(
        self, segments: dict[Path, list[str]], events: Snapshot | None
    ) -> tuple[int, dict[int, int]]:
        """Copy what is not in the pinned rows; how many records that are, and where each slot
        ends."""
        records, ends = 0, {}
        for slot in self._slots():
            position = events.position(int(slot.name)) if events else 0
            reached = found = 0
            noted = len(self._files)
            for piece in tail(slot, position, segments.get(slot, ())):
                self._add(f"log/{slot.name}/{piece.name}", piece.data)
                reached, found = piece.next_offset, found + piece.records
            if reached < position:
                # A slot whose offsets lag behind the lake would give some out again, and the loader
                # takes them for loaded. Without segments it begins beyond all of them.
                shutil.rmtree(self._folder / "log" / slot.name, ignore_errors=True)
                del self._files[noted:]
                found = 0
            records += found
            ends[int(slot.name)] = max(reached, position)
        return records, ends

    def _add(self, path: str, data: bytes | memoryview) -> None:
        target = self._folder / path
        files.make_folders(target.parent, self._folder)
        self._note(path, files.write(target, data))

    def _note(self, path: str, sha256: str) -> None:
        size = (self._folder / path).stat().st_size
        self._files.append(StoredFile(path, size, sha256))
        self._copied, self._copied_bytes = self._copied + 1, self._copied_bytes + size

    # --- the lake -----------------------------------------------------------------------------

    def _held(self, snapshot: Snapshot) -> dict[str, Path]:
        """Where each file of a version can be read for as long as this backup takes."""
        held = {}
        for path in [*snapshot.log_files, *(file.path for file in snapshot.files)]:
            source = snapshot.folder / path
            link = self._hold / snapshot.folder.name / path
            link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                os.link(source, link)
                held[path] = link
            except FileNotFoundError:
                raise
            except OSError:
                # Not every file system has links: then the file itself must last.
                held[path] = source
        return held

    def _copy_lake(self, pinned: list[Snapshot], held: dict[str, dict[str, Path]]) -> None:
        wanted = [
            (f"lake/{snapshot.folder.name}/{path}", held[snapshot.folder.name][path])
            for snapshot in pinned
            # Small files are those that compaction replaces.
            for path in (
                *snapshot.log_files,
                *(f.path for f in sorted(snapshot.files, key=lambda f: f.size_bytes)),
            )
        ]
        new = [(path, source) for path, source in wanted if not self._link(path, source)]
        # Each file is read here and, to compare, where it was copied to.
        total = 2 * sum(source.stat().st_size for _, source in new)
        done = 0

        def tell(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            self._on_progress("Copying", done, total)

        self._on_progress("Copying", 0, total)
        for path, source in new:
            target = self._folder / path
            files.make_folders(target.parent, self._folder)
            sha256 = files.copy(source, target, tell)
            if files.digest(target, tell) != sha256:
                raise CorruptError(
                    f"{target} is not what was written.", "The disk of the backup is failing."
                )
            self._note(path, sha256)

    def _link(self, path: str, source: Path) -> bool:
        """Take a file that never changes from the backup before, if it is there."""
        known = self._known.get(path)
        if known is None or self._previous is None or known.size_bytes != source.stat().st_size:
            return False
        target = self._folder / path
        files.make_folders(target.parent, self._folder)
        try:
            os.link(self._previous / path, target)
        except OSError:
            return False
        self._files.append(known)
        return True

    def _check(self, snapshot: Snapshot) -> None:
        """The copied table is, to whoever opens it, the version that was pinned."""
        copied = Snapshot(self._folder / "lake" / snapshot.folder.name)
        assert (snapshot.version, snapshot.files) == (copied.version, copied.files)
        for file in copied.files:
            found = (copied.folder / file.path).stat().st_size
            if found != file.size_bytes:
                raise CorruptError(
                    f"{snapshot.folder / file.path} has {found} bytes, not {file.size_bytes}.",
                    "The lake is damaged; restore it from an older backup.",
                )


def _nobody(size_bytes: int) -> None:
    """Small files need no progress."""


def _lake_files(backup: Path | None) -> dict[str, StoredFile]:
    """The files of a backup that never change, by path; none where it cannot be read."""
    if backup is None:
        return {}
    try:
        return {file.path: file for file in read_manifest(backup).files if file.path[:5] == "lake/"}
    except OperatorError:
        return {}
