"""What the commands share: their options, the settings they read, how they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from doublet.errors import OperatorError
from doublet.settings import Settings, load_settings

if TYPE_CHECKING:
    from doublet.catalog import Account, Catalog

# Without a terminal nobody can widen the window, and a cut figure is a wrong one.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Data = Annotated[Path | None, typer.Option("--data", help="Folder that holds everything.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def not_empty(text: str | None) -> str | None:
    """An empty option is a script's unset variable: nobody asks for all by that."""
    if text is not None and not text.strip():
        raise typer.BadParameter("It is empty; name one, or leave the option out.")
    return text


AccountOption = Annotated[
    str | None,
    typer.Option(
        "--account",
        help="Account id or name; needed if there are several.",
        callback=not_empty,
    ),
]
PixelOption = Annotated[
    str | None, typer.Option("--pixel", help="Only this pixel.", callback=not_empty)
]
Name = Annotated[str, typer.Argument(help="What people call it.", callback=not_empty)]


def _with_value(pairs: list[str] | None) -> list[str] | None:
    for pair in pairs or []:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} has no value; write name=value.")
    return pairs


SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any setting as name=value; `doublet settings` lists them.",
        callback=_with_value,
    ),
]
ParentOption = Annotated[int, typer.Option("--parent", hidden=True)]


def read_settings(data: Path | None, pairs: list[str] | None = None, **flags: Any) -> Settings:
    """The settings of a command: `flags` that are None were not given. Raises SettingsError."""
    given = {name: value for name, _, value in (pair.partition("=") for pair in pairs or [])}
    return load_settings(
        {
            **given,
            "data": data or given.get("data"),
            **{name: value for name, value in flags.items() if value is not None},
        }
    )


def read_kept_settings(data: Path | None, pairs: list[str] | None) -> Settings:
    """The settings of a data folder that is there: a mistyped one must not look like an empty one.

    Raises OperatorError when there is none.
    """
    chosen = read_settings(data, pairs)
    if not chosen.catalog and not chosen.data.is_dir():
        raise OperatorError(
            f"There is no data folder {chosen.data}.",
            "Name the one you mean with --data; that of `doublet demo` is doublet-demo. "
            "`doublet pixel create NAME` begins a new one.",
        )
    return chosen


def print_json(value: Any) -> None:
    """Print for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def read_secret(file: str) -> str:
    """The secret in a file, in standard input (`-`), or none. Raises OperatorError where the file
    cannot be read."""
    try:
        if file == "-":
            return sys.stdin.read().strip()
        return Path(file).read_text("utf-8").strip() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"{file} is no text file that can be read.", "Put the secret alone in it."
        ) from error


def open_catalog(chosen: Settings) -> Catalog:
    """The catalog, its tables brought to the newest version."""
    from doublet.catalog import Catalog
    from doublet.processes import check_restored

    check_restored(chosen)
    catalog = Catalog(chosen.catalog_url)
    catalog.migrate()
    return catalog


def record(
    catalog: Catalog, what: str, target: str, account_id: str | None = None, **details: Any
) -> None:
    """Put into the record of changes what a command has done; no secrets, nothing personal."""
    from doublet.catalog.changes import COMMAND_LINE

    catalog.changes.record(COMMAND_LINE, what, target, details, account_id=account_id)


def own_pixel(catalog: Catalog, owner: Account, pixel: str | None) -> str | None:
    """The pixel of an option. Raises OperatorError when the account has no such pixel."""
    if pixel and pixel not in {known.pixel_id for known in catalog.pixels(owner.account_id)}:
        raise OperatorError(
            f"Account {owner.account_id} has no pixel {pixel!r}.",
            "`doublet pixel list` shows the pixels of each account.",
        )
    return pixel


def literal(text: str) -> str:
    """A text that others chose, such as an event's name, ready for a console: nothing in it is
    taken for markup, and no control character reaches the terminal.

    >>> literal("[bold]a\\x1b[2J")
    '\\\\[bold]a�[2J'
    """
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def print_rows(rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    """Print rows, for people or for programs; what is None is an empty cell."""
    if as_json:
        print_json(rows)
    elif not rows:
        err.print("None yet.")
    else:
        table = RichTable(*rows[0])
        for row in rows:
            table.add_row(*("" if cell is None else literal(str(cell)) for cell in row.values()))
        out.print(table)
