"""`doublet person show|merges|unmerge|decisions`: who is who, why, and what is kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table as RichTable

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    open_catalog,
    out,
    print_rows,
    read_kept_settings,
    record,
)
from doublet.cli.report import check_forms
from doublet.settings import Settings

if TYPE_CHECKING:
    from doublet.catalog import Account

Identifier = Annotated[str, typer.Argument(help="KEY=VALUE, e.g. em=jo@example.com; hashed too.")]
Since = Annotated[datetime | None, typer.Option(help="First day.", formats=["%Y-%m-%d"])]
Until = Annotated[datetime | None, typer.Option(help="Last day.", formats=["%Y-%m-%d"])]


def person_show(
    identifiers: Annotated[
        list[str], typer.Argument(help="KEY=VALUE, e.g. em=jo@example.com; hashed too.")
    ],
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Say who has an identifier, what is known of the person, and why it is one person.

    Example: doublet person show em=jo@example.com
    """
    from doublet.ask_persons import read_persons
    from doublet.unmerging import read_identifier

    wanted = frozenset[str]().union(*map(read_identifier, identifiers))
    chosen = read_kept_settings(data, pairs)
    found = read_persons(chosen, open_catalog(chosen).account(account), wanted)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    if found.shared:
        err.print(f"{found.shared} of them stand beside too many others and join nobody.")
    if not found.persons:
        err.print("Nobody has these identifiers." if not found.known else "They are nobody's.")
    for person in found.persons:
        out.print(f"Person {person.person_id}, known since {person.first_at:%Y-%m-%d %H:%M} UTC")
        print(f"  {person.identifiers}")
        print(
            f"  {person.records:,} records, {person.touchpoints:,} touchpoints, "
            f"{person.conversions:,} conversions"
        )
        for merge in person.merges:
            print(f"  {_in_words(merge)}")


def _in_words(merge: Any) -> str:
    record = "an ad touch"
    if merge.pixel_id is not None:
        record = f"{merge.event_name or 'an event'} {merge.event_id or 'without id'}"
    credit = f"; {merge.restated_conversions:,} conversions got their credit anew"
    return (
        f"{merge.merged_at:%Y-%m-%d %H:%M}: {merge.person_id} is {merge.merged_into}, since "
        f"{literal(record)} carries {merge.carried}{credit if merge.restated_conversions else ''}."
    )


def person_merges(
    since: Since = None,
    until: Until = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    pairs: SetOption = None,
) -> None:
    """List which persons turned out to be one: when, by what, and how much credit that moved.

    Example: doublet person merges --since 2026-11-01
    """
    from doublet import reports
    from doublet.ask_persons import read_merges
    from doublet.reports.persons import MERGES_MAX, MergeRow

    check_forms(since, until, as_json and as_csv)
    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    rows = read_merges(chosen, owner, since and since.date(), until and until.date())
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    elif as_csv:
        print(reports.as_csv(rows, MergeRow), end="")
    elif not rows:
        err.print("No persons were merged.")
    else:
        table = RichTable("when (UTC)", "person", "is", "since", "carries")
        table.add_column("credit anew", justify="right")
        for row in rows:
            event = f"{row.event_name} {row.event_id or ''}".strip()
            table.add_row(
                f"{row.merged_at:%Y-%m-%d %H:%M}",
                *(row.person_id, row.merged_into),
                *(literal(event if row.event_name else "an ad touch"), row.carried),
                f"{row.restated_conversions:,}",
            )
        out.print(table)
        if len(rows) == MERGES_MAX:
            err.print(f"These are the latest {MERGES_MAX:,}; --since and --until show others.")


def person_unmerge(
    one: Identifier,
    other: Identifier,
    reason: Annotated[str, typer.Option(help="Why, for who reads it later.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take the decision back.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Decide that two identifiers are not one person's; whatever joined them no longer does.

    The decision is a record of the log, so that a rebuild keeps it.

    Example: doublet person unmerge em=ann@example.com em=bea@example.com --reason "Two sisters"
    """
    from doublet.unmerging import unmerge

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    for line in _doubts(chosen, owner, one, other, undo):
        err.print(literal(line))
    unmerge(chosen, owner.account_id, one, other, reason, revoked=undo)
    record(catalog, "person.unmerged", "", owner.account_id, undo=undo)
    if as_json:
        print(msgspec.json.encode({"unmerged": not undo}).decode())
    else:
        done = "No decision keeps them apart any more" if undo else "They are kept apart"
        print(f"{done}; `doublet refresh` takes it into the tables now.")


def _doubts(settings: Settings, owner: Account, one: str, other: str, undo: bool) -> Iterator[str]:
    """Why a decision may be a mistake; it may also come before what it is about."""
    from doublet.accept import decision_id
    from doublet.ask_persons import read_decisions, read_persons
    from doublet.unmerging import read_identifier

    sides = [read_identifier(one), read_identifier(other)]
    if undo:
        pairs = {decision_id(a, b) for a, b in product(*sides)}
        rows = read_decisions(settings, owner)
        if not any(row.decision_id in pairs and not row.is_revoked for row in rows):
            yield "No decision that holds is about these two; see `doublet person decisions`."
        return
    for place, side in zip(("first", "second"), sides, strict=True):
        if not read_persons(settings, owner, side).known:
            yield f"Nobody has the {place} identifier yet; was it mistyped? The decision holds."


def person_decisions(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List what was decided to be kept apart; identifiers are shown by kind alone."""
    from doublet.ask_persons import read_decisions

    chosen = read_kept_settings(data, pairs)
    rows = read_decisions(chosen, open_catalog(chosen).account(account))
    print_rows([msgspec.to_builtins(row) for row in rows], as_json)


PERSONS_COMMANDS: dict[str, Callable[..., None]] = {
    "show": person_show,
    "merges": person_merges,
    "unmerge": person_unmerge,
    "decisions": person_decisions,
}
"""By name, below `person`."""
