"""`doublet report …`: what happened, as a table, JSON or CSV."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table as RichTable

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    PixelOption,
    SetOption,
    err,
    open_catalog,
    out,
    read_settings,
)
from doublet.errors import OperatorError

report_app = typer.Typer(help="What happened.", no_args_is_help=True)


@report_app.command("overview")
def report_overview(
    account: AccountOption = None,
    pixel: PixelOption = None,
    since: Annotated[datetime | None, typer.Option(help="First day.", formats=["%Y-%m-%d"])] = None,
    until: Annotated[datetime | None, typer.Option(help="Last day.", formats=["%Y-%m-%d"])] = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    pairs: SetOption = None,
) -> None:
    """Per event name: copies from both sides, events after deduplication, value counted once.

    Example: doublet report overview --since 2026-11-01 --json
    """
    from doublet import reports
    from doublet.ask import Filters, read_overview, read_overview_csv

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one report; choose one.")
    if since and until and until < since:
        raise typer.BadParameter("--until is a day before --since; swap them.")
    chosen = read_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    if pixel and pixel not in {known.pixel_id for known in catalog.pixels(owner.account_id)}:
        raise OperatorError(
            f"Account {owner.account_id} has no pixel {pixel!r}.",
            "`doublet pixel list` shows the pixels of each account.",
        )
    filters: Filters = {
        "pixel_id": pixel,
        "since": since.date() if since else None,
        "until": until.date() if until else None,
    }
    if as_csv:
        print(read_overview_csv(chosen, owner, **filters), end="")
        return
    rows = read_overview(chosen, owner, **filters)
    if as_json:
        print(msgspec.json.format(reports.as_json(rows), indent=2).decode())
    elif rows:
        _print_overview(rows)
    else:
        given = {"--pixel": pixel, "--since": filters["since"], "--until": filters["until"]}
        _say_none(" ".join(f"{flag} {value}" for flag, value in given.items() if value))


def _say_none(filters: str) -> None:
    if filters:
        err.print(f"No event matches {escape(filters)}. Leave filters out to see more.")
    else:
        err.print("No events yet. `doublet pixel create NAME` prints what to paste into a site.")


_COUNTS = ("browser", "server", "events", "both", "browser_only", "server_only")


def _print_overview(rows: list[Any]) -> None:
    table = RichTable("event")
    for title in ("browser", "server", "events", "both", "browser only", "server only", "value"):
        figures = len(title) if title == "value" else len(title.split()[0])
        table.add_column(title, justify="right", no_wrap=title == "value", min_width=figures)
    for row in rows:
        value = "\n".join(f"{amount:,.2f} {c}" for c, amount in sorted(row.value.items()))
        table.add_row(row.event_name, *(f"{getattr(row, name):,}" for name in _COUNTS), value)
    out.print(table)
