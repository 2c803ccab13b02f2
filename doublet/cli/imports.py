"""`doublet import`: conversions from a file."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table as RichTable

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    err,
    literal,
    open_catalog,
    out,
    own_pixel,
    print_json,
    read_kept_settings,
)

if TYPE_CHECKING:
    from doublet.catalog import Account, Catalog
    from doublet.imports.book import Book
    from doublet.imports.files import Fault, FileSource
    from doublet.imports.guess import Guessed
    from doublet.imports.mapping import Mapping
    from doublet.imports.run import Checked, Imported, Plan
    from doublet.settings import Settings

TOLD_MAX = 20

File = Annotated[
    Path, typer.Argument(help="CSV, JSON lines (both also .gz) or Parquet, by its name.")
]
OfPixel = Annotated[
    str | None, typer.Option("--pixel", help="Pixel of the events; needed if there are several.")
]
Maps = Annotated[
    list[str] | None, typer.Option("--map", help="COLUMN=FIELD; COLUMN= leaves a column aside.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="FIELD=TEXT for all rows, such as event_name=Purchase; or any setting."
    ),
]
MappingFile = Annotated[
    Path | None, typer.Option("--mapping", help="What --save-mapping kept (TOML or JSON).")
]
SaveMapping = Annotated[
    Path | None, typer.Option("--save-mapping", help="Keep the mapping here, for the next file.")
]
Decimal = Annotated[
    Literal["comma", "point"] | None,
    typer.Option("--decimal", help="What stands before decimals, where that is not plain."),
]
Dates = Annotated[
    Literal["day-first", "month-first"] | None,
    typer.Option("--dates", help="How 11/01/2026 is read."),
]
TimeZone = Annotated[
    str | None, typer.Option("--time-zone", help="Of times without offset; else the account's.")
]
Encoding = Annotated[str, typer.Option("--encoding", help="Of the text, such as cp1252.")]
Format = Annotated[
    Literal["csv", "jsonl", "parquet"] | None,
    typer.Option("--format", help="What the file is, where its name does not say."),
]
History = Annotated[
    bool, typer.Option("--history", help="Take events of any age; no destination is told.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look through the file.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Import the good rows of a file with bad ones.")
]
BadRows = Annotated[
    Path | None,
    typer.Option("--bad-rows", help="Write line, column and reason of each bad row here (CSV)."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Take the mapping as it is shown.")]


class Asked(NamedTuple):
    """What of an import is not about its mapping."""

    is_dry: bool
    skips_bad: bool
    bad_rows: Path | None
    as_json: bool


def import_(
    file: File,
    pixel: OfPixel = None,
    maps: Maps = None,
    pairs: Sets = None,
    mapping: MappingFile = None,
    save_mapping: SaveMapping = None,
    decimal: Decimal = None,
    dates: Dates = None,
    time_zone: TimeZone = None,
    encoding: Encoding = "utf-8",
    form: Format = None,
    history: History = False,
    dry_run: DryRun = False,
    skip_bad: SkipBad = False,
    bad_rows: BadRows = None,
    yes: Yes = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import conversions from a file: sales in shops, by phone, or from before there was a pixel.

    What each column is, is guessed, shown, and to be confirmed. All rows are imported or, when one
    is wrong, none. An import that was cut off goes on where it ended; importing again repeats
    nothing.

    Example: doublet import sales.csv --set action_source=physical_store --dry-run
    """
    from doublet.imports.files import open_source
    from doublet.imports.mapping import write_mapping
    from doublet.imports.run import Plan

    constants, settings_given = _split(pairs)
    chosen = read_kept_settings(data, settings_given)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    pixel_id = chosen_pixel(catalog, owner, pixel)
    source = open_source(file, form, encoding)
    given, aside = _given(mapping, maps, constants)
    given.decimals = decimal or given.decimals
    given.dates = dates or given.dates
    given.time_zone = time_zone or given.time_zone
    guessed = _guess(source, given, aside, owner, is_whole=mapping is not None)
    asked = Asked(dry_run, skip_bad, bad_rows, as_json)
    if not as_json:
        _show(source, guessed, owner)
    _check_complete(guessed)
    if save_mapping is not None:
        write_mapping(save_mapping, guessed.mapping)
    if not dry_run and not yes and mapping is None:
        _confirm()
    country = catalog.pixel_rules(pixel_id).phone_country
    plan = Plan(source, guessed.mapping, owner, pixel_id, history, country)
    run_import(chosen, plan, asked, {"mapping": _told(guessed)})


def chosen_pixel(catalog: Catalog, owner: Account, pixel: str | None) -> str:
    """The pixel of an option, or the only one. Raises OperatorError."""
    from doublet.errors import OperatorError

    found = own_pixel(catalog, owner, pixel)
    if found:
        return found
    pixels = catalog.pixels(owner.account_id)
    if len(pixels) != 1:
        raise OperatorError(
            f"Account {owner.account_id} has {len(pixels)} pixels.",
            "Say whose events these are with --pixel; `doublet pixel list` shows them."
            if pixels
            else "Make one with `doublet pixel create NAME`.",
        )
    return pixels[0].pixel_id


# --- the mapping -----------------------------------------------------------------------------


def _split(pairs: list[str] | None) -> tuple[dict[str, str], list[str]]:
    """What `--set` says of all rows, and of settings."""
    from doublet.imports.mapping import check_field
    from doublet.settings import SETTINGS

    known = {setting.name for setting in SETTINGS}
    constants: dict[str, str] = {}
    settings_given = []
    for pair in pairs or []:
        name, sign, text = pair.partition("=")
        if not sign or not text:
            raise typer.BadParameter(f"{pair!r} is not of the form --set NAME=TEXT.")
        if name in known:
            settings_given.append(pair)
        else:
            constants[check_field(name)] = text
    return constants, settings_given


def _given(
    file: Path | None, maps: list[str] | None, constants: dict[str, str]
) -> tuple[Mapping, frozenset[str]]:
    """The mapping that one has said, and the columns to leave aside. What a file leaves out is left
    out."""
    from doublet.imports.mapping import Mapping, check_field, read_mapping

    kept = read_mapping(file) if file else Mapping({})
    columns, aside = dict(kept.columns), set()
    for pair in maps or []:
        # A column's name may hold the sign; a field's does not.
        column, sign, field = pair.rpartition("=")
        if not sign or not column:
            raise typer.BadParameter(f"{pair!r} is not of the form --map COLUMN=FIELD.")
        if field:
            columns[column] = check_field(field)
        else:
            columns.pop(column, None)
            aside.add(column)
    kept.columns, kept.constants = columns, {**kept.constants, **constants}
    return kept, frozenset(aside)


def _guess(
    source: FileSource,
    given: Mapping,
    aside: frozenset[str],
    owner: Account,
    *,
    is_whole: bool = False,
) -> Guessed:
    """What each column is; `is_whole` says that nothing is to be guessed."""
    from doublet.errors import SenderError
    from doublet.imports.guess import guess
    from doublet.imports.mapping import check_mapping

    columns, rows = source.sample()
    if source.format == "jsonl":
        # Not every object has every key.
        columns = list(dict.fromkeys([*columns, *given.columns]))
    check_mapping(given, columns)
    for column in sorted(aside - set(columns)):
        raise SenderError(f"The file has no column {column!r}.", "The table shows all columns.")
    if is_whole:
        aside = frozenset(columns) - given.columns.keys()
    guessed = guess(columns, rows, given, owner.currency, aside)
    check_mapping(guessed.mapping, columns)
    return guessed


def _show(source: FileSource, guessed: Guessed, owner: Account) -> None:
    from doublet.redact import redact

    table = RichTable("column", "field", "why", "example")
    aside = []
    for column in guessed.columns:
        name = literal(redact(column.column))
        if column.field:
            table.add_row(name, column.field, literal(column.why), literal(column.example))
        else:
            aside.append(f"{name} ({literal(column.why)})" if column.why else name)
    for field, (text, why) in guessed.constants.items():
        table.add_row("(all rows)", field, why, literal(text))
    err.print(table)
    mapping = guessed.mapping
    zone = mapping.time_zone or owner.time_zone
    notes = [f"Times without an offset are on the clocks of {zone}."]
    if mapping.decimals:
        notes.append(f"Decimals stand behind a {mapping.decimals}.")
    if mapping.dates:
        notes.append(f"In dates such as 11/01/2026 the {mapping.dates.partition('-')[0]} is first.")
    err.print(" ".join(notes))
    if aside:
        err.print(f"Left aside: {', '.join(aside)}.")


def _told(guessed: Guessed) -> dict[str, Any]:
    """The mapping for programs."""
    return {
        "columns": {each.column: each.field for each in guessed.columns if each.field},
        "constants": {field: text for field, (text, _) in guessed.constants.items()},
        "left_aside": [each.column for each in guessed.columns if not each.field],
        "decimals": guessed.mapping.decimals,
        "dates": guessed.mapping.dates,
    }


def _check_complete(guessed: Guessed) -> None:
    from doublet.errors import SenderError
    from doublet.imports.mapping import missing

    lacking = missing(guessed.mapping)
    if lacking:
        raise SenderError(
            "Nothing says " + "\nnor ".join(lacking) + ".",
            "Say it and run the command again; docs/imports.md lists the fields.",
        )


def _confirm() -> None:
    from doublet.errors import OperatorError

    if not sys.stdin.isatty():
        raise OperatorError(
            "The mapping was guessed and nobody has confirmed it.",
            "Give --yes to take it as it is shown, mend it with --map and --set, or keep it with "
            "--save-mapping and name it with --mapping.",
        )
    if not typer.confirm("Is each column what the table says?", err=True):
        raise OperatorError(
            "Nothing was imported.",
            "Mend the mapping with --map COLUMN=FIELD and --set FIELD=TEXT.",
        )


# --- the import ------------------------------------------------------------------------------


def run_import(chosen: Settings, plan: Plan, asked: Asked, told: dict[str, Any]) -> None:
    """Look through a file and, unless that is all that is asked, import it; print what was done,
    for programs together with what is `told` already."""
    from doublet.imports.run import open_book

    with open_book(chosen) as book:
        file_key = plan.key()
        before = book.progress(file_key)
        if before.ended_at is not None:
            _say_done(plan, before.imported, asked, told)
            return
        if before.rows:
            err.print(
                f"{before.rows:,} rows of {escape(plan.source.path.name)} were imported before; "
                "it goes on behind them."
            )
        with _faults_into(asked.bad_rows) as on_fault, _bar() as bar:
            checked = _check(plan, book, before.rows, on_fault, bar)
        bad = sum(checked.bad.values())
        is_refused = bad > 0 and not asked.skips_bad
        done = None
        if not asked.is_dry and not is_refused:
            done = _bring_in(plan, chosen, book, file_key, checked, before.rows)
    if asked.as_json:
        print_json({**told, **_counts(checked, done)})
    else:
        for line in _sentences(plan, checked, done, asked.is_dry):
            out.print(literal(line), soft_wrap=True)
    if is_refused:
        _refuse(plan, checked, asked)


def _check(
    plan: Plan,
    book: Book,
    after: int,
    on_fault: Callable[[Fault], None] | None,
    bar: Progress,
) -> Checked:
    from doublet.imports.run import check

    task = bar.add_task("Checking …", total=None)
    return check(
        plan, book, after, lambda rows: bar.update(task, completed=rows), on_fault, TOLD_MAX
    )


def _bring_in(
    plan: Plan, chosen: Settings, book: Book, file_key: str, checked: Checked, after: int
) -> Imported:
    from doublet.errors import SenderError
    from doublet.imports.run import bring_in

    with _bar() as bar:
        task = bar.add_task("Importing …", total=checked.rows or None, completed=after)
        done = bring_in(chosen, plan, book, file_key, lambda rows: bar.update(task, completed=rows))
    if (done.imported + done.known, done.bad) != (checked.good, sum(checked.bad.values())):
        raise SenderError(
            f"{plan.source.path.name} has changed meanwhile, or some of it has grown too old: "
            f"{done.imported:,} events were imported.",
            "Import it again; what is known already counts once.",
        )
    return done


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
    )
    return Progress(*columns, console=err, transient=True)


@contextmanager
def _faults_into(file: Path | None) -> Iterator[Callable[[Fault], None] | None]:
    """Write each fault into a CSV file, if there is to be one."""
    if file is None:
        yield None
        return
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("line", "column", "reason", "message"))
        yield lambda fault: writer.writerow(
            (fault.line, _column(fault.column), fault.reason, fault.message)
        )


def _column(name: str) -> str:
    """A column's name as it may be told; some who have no header name it after what is in it."""
    from doublet.redact import redact

    return str(redact(name))[:60]


def _say_done(plan: Plan, imported: int, asked: Asked, told: dict[str, Any]) -> None:
    if asked.as_json:
        print_json({**told, "rows": 0, "good": 0, "known": imported, "imported": 0, "bad": 0})
    else:
        out.print(
            f"{literal(plan.source.path.name)} was imported before with this mapping; its "
            f"{imported:,} events are known.",
            soft_wrap=True,
        )


def _counts(checked: Checked, done: Imported | None) -> dict[str, Any]:
    return {
        "rows": checked.rows,
        "good": checked.good,
        "known": checked.known if done is None else done.known,
        "repeated": checked.repeated,
        "bad": sum(checked.bad.values()),
        "imported": 0 if done is None else done.imported,
        "resumed_after": 0 if done is None else done.resumed_after,
        "reasons": checked.bad,
        "flags": checked.flags,
        "errors": [{**fault._asdict(), "column": _column(fault.column)} for fault in checked.first],
    }


def _sentences(plan: Plan, checked: Checked, done: Imported | None, is_dry: bool) -> Iterator[str]:
    bad = sum(checked.bad.values())
    if bad:
        yield from _listing(plan, checked)
    repeated = f", {checked.repeated:,} repeat another" if checked.repeated else ""
    known = f", of which {checked.known:,} are known already" if checked.known else ""
    if is_dry or done is None:
        yield f"{checked.good:,} rows are good{known}, {bad:,} are bad{repeated}."
    else:
        known = f", {done.known:,} were known already" if done.known else ""
        left = f", {bad:,} bad rows left out" if bad else ""
        yield f"{done.imported:,} events imported{known}{repeated}{left}."
    odd = ", ".join(f"{count:,} {flag}" for flag, count in sorted(checked.flags.items()))
    if odd:
        yield f"Flagged: {odd}; docs/reference.md says what that means."
    if is_dry:
        yield "Nothing was stored."


def _listing(plan: Plan, checked: Checked) -> Iterator[str]:
    for fault in checked.first:
        column = f", column {_column(fault.column)}" if fault.column else ""
        yield f"{plan.source.noun} {fault.line}{column}: {fault.message}"
    more = sum(checked.bad.values()) - len(checked.first)
    if more:
        yield f"… and {more:,} more."
    reasons = sorted(checked.bad.items(), key=lambda pair: (-pair[1], pair[0]))
    yield f"By reason: {', '.join(f'{count:,} {reason}' for reason, count in reasons)}."


def _refuse(plan: Plan, checked: Checked, asked: Asked) -> None:
    from doublet.errors import SenderError

    bad = sum(checked.bad.values())
    hint = "Mend them and import the file again, or leave them out with --skip-bad."
    if "event_too_old" in checked.bad:
        hint = (
            "What is older than 7 days (in shops 62, --set action_source=physical_store) is taken "
            f"with --history. {hint}"
        )
    raise SenderError(
        f"{bad:,} of {checked.good + checked.repeated + bad:,} rows of {plan.source.path.name} are "
        "bad; nothing was imported.",
        hint,
    )
