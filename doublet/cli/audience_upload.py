"""`doublet audience upload`: a file of customers into a list, hashed on this machine."""

from __future__ import annotations

import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from doublet.cli.audience import Which, match_lines, open_audience
from doublet.cli.imports import Encoding, Format
from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    out,
    print_json,
    record,
)
from doublet.errors import SenderError

if TYPE_CHECKING:
    from doublet.audiences.lists import Change
    from doublet.catalog import Audience, Catalog
    from doublet.imports.files import FileSource
    from doublet.settings import Settings

File = Annotated[
    Path, typer.Argument(help="CSV, JSON lines (both also .gz) or Parquet, by its name.")
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", help="COLUMN=KEY, such as Mail=EMAIL; COLUMN= leaves one aside."),
]
_SAMPLES_SHOWN = 5
_SAMPLES_MAX = 100
_BATCH_ROWS = 5_000


@dataclass
class Uploaded:
    """What became of a file: rows read, those of no use by reason, and what the first of these look
    like."""

    rows: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)

    def note(self, rows: int, invalid: Mapping[str, int], samples: Sequence[str]) -> None:
        """Count more."""
        self.rows += rows
        self.invalid.update(invalid)
        self.samples.extend(samples[: _SAMPLES_MAX - len(self.samples)])


def audience_upload(
    which: Which,
    file: File,
    maps: Maps = None,
    remove: Annotated[bool, typer.Option(help="Take these people out instead.")] = False,
    replace: Annotated[
        bool, typer.Option(help="Have these people in the list and nobody else.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look through the file.")] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for a server to match them.", min=0)
    ] = 15.0,
    encoding: Encoding = "utf-8",
    form: Format = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Put the people of a file into a list: email, phone, first name and so on, plain or SHA-256.

    What each column is, goes by its name; others are left aside, and --map says it better. Values
    are hashed here, before anything is kept. The same file again changes nothing.

    Example: doublet audience upload "Customers" customers.csv --dry-run
    """
    from doublet.imports.files import open_source

    if remove and replace:
        raise SenderError("--remove and --replace exclude each other.", "Choose one.")
    chosen, catalog, audience = open_audience(which, account, data, pairs)
    if audience.subtype != "CUSTOM":
        raise SenderError(
            f"{audience.name!r} is no list of customers.",
            "Make one with `doublet audience create NAME --list`.",
        )
    source = open_source(file, form, encoding)
    columns = choose_columns(source.sample()[0], maps or [])
    if not as_json:
        for column, key in columns.items():
            err.print(f"{literal(column)} → {key or 'left aside'}", soft_wrap=True)
    change: Change = "remove" if remove else "replace" if replace else "add"
    done = _bring_in(catalog, audience, source, columns, None if dry_run else change)
    if not dry_run:
        what = "list.replaced" if replace else "list.changed"
        counts = {"change": change, "rows": done.rows, "invalid": done.invalid.total()}
        record(catalog, what, audience.name, audience.account_id, **counts)
        catalog.lists.sweep(int(time.time()))
        if is_served(chosen):
            _wait(catalog, audience, wait_s)
    _tell(catalog, audience, columns, done, as_json, is_dry=dry_run)


def choose_columns(columns: list[str], maps: list[str]) -> dict[str, str]:
    """The key of each column of a file, empty for one that is left aside. Raises SenderError where
    none is left, and for a column that is not there."""
    from doublet.audiences.list_rows import KEYS, VALUE, column_of
    from doublet.imports.fields import KNOWN_NAMES, plain_name

    key_of_field = {known_as: key for key, known_as in KEYS.items()}
    found: dict[str, tuple[str, int]] = {}
    for column in columns:
        name = plain_name(column)
        known = KNOWN_NAMES.get(name)
        if name in _NAMES:
            found[column] = _NAMES[name], 0
        elif known is not None and known.field in key_of_field:
            found[column] = key_of_field[known.field], known.place + 1
    chosen = dict.fromkeys(columns, "")
    taken: set[str] = set()
    for column, (key, _) in sorted(found.items(), key=lambda each: each[1][1]):
        if key not in taken or key in ("EMAIL", "PHONE"):
            chosen[column] = key
            taken.add(key)
    for pair in maps:
        column, sign, key = pair.rpartition("=")
        if not sign or column not in chosen:
            raise SenderError(
                f"--map {pair!r} names no column of the file.",
                f"Write COLUMN=KEY; there are {', '.join(columns)}.",
            )
        chosen[column] = column_of(key) if key.strip() else ""
    if not set(chosen.values()) & set(KEYS):
        raise SenderError(
            "No column is known to say who somebody is.",
            f"Say it with --map COLUMN=KEY; keys are {', '.join((*KEYS, VALUE))}.",
        )
    return chosen


_NAMES = {
    **{
        name: key
        for key, names in {
            "EMAIL": "email emailsha256",
            "PHONE": "phone phonesha256",
            "EXTERN_ID": "externid",
            "MADID": "madid",
            "PAGEUID": "pageuid pagescopeduserid",
            "APPUID": "appuid",
            "UID": "uid",
            "DOB": "dob",
            "DOBY": "doby",
            "DOBM": "dobm",
            "DOBD": "dobd",
            "LOOKALIKE_VALUE": "lookalikevalue value ltv lifetimevalue customervalue",
            "DATA_PROCESSING_OPTIONS": "dataprocessingoptions",
        }.items()
        for name in names.split()
    }
}
"""Names that a customer list's own columns have, as `plain_name` writes them."""


def _bring_in(
    catalog: Catalog,
    audience: Audience,
    source: FileSource,
    columns: dict[str, str],
    change: Change | None,
) -> Uploaded:
    """Read a file, and change the list unless `change` is None."""
    from doublet.audiences.list_rows import RowReader
    from doublet.audiences.lists import ListSession, phone_country, read_rows, take

    used = [column for column, key in columns.items() if key]
    country = phone_country(catalog, audience.account_id)
    reader = RowReader([columns[column] for column in used], country)
    session_id = str(secrets.randbits(62))
    done = Uploaded()
    with source.rows() as found, _bar() as bar:
        task = bar.add_task("Reading …", total=None, rows="0")
        lines = _cells(found, used, done)
        seq = 0
        batch = list(islice(lines, _BATCH_ROWS))
        while batch or not seq:
            seq += 1
            after = list(islice(lines, _BATCH_ROWS))
            rows = read_rows(reader, batch, first=done.rows + 1)
            if change is not None:
                session = ListSession(session_id, seq, not after)
                take(catalog, audience, change, rows, session, int(time.time()))
            done.note(rows.received, rows.invalid, rows.samples)
            bar.update(task, rows=f"{done.rows:,}")
            batch = after
    return done


def _cells(found: Iterator[Any], used: list[str], done: Uploaded) -> Iterator[list[Any]]:
    """The cells of the columns in use; a line that cannot be read is a row of no use."""
    from doublet.imports.files import Fault

    for row in found:
        if isinstance(row, Fault):
            done.note(1, {row.message: 1}, [f"Line {row.line}: {row.message}"])
        else:
            yield [row.values.get(column) for column in used]


def _bar() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.fields[rows]} rows"))
    return Progress(*columns, console=err, transient=True)


def is_served(chosen: Settings) -> bool:
    """Whether a worker runs, which matches lists."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(chosen.worker_socket)) == 0


def _wait(catalog: Catalog, audience: Audience, wait_s: float) -> None:
    """Until the worker says how the list matches, or no longer than that."""
    give_up_at = time.monotonic() + wait_s
    while time.monotonic() < give_up_at:
        match = catalog.audiences.state(audience.audience_id).get("match") or {}
        if match.get("version") == catalog.lists.version(audience.audience_id):
            return
        time.sleep(0.25)


def _tell(
    catalog: Catalog,
    audience: Audience,
    columns: dict[str, str],
    done: Uploaded,
    as_json: bool,
    *,
    is_dry: bool,
) -> None:
    entries = catalog.lists.count(audience.audience_id)
    if as_json:
        print_json(
            {
                "audience_id": audience.audience_id,
                "columns": columns,
                "rows": done.rows,
                "invalid": dict(done.invalid),
                "invalid_samples": done.samples,
                "entries": entries,
                "match": None
                if is_dry
                else catalog.audiences.state(audience.audience_id).get("match"),
            }
        )
        return
    verb = "would be" if is_dry else "were"
    good = done.rows - done.invalid.total()
    out.print(f"{done.rows:,} rows {verb} read, {good:,} of use.")
    for why, count in done.invalid.most_common():
        out.print(f"  {count:,} not: {literal(why)}", soft_wrap=True)
    for sample in done.samples[:_SAMPLES_SHOWN]:
        out.print(f"    {literal(sample)}", soft_wrap=True)
    if not is_dry:
        for line in match_lines(catalog, audience):
            out.print(literal(line), soft_wrap=True)
