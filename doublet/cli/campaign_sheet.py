"""`doublet campaign export` and `import`: campaigns as a sheet with one row per ad."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doublet.cli.imports import DryRun, Encoding, Format
from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    literal,
    open_catalog,
    out,
    print_json,
    read_kept_settings,
    record,
)
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.delivery.take_in import TakeIn, Taken
    from doublet.imports.files import FileSource

_SHOWN_MAX = 20


def campaign_export(
    file: Annotated[Path | None, typer.Argument(help="CSV to write; none: print it.")] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Write all campaigns as a sheet: one row per ad with its campaign and ad set.

    Example: doublet campaign export campaigns.csv
    """
    import msgspec

    from doublet.delivery.sheet import SheetRow, rows_of
    from doublet.reports import as_csv

    catalog = open_catalog(read_kept_settings(data, pairs))
    rows = list(rows_of(catalog, catalog.account(account)))
    if as_json:
        print_json(msgspec.to_builtins(rows))
        return
    text = as_csv(rows, SheetRow)
    if file is None:
        print(text, end="")
        return
    try:
        file.write_text(text, "utf-8", newline="")
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}."
        raise OperatorError(message, "Name a folder that is there.") from error
    out.print(f"{len(rows):,} rows are in {literal(str(file))}.", soft_wrap=True)


def campaign_import(
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines (both also .gz) or Parquet.")],
    dry_run: DryRun = False,
    encoding: Encoding = "utf-8",
    form: Format = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make and change campaigns by a sheet; a bad row is told, and leaves the others as they are.

    Objects are found by id, or by name within what they are part of; the same sheet again changes
    nothing. An empty cell says nothing, `none` empties a list or a moment.

    Example: doublet campaign import campaigns.csv --dry-run
    """
    from doublet.delivery.sheet import check_columns
    from doublet.delivery.take_in import TakeIn
    from doublet.imports.files import open_source

    catalog = open_catalog(read_kept_settings(data, pairs))
    owner = catalog.account(account)
    source = open_source(file, form, encoding)
    check_columns(source.sample()[0])
    taken = list(_taken(source, TakeIn(catalog, owner, dry_run=dry_run, now_s=int(time.time()))))
    counts = Counter(each.outcome for each in taken)
    if not dry_run and counts["made"] + counts["changed"]:
        details = {name: counts[name] for name in ("made", "changed", "same", "wrong")}
        record(catalog, "campaigns.imported", file.name, owner.account_id, **details)
    _tell(source, taken, counts, as_json, dry_run=dry_run)
    if counts["wrong"]:
        raise SenderError(
            f"{counts['wrong']:,} of {len(taken):,} rows are bad; the others were taken in."
            if not dry_run
            else f"{counts['wrong']:,} of {len(taken):,} rows are bad.",
            "Mend them and import the file again.",
        )


def _taken(source: FileSource, into: TakeIn) -> Iterator[Taken]:
    from doublet.delivery.take_in import Taken
    from doublet.imports.files import Cells

    with source.rows() as found:
        for each in found:
            if not isinstance(each, Cells):
                yield Taken(each.line, "wrong", message=each.message)
                continue
            cells = {
                name: None if value is None else str(value) for name, value in each.values.items()
            }
            yield from into.take([(each.line, cells)])


def _tell(
    source: FileSource, taken: list[Taken], counts: Counter[str], as_json: bool, *, dry_run: bool
) -> None:
    if as_json:
        rows = [each._asdict() for each in taken]
        print_json({"rows": rows, **counts, "imported": not dry_run})
        return
    wrong = [each for each in taken if each.outcome == "wrong"]
    for each in wrong[:_SHOWN_MAX]:
        out.print(literal(f"{source.noun} {each.row}: {each.message}"), soft_wrap=True)
    if len(wrong) > _SHOWN_MAX:
        out.print(f"… and {len(wrong) - _SHOWN_MAX:,} more; --json shows all.")
    out.print(
        f"{counts['made']:,} rows made something new, {counts['changed']:,} changed something, "
        f"{counts['same']:,} are as it is.",
        soft_wrap=True,
    )
    if dry_run:
        out.print("Nothing was kept.")
