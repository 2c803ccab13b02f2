"""The mapping of an import as the command line has it: said, guessed, shown, confirmed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import typer
from rich.table import Table as RichTable

from doublet.cli.options import err, literal

if TYPE_CHECKING:
    from doublet.catalog import Account
    from doublet.imports.files import FileSource
    from doublet.imports.guess import Guessed
    from doublet.imports.mapping import Fields as FieldsOf
    from doublet.imports.mapping import Mapping as ColumnMapping

    GuessOf = Callable[[list[str], list[dict[str, Any]], ColumnMapping, frozenset[str]], Guessed]


class Choices(NamedTuple):
    """What the options say of a mapping."""

    maps: list[str] | None
    pairs: list[str] | None
    mapping: Path | None
    save_mapping: Path | None
    decimal: Literal["comma", "point"] | None
    dates: Literal["day-first", "month-first"] | None
    time_zone: str | None
    encoding: str
    form: Literal["csv", "jsonl", "parquet"] | None


def split_sets(
    pairs: list[str] | None, fields: FieldsOf | None = None
) -> tuple[dict[str, str], list[str]]:
    """What `--set` says of all rows, and of settings; `fields` are known in place of an event's."""
    from doublet.imports.fields import FIELD
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
            constants[check_field(name, fields or FIELD)] = text
    return constants, settings_given


def given_mapping(
    file: Path | None,
    maps: list[str] | None,
    constants: dict[str, str],
    fields: FieldsOf | None = None,
) -> tuple[ColumnMapping, frozenset[str]]:
    """The mapping that one has said, and the columns to leave aside. What a file leaves out is left
    out. `fields` are those of an event unless they are given."""
    from doublet.imports.fields import FIELD
    from doublet.imports.mapping import Mapping as ColumnMapping
    from doublet.imports.mapping import check_field, read_mapping

    kept = read_mapping(file) if file else ColumnMapping({})
    columns, aside = dict(kept.columns), set()
    for pair in maps or []:
        # A column's name may hold the sign; a field's does not.
        column, sign, field = pair.rpartition("=")
        if not sign or not column:
            raise typer.BadParameter(f"{pair!r} is not of the form --map COLUMN=FIELD.")
        if field:
            columns[column] = check_field(field, fields or FIELD)
        else:
            columns.pop(column, None)
            aside.add(column)
    kept.columns, kept.constants = columns, {**kept.constants, **constants}
    return kept, frozenset(aside)


def guess_columns(
    source: FileSource,
    given: ColumnMapping,
    aside: frozenset[str],
    guess: GuessOf,
    fields: FieldsOf | None = None,
    *,
    is_whole: bool = False,
) -> Guessed:
    """What each column is, as `guess` has it from columns, some rows, what was given and what is
    left aside; `is_whole` says that nothing is to be guessed."""
    from doublet.errors import SenderError
    from doublet.imports.fields import FIELD
    from doublet.imports.mapping import check_mapping

    fields = fields or FIELD
    columns, rows = source.sample()
    if source.format == "jsonl":
        # Not every object has every key.
        columns = list(dict.fromkeys([*columns, *given.columns]))
    check_mapping(given, columns, fields)
    for column in sorted(aside - set(columns)):
        raise SenderError(f"The file has no column {column!r}.", "The table shows all columns.")
    if is_whole:
        aside = frozenset(columns) - given.columns.keys()
    guessed = guess(columns, rows, given, aside)
    check_mapping(guessed.mapping, columns, fields)
    return guessed


def show(source: FileSource, guessed: Guessed, owner: Account) -> None:
    """Print what each column is, why, and what is left aside."""
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


def for_programs(guessed: Guessed) -> dict[str, Any]:
    """The mapping for programs."""
    return {
        "columns": {each.column: each.field for each in guessed.columns if each.field},
        "constants": {field: text for field, (text, _) in guessed.constants.items()},
        "left_aside": [each.column for each in guessed.columns if not each.field],
        "decimals": guessed.mapping.decimals,
        "dates": guessed.mapping.dates,
    }


def check_complete(lacking: list[str], page: str = "imports") -> None:
    """Raises SenderError when the mapping lacks something, with it in words; `page` lists the
    fields."""
    from doublet.errors import SenderError

    if lacking:
        raise SenderError(
            "Nothing says " + "\nnor ".join(lacking) + ".",
            f"Say it and run the command again; docs/{page}.md lists the fields.",
        )


def confirm() -> None:
    """Ask whether the mapping is right. Raises OperatorError when it is not, or nobody can be
    asked."""
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
