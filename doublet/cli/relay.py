"""`doublet destination …`, what is under way: status, dead letters, dry run, backfill."""

from __future__ import annotations

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
    not_empty,
    open_catalog,
    out,
    print_json,
    read_kept_settings,
)
from doublet.cli.refused import read_patch

if TYPE_CHECKING:
    from doublet.catalog import Catalog, Destination
    from doublet.destinations.status import DestinationStatus
    from doublet.outbox import Outbox
    from doublet.settings import Settings

Which = Annotated[
    str, typer.Argument(metavar="DESTINATION", help="Name or id.", callback=not_empty)
]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", help="Only this reason, as `failed` shows it.", callback=not_empty),
]


def destination_status(
    which: Annotated[
        str | None, typer.Argument(metavar="[DESTINATION]", help="Name or id; else all.")
    ] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Show what was sent, what waits, what failed and why, and how far behind each one is.

    Example: doublet destination status
    """
    from doublet.destinations.status import status

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account).account_id if account else None
    found = [catalog.destination(which, owner)] if which else catalog.destinations(owner)
    outbox = _outbox(chosen)
    rows = status(outbox, found)
    if as_json:
        print_json(msgspec.to_builtins(rows))
        return
    if not rows:
        err.print("None yet; `doublet destination create` makes one.")
        return
    table = RichTable("destination", "sent", "ready", "waiting", "failed", "withheld", "lag", "now")
    for row in rows:
        counts = (row.sent, row.ready, row.waiting, row.failed, row.withheld)
        lag = f"{row.lag_s:,.0f} s" if row.lag_s >= 1 else ""
        table.add_row(literal(row.name), *(f"{n:,}" for n in counts), lag, literal(_now(row)))
    out.print(table)
    for row in rows:
        for state, reasons in row.reasons.items():
            for reason, events in sorted(reasons.items(), key=lambda pair: -pair[1]):
                out.print(f"{literal(row.name)}: {events:,} {state}, {literal(reason)}")


def _now(row: DestinationStatus) -> str:
    if row.is_paused:
        return "paused"
    if (hindrance := row.hindrance) is None:
        return row.last_answer or "nothing asked yet"
    until = f"{hindrance.until:%H:%M:%S} UTC"
    return f"{hindrance.verdict} until {until}: {hindrance.message}"


def destination_failed(
    which: Which,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the events that a destination did not take, each with what it said.

    Example: doublet destination failed "Meta" --limit 5
    """
    from doublet.destinations.status import dead_letters

    chosen, _, destination = _open(which, account, data, pairs)
    outbox = _outbox(chosen)
    found = dead_letters(outbox, destination.destination_id, reason, limit) if outbox else []
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    if not found:
        err.print("None.")
    for letter in found:
        name = literal(f"{letter.event_name} {letter.event_id or ''}".strip())
        out.print(f"[bold]{letter.emission_id}[/] {name}: {literal(letter.reason)}")
        out.print(f"  {literal(letter.message)}", soft_wrap=True)


def destination_replay(
    which: Which,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]…", help="As `failed` shows them.")
    ] = None,
    reason: ReasonOption = None,
    every: Annotated[bool, typer.Option("--all", help="All that failed.")] = False,
    patch: Annotated[
        str | None, typer.Option(help="JSON merge patch for each event; null removes a field.")
    ] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Send events again that a destination did not take, mended by a patch if need be.

    Example: doublet destination replay "Meta" --reason 100/2804010 --patch '{"currency": "EUR"}'
    """
    from doublet.destinations.status import replay

    if not (ids or reason or every):
        raise typer.BadParameter("Name events by id, a --reason, or --all.")
    chosen, _, destination = _open(which, account, data, pairs)
    outbox = _outbox(chosen)
    chosen_ids = set(ids) if ids else None
    mending = read_patch(patch)
    replayed = (
        replay(
            outbox,
            destination.destination_id,
            emission_ids=chosen_ids,
            reason=reason,
            patch=mending,
        )
        if outbox
        else []
    )
    if as_json:
        print_json({"replayed": len(replayed)})
    else:
        out.print(f"{len(replayed):,} events will be sent again.")


def _open(
    which: str, account: str | None, data: Any, pairs: list[str] | None
) -> tuple[Settings, Catalog, Destination]:
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account).account_id if account else None
    return chosen, catalog, catalog.destination(which, owner)


def _outbox(chosen: Settings) -> Outbox | None:
    """None where nothing was ever relayed."""
    from doublet.outbox import Outbox

    return Outbox(chosen.outbox_file) if chosen.outbox_file.exists() else None
