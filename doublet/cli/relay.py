"""`doublet destination …`, what is under way: status, dead letters, dry run, backfill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
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
    from doublet.relay.fill import Backfilled
    from doublet.settings import Settings

_LOOK_S = 0.5
_END = 1 << 40

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
    replayed: list[int] = []
    if outbox is not None:
        replayed = replay(
            outbox,
            destination.destination_id,
            emission_ids=set(ids) if ids else None,
            reason=reason,
            patch=read_patch(patch),
        )
    if as_json:
        print_json({"replayed": len(replayed)})
    else:
        out.print(f"{len(replayed):,} events will be sent again.")


def destination_preview(
    which: Which,
    limit: Annotated[int, typer.Option(help="How many events.", min=1, max=1000)] = 10,
    event_id: Annotated[
        str | None, typer.Option(help="Only events with this id.", callback=not_empty)
    ] = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Show the exact requests for the latest events, without sending them (a dry run).

    Example: doublet destination preview "Meta" --limit 3
    """
    from doublet.relaying import read_preview

    chosen, _, destination = _open(which, account, data, pairs)
    found = read_preview(chosen, destination, limit, event_id)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    for request in found.requests:
        events = "1 event" if request.events == 1 else f"{request.events:,} events"
        out.print(f"[bold]{request.method}[/] {literal(request.url)}  ({events})", soft_wrap=True)
        for name, value in request.headers.items():
            out.print(f"{literal(name)}: {literal(value)}", soft_wrap=True)
        print_json(request.body) if isinstance(request.body, dict | list) else print(request.body)
    for kept in found.not_sent:
        what = literal(f"{kept.event_name} {kept.event_id or ''}".strip())
        state = "would fail" if kept.is_failure else "is withheld"
        out.print(f"{what} {state}, {kept.reason}: {literal(kept.message)}", soft_wrap=True)
    if not found.requests and not found.not_sent:
        err.print("No event is meant for this destination.")


Day = Annotated[
    datetime, typer.Option(formats=["%Y-%m-%d"], help="Day, in the account's time zone.")
]


def destination_backfill(
    which: Which,
    since: Day,
    until: Day,
    rate: Annotated[float, typer.Option(help="Events a second.", min=0.01, max=1e6)] = 500.0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show how far it is, to the end.")
    ] = True,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Send the events of some days that were not sent yet, both days included.

    Example: doublet destination backfill "Meta" --since 2026-01-01 --until 2026-01-07 --rate 200
    """
    from doublet.relay.fill import Backfill
    from doublet.relaying import backfill
    from doublet.reports import bounds

    chosen, catalog, destination = _open(which, account, data, pairs)
    owner = catalog.account(destination.account_id)
    begin, end = bounds(owner, since.date(), until.date())
    # Events have no time before 1970, and the calendar ends before time does.
    begin, end = max(begin or 0, 0), end or _END
    if begin >= end:
        raise typer.BadParameter("--until is before --since; swap them.")
    with err.status("Looking for events …"):
        done = backfill(chosen, destination, Backfill(begin, end, rate))
    outbox = _outbox(chosen)
    if wait and outbox is not None and done.events and not as_json:
        if destination.is_paused:
            err.print("It is paused; they wait for `doublet destination resume`.")
        else:
            _show_progress(outbox, destination, done)
    if as_json:
        print_json(msgspec.to_builtins(done))
    else:
        out.print(f"{done.events:,} events to send, {done.withheld:,} withheld.")


def _show_progress(outbox: Outbox, destination: Destination, done: Backfilled) -> None:
    """Until nothing waits that is due by then; Ctrl-C ends only the showing. What came since is
    due later, so that a busy site's backfill ends, too."""
    import time

    from rich.progress import Progress

    with Progress(console=err) as progress:
        task = progress.add_task("Sending", total=done.events)
        try:
            while waiting := outbox.left(destination.destination_id, done.due_by):
                progress.update(task, completed=max(0, done.events - waiting))
                time.sleep(_LOOK_S)
            progress.update(task, completed=done.events)
        except KeyboardInterrupt:
            err.print("It goes on; `doublet destination status` shows how far it is.")


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


RELAY_COMMANDS: dict[str, Callable[..., None]] = {
    "status": destination_status,
    "failed": destination_failed,
    "replay": destination_replay,
    "preview": destination_preview,
    "backfill": destination_backfill,
}
"""Further commands of `doublet destination`."""
