"""`doublet report …`: what happened, as a table, JSON or CSV."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
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
    read_kept_settings,
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
    chosen = read_kept_settings(data, pairs)
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


@report_app.command("orders")
def report_orders(
    account: AccountOption = None,
    since: Annotated[datetime | None, typer.Option(help="First day.", formats=["%Y-%m-%d"])] = None,
    until: Annotated[datetime | None, typer.Option(help="Last day.", formats=["%Y-%m-%d"])] = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    pairs: SetOption = None,
) -> None:
    """Per day and currency: orders, gross, refunds, cancelled and net, each order counted once.

    Refunds and cancellations belong to the day of the order, whenever they came.

    Example: doublet report orders --since 2026-11-01 --csv
    """
    from doublet import reports
    from doublet.ask import read_orders
    from doublet.reports.orders import OrdersRow

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one report; choose one.")
    if since and until and until < since:
        raise typer.BadParameter("--until is a day before --since; swap them.")
    chosen = read_kept_settings(data, pairs)
    owner = open_catalog(chosen).account(account)
    days = {"since": since.date() if since else None, "until": until.date() if until else None}
    report = read_orders(chosen, owner, **days)
    if as_json:
        print_report(report)
        return
    if as_csv:
        print(reports.as_csv(report.rows, OrdersRow), end="")
    elif report.rows:
        _print_orders(report)
    else:
        err.print("No orders." if since or until else "No orders yet.")
    for note in _notes(report):
        err.print(escape(note))


def print_report(report: Any) -> None:
    """Print a report for programs, money as numbers."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    print(msgspec.json.format(encoder.encode(report), indent=2).decode())


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _print_orders(report: Any) -> None:
    table = RichTable("day", "currency")
    for title in ("orders", "gross", "refunds", "cancelled", "net", "pending", "conflicts"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(f"net in {report.currency}", justify="right", no_wrap=True)
    for row in report.rows:
        sums = (row.gross, row.refunds, row.cancelled, row.net, row.pending)
        converted = "no rate" if row.net_converted is None else _money(row.net_converted)
        table.add_row(
            str(row.day),
            row.currency or "(none)",
            f"{row.orders:,}",
            *map(_money, sums),
            f"{row.conflicts:,}",
            converted,
        )
    out.print(table)
    out.print(f"Net in {report.currency}: {_money(report.net_converted)}")


def _notes(report: Any) -> list[str]:
    notes = []
    if report.without_rate:
        names = ", ".join(currency or "(none)" for currency in report.without_rate)
        notes.append(
            f"Not in the sum, for lack of a rate: {names}. `doublet rates import` takes rates."
        )
    if report.purchases_without_order_id:
        notes.append(
            f"{report.purchases_without_order_id:,} Purchase events bear no order_id and are in no "
            "ledger; send custom_data.order_id."
        )
    return notes
