"""One version of a Delta table as files: what a copy of it needs, and nothing younger.

Files never change once they are named, but compaction and clean-up remove them some time later:
whoever copies them must be ready for one that is gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from doublet.lake.table import check_format

_LOG = "_delta_log"
_DIGITS = 20


class DataFile(NamedTuple):
    """A file of rows: its path in the table's folder, and what the Delta log says of it."""

    path: str
    size_bytes: int
    rows: int


class Snapshot:
    """The newest version of a table at the moment at which this is made."""

    def __init__(self, folder: Path) -> None:
        """Raises NewerFormatError for a table that a newer Doublet has written, FileNotFoundError
        when its log was shortened while it was read: then a new snapshot helps."""
        self.folder = folder
        try:
            self._delta = DeltaTable(str(folder.absolute()))
        except DeltaError as error:
            raise FileNotFoundError(f"{folder} cannot be opened: {error}") from error
        check_format(self._delta)
        self.version = self._delta.version()
        actions = self._delta.get_add_actions(flatten=True)
        columns = [
            actions.column(name).to_pylist() for name in ("path", "size_bytes", "num_records")
        ]
        self.files = [DataFile(*row) for row in sorted(zip(*columns, strict=True))]
        self.log_files = _log_files(folder, self.version)

    def position(self, partition: int) -> int:
        """Offset of the next record of a log partition that is not in this version yet."""
        return self._delta.transaction_version(f"log/{partition}") or 0


def tables(lake: Path) -> list[Path]:
    """The folders of the Delta tables in a lake, `events` first.

    The order matters to who copies them: the loader commits `events` last. So a later look at the
    others finds in them all that `events` takes for loaded.
    """
    found = sorted(path.parent for path in lake.glob(f"*/{_LOG}"))
    return sorted(found, key=lambda folder: folder.name != "events")


def _log_files(folder: Path, version: int) -> list[str]:
    """Paths of the newest checkpoint, its own commit and those after it, up to a version.

    Readers need no commit of a checkpoint; delta-rs writes to no table that has none at all.
    """
    names = [path.name for path in (folder / _LOG).iterdir() if path.name[:_DIGITS].isdigit()]
    checkpoints = [name for name in names if ".checkpoint." in name and name.endswith(".parquet")]
    past = [name for name in checkpoints if int(name[:_DIGITS]) <= version]
    newest = max((int(name[:_DIGITS]) for name in past), default=-1)
    commits = [f"{number:0{_DIGITS}d}.json" for number in range(newest + 1, version + 1)]
    for name in commits:
        if name not in names:
            raise FileNotFoundError(f"{folder.name} has no commit {name} any more.")
    own = [name for name in names if name == f"{newest:0{_DIGITS}d}.json"]
    checkpoint = [name for name in past if int(name[:_DIGITS]) == newest]
    return [f"{_LOG}/{name}" for name in (*checkpoint, *own, *commits)]
