"""`doublet backup` and `doublet restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from doublet.cli.options import AsJson, Data, SetOption, err, print_json, read_settings

if TYPE_CHECKING:
    from doublet.backup.save import Progress as OnProgress


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder of backups; each is a folder in it.")],
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Copy the data folder as it is at one moment, verified, while the server runs.

    What an earlier backup in FOLDER holds already is linked, not copied.

    Example: doublet backup /mnt/backups --data ./doublet-data
    """
    from doublet.backup.save import save

    chosen = read_settings(data, pairs)
    with _progress() as on_progress:
        saved = save(chosen, folder, on_progress)
    manifest = saved.manifest
    events = manifest.tables["events"].rows if "events" in manifest.tables else 0
    if as_json:
        print_json(
            {
                "backup": str(saved.folder),
                "events": events,
                "log_records": manifest.log_records,
                "files": len(manifest.files),
                "size_bytes": manifest.size_bytes,
                "copied_files": saved.copied_files,
                "copied_size_bytes": saved.copied_size_bytes,
                "has_catalog": manifest.formats.catalog is not None,
            }
        )
        return
    print(f"Backup {saved.folder}")
    print(f"{events:,} copies of events in the lake, {manifest.log_records:,} records in the log")
    print(
        f"{len(manifest.files):,} files, {manifest.size_bytes:,} bytes; "
        f"{saved.copied_size_bytes:,} bytes copied, the others linked"
    )
    if manifest.formats.catalog is None:
        err.print("The catalog is not in it: back up its database with that database's own tools.")


def restore(
    folder: Annotated[Path, typer.Argument(help="A backup, or a folder of backups: the newest.")],
    data: Data = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move aside what the data folder holds.")
    ] = False,
    only_check: Annotated[
        bool, typer.Option("--check", help="Verify the backup and write nothing.")
    ] = False,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make a data folder from a backup, after every file of it was verified.

    Example: doublet restore /mnt/backups --data ./restored
    """
    from doublet.backup.restore import check
    from doublet.backup.restore import restore as make

    chosen = read_settings(data, pairs)
    replaced = None
    with _progress() as on_progress:
        if only_check:
            found, manifest = check(folder, on_progress)
        else:
            found, manifest, replaced = make(
                chosen, folder, replace=replace, on_progress=on_progress
            )
    if as_json:
        print_json(
            {
                "backup": str(found),
                "begun_at": manifest.begun_at,
                "files": len(manifest.files),
                "size_bytes": manifest.size_bytes,
                "data": None if only_check else str(chosen.data),
                "replaced": None if replaced is None else str(replaced),
            }
        )
        return
    print(f"Backup {found}, begun {manifest.begun_at}, is whole: {len(manifest.files):,} files")
    if only_check:
        return
    print(f"Restored to {chosen.data}")
    if replaced is not None:
        print(f"What was there before lies in {replaced}; remove it when nobody needs it.")
    if (chosen.data / "doublet.toml").exists():
        print(f"Settings: {chosen.data / 'doublet.toml'}; copy it to where the server is started.")
    print(f"Reports are made anew at the first start, or now: doublet refresh --data {chosen.data}")


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar for each thing that is done, where somebody may be looking."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as bars:
        tasks = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield on_progress
