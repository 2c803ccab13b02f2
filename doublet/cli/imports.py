"""`doublet import`: conversions from a file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from doublet.cli.mapping import (
    Choices,
    check_complete,
    confirm,
    for_programs,
    given_mapping,
    guess_columns,
    show,
    split_sets,
)
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
    from doublet.cli.mapping import GuessOf
    from doublet.imports.book import Book
    from doublet.imports.fields import Known
    from doublet.imports.files import Fault, FileSource
    from doublet.imports.guess import Guessed
    from doublet.imports.mapping import Fields as FieldsOf
    from doublet.imports.mapping import Mapping as ColumnMapping
    from doublet.imports.run import Checked, Importable, Imported
    from doublet.settings import Settings

    NamesOf = Mapping[str, Known]

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
    """What the options say of an import besides."""

    account: str | None
    pixel: str | None
    data: Path | None
    is_history: bool
    is_dry: bool
    skips_bad: bool
    bad_rows: Path | None
    is_confirmed: bool
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
    import_rows(
        file,
        Choices(*(maps, pairs, mapping, save_mapping, decimal, dates, time_zone, encoding, form)),
        Asked(account, pixel, data, history, dry_run, skip_bad, bad_rows, yes, as_json),
    )


def import_rows(
    file: Path,
    choices: Choices,
    asked: Asked,
    names: NamesOf | None = None,
    more: dict[str, str] | None = None,
) -> None:
    """Import a file as the options say. `names` say what columns are called, where that is not as
    usual; `more` is what is set for all rows beside what `--set` says."""
    from doublet.imports.fields import KNOWN_NAMES
    from doublet.imports.files import open_source
    from doublet.imports.guess import guess
    from doublet.imports.mapping import missing
    from doublet.imports.run import Plan

    constants, settings_given = split_sets(choices.pairs)
    chosen = read_kept_settings(asked.data, settings_given)
    catalog = open_catalog(chosen)
    owner = catalog.account(asked.account)
    pixel_id = chosen_pixel(catalog, owner, asked.pixel)
    source = open_source(file, choices.form, choices.encoding)
    given, aside = given_mapping(choices.mapping, choices.maps, {**(more or {}), **constants})
    guessed = agreed_mapping(
        source,
        choices,
        asked,
        (given, aside),
        lambda columns, rows, said, left: guess(
            columns, rows, said, owner.currency, left, names or KNOWN_NAMES
        ),
        owner,
        missing,
    )
    country = catalog.pixel_rules(pixel_id).phone_country
    plan = Plan(source, guessed.mapping, owner, pixel_id, asked.is_history, country)
    run_plan(chosen, plan, asked, {"mapping": for_programs(guessed)})


def agreed_mapping(
    source: FileSource,
    choices: Choices,
    asked: Asked,
    given: tuple[ColumnMapping, frozenset[str]],
    guess: GuessOf,
    owner: Account,
    missing: Callable[[ColumnMapping], list[str]],
    fields: FieldsOf | None = None,
) -> Guessed:
    """What each column is: `given`, guessed, shown, complete, kept and confirmed, in that order."""
    from doublet.imports.mapping import write_mapping

    mapping, aside = given
    mapping.decimals = choices.decimal or mapping.decimals
    mapping.dates = choices.dates or mapping.dates
    mapping.time_zone = choices.time_zone or mapping.time_zone
    is_whole = choices.mapping is not None
    guessed = guess_columns(source, mapping, aside, guess, fields, is_whole=is_whole)
    must_be_confirmed = not (asked.is_dry or asked.is_confirmed or choices.mapping)
    if must_be_confirmed or not asked.as_json:
        show(source, guessed, owner)
    check_complete(missing(guessed.mapping), "ads" if fields else "imports")
    if choices.save_mapping is not None:
        write_mapping(choices.save_mapping, guessed.mapping)
    if must_be_confirmed:
        confirm()
    return guessed


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


# --- the import ------------------------------------------------------------------------------


def run_plan(chosen: Settings, plan: Importable, asked: Asked, told: dict[str, Any]) -> None:
    """Look through a file and, unless that is all that is asked, import it; print what was done,
    for programs together with what is `told` already."""
    from doublet.imports.run import PARTS_OF_ONE, open_book

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
        has_parts = not PARTS_OF_ONE.isdisjoint(checked.bad)
        is_refused = has_parts or (bool(checked.bad) and not asked.skips_bad)
        done = None
        if not asked.is_dry and not is_refused:
            done = _bring_in(plan, chosen, book, file_key, checked, before.rows)
    if asked.as_json:
        print_json({**told, **_counts(checked, done)})
    else:
        for line in _sentences(plan, checked, done, asked.is_dry):
            out.print(literal(line), soft_wrap=True)
    if is_refused:
        _refuse(plan, checked, has_parts=has_parts)


def _check(
    plan: Importable,
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
    plan: Importable, chosen: Settings, book: Book, file_key: str, checked: Checked, after: int
) -> Imported:
    from doublet.errors import SenderError
    from doublet.imports.run import bring_in

    with _bar() as bar:
        task = bar.add_task("Importing …", total=checked.rows or None, completed=after)
        done = bring_in(chosen, plan, book, file_key, lambda rows: bar.update(task, completed=rows))
    seen = done.imported + done.known + done.repeated, done.bad
    if seen != (checked.good + checked.repeated, sum(checked.bad.values())):
        raise SenderError(
            f"{plan.source.path.name} has changed meanwhile, or some of it has grown too old: "
            f"{done.imported:,} {plan.noun} were imported.",
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


def _say_done(plan: Importable, imported: int, asked: Asked, told: dict[str, Any]) -> None:
    if asked.as_json:
        print_json({**told, "rows": 0, "good": 0, "known": imported, "imported": 0, "bad": 0})
    else:
        out.print(
            f"{literal(plan.source.path.name)} was imported before with this mapping; its "
            f"{imported:,} {plan.noun} are known.",
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


def _sentences(
    plan: Importable, checked: Checked, done: Imported | None, is_dry: bool
) -> Iterator[str]:
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
        yield f"{done.imported:,} {plan.noun} imported{known}{repeated}{left}."
    odd = ", ".join(f"{count:,} {flag}" for flag, count in sorted(checked.flags.items()))
    if odd:
        yield f"Flagged: {odd}; docs/reference.md says what that means."
    if is_dry:
        yield "Nothing was stored."


def _listing(plan: Importable, checked: Checked) -> Iterator[str]:
    for fault in checked.first:
        column = f", column {_column(fault.column)}" if fault.column else ""
        yield f"{plan.source.noun} {fault.line}{column}: {fault.message}"
    more = sum(checked.bad.values()) - len(checked.first)
    if more:
        yield f"… and {more:,} more."
    reasons = sorted(checked.bad.items(), key=lambda pair: (-pair[1], pair[0]))
    yield f"By reason: {', '.join(f'{count:,} {reason}' for reason, count in reasons)}."


def _refuse(plan: Importable, checked: Checked, *, has_parts: bool) -> None:
    from doublet.errors import SenderError

    bad = sum(checked.bad.values())
    hint = "Mend them and import the file again, or leave them out with --skip-bad."
    if "event_too_old" in checked.bad:
        hint = (
            "What is older than 7 days (in shops 62, --set action_source=physical_store) is taken "
            f"with --history. {hint}"
        )
    if has_parts:
        hint = (
            "Export the file once more with one row for each ad and day: with some of its rows "
            "left out, a day would have a part of its figures."
        )
    raise SenderError(
        f"{bad:,} of {checked.good + checked.repeated + bad:,} rows of {plan.source.path.name} are "
        "bad; nothing was imported.",
        hint,
    )
