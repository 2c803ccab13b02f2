"""`doublet report …`: what happened, as a table, JSON or CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    literal,
    not_empty,
    open_catalog,
    out,
    own_pixel,
    read_kept_settings,
)
from doublet.settings import Settings

if TYPE_CHECKING:
    from doublet.ask import Filters
    from doublet.catalog import Account

report_app = typer.Typer(help="What happened.", no_args_is_help=True)

Since = Annotated[datetime | None, typer.Option(help="First day.", formats=["%Y-%m-%d"])]
Until = Annotated[datetime | None, typer.Option(help="Last day.", formats=["%Y-%m-%d"])]
WithMarked = Annotated[
    bool, typer.Option("--with-marked", help="Count marked hits of browsers too.")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
EventNameOption = Annotated[
    str | None, typer.Option("--event-name", help="Only this event.", callback=not_empty)
]


@report_app.command("overview")
def report_overview(
    account: AccountOption = None,
    pixel: PixelOption = None,
    since: Since = None,
    until: Until = None,
    with_marked: WithMarked = False,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    pairs: SetOption = None,
) -> None:
    """Per event name: copies from both sides, events after deduplication, value counted once.

    Example: doublet report overview --since 2026-11-01 --json
    """
    from doublet.ask import read_overview, read_overview_csv

    check_forms(since, until, as_json and as_csv)
    chosen = read_kept_settings(data, pairs)
    owner, filters = question_of(chosen, account, pixel, since, until)
    filters["with_marked"] = with_marked
    if as_csv:
        print(read_overview_csv(chosen, owner, **filters), end="")
        return
    rows = read_overview(chosen, owner, **filters)
    if as_json:
        _print_rows_as_json(rows)
    elif rows:
        _print_overview(rows)
    else:
        _say_none(filters)


@report_app.command("coverage")
def report_coverage(
    account: AccountOption = None,
    pixel: PixelOption = None,
    event_name: EventNameOption = None,
    by: Annotated[
        Literal["name", "day"], typer.Option(help="A row per event name, or also per day.")
    ] = "name",
    since: Since = None,
    until: Until = None,
    with_marked: WithMarked = False,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    pairs: SetOption = None,
) -> None:
    """What browser and server alone would have missed, and what adding both would have claimed.

    Example: doublet report coverage --event-name Purchase --by day
    """
    from doublet.ask import CoverageFilters, read_coverage, read_coverage_csv

    check_forms(since, until, as_json and as_csv)
    chosen = read_kept_settings(data, pairs)
    owner, filters = question_of(chosen, account, pixel, since, until)
    filters["with_marked"] = with_marked
    more: CoverageFilters = {**filters, "event_name": event_name, "by_day": by == "day"}
    if as_csv:
        print(read_coverage_csv(chosen, owner, **more), end="")
        return
    rows = read_coverage(chosen, owner, **more)
    if as_json:
        _print_rows_as_json(rows)
    elif rows:
        _print_coverage(rows, by == "day")
    else:
        _say_none({**filters, "event_name": event_name})


def check_forms(since: datetime | None, until: datetime | None, is_twofold: bool) -> None:
    """What cannot be meant, whatever the data folder holds."""
    if is_twofold:
        raise typer.BadParameter("--json and --csv are two forms of one report; choose one.")
    if since and until and until < since:
        raise typer.BadParameter("--until is a day before --since; swap them.")


def question_of(
    chosen: Settings,
    account: str | None,
    pixel: str | None,
    since: datetime | None,
    until: datetime | None,
) -> tuple[Account, Filters]:
    """The account that a report is about and the filters it is asked for, checked."""
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    return owner, {
        "pixel_id": own_pixel(catalog, owner, pixel),
        "since": since.date() if since else None,
        "until": until.date() if until else None,
    }


def _print_rows_as_json(rows: Sequence[msgspec.Struct]) -> None:
    from doublet import reports

    print(msgspec.json.format(reports.as_json(rows), indent=2).decode())


def _say_none(filters: Mapping[str, Any]) -> None:
    given = " ".join(
        f"--{name.removesuffix('_id').replace('_', '-')} {value}"
        for name, value in filters.items()
        if value and name != "with_marked"
    )
    if given:
        err.print(f"No event matches {literal(given)}. Leave filters out to see more.")
    else:
        err.print("No events yet. `doublet pixel create NAME` prints what to paste into a site.")


_COUNTS = ("browser", "server", "events", "both", "browser_only", "server_only")


def _print_overview(rows: Sequence[Any]) -> None:
    table = RichTable("event")
    for title in ("browser", "server", "events", "both", "browser only", "server only", "value"):
        figures = len(title) if title == "value" else len(title.split()[0])
        table.add_column(title, justify="right", no_wrap=title == "value", min_width=figures)
    for row in rows:
        value = "\n".join(f"{amount:,.2f} {literal(c)}" for c, amount in sorted(row.value.items()))
        table.add_row(
            literal(row.event_name), *(f"{getattr(row, name):,}" for name in _COUNTS), value
        )
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

    check_forms(since, until, as_json and as_csv)
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


@report_app.command("leads")
def report_leads(
    account: AccountOption = None,
    pixel: PixelOption = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    pairs: SetOption = None,
) -> None:
    """Per stage that CRMs have reported back: leads, their share of all, and after how long.

    Example: doublet report leads --since 2026-11-01 --csv
    """
    from doublet import reports
    from doublet.ask import read_leads
    from doublet.reports.leads import LeadStageRow, duration

    check_forms(since, until, as_json and as_csv)
    chosen = read_kept_settings(data, pairs)
    owner, filters = question_of(chosen, account, pixel, since, until)
    report = read_leads(
        chosen, owner, pixel_id=filters["pixel_id"], since=filters["since"], until=filters["until"]
    )
    if as_json:
        print_report(report)
    elif as_csv:
        print(reports.as_csv(report.rows, LeadStageRow), end="")
    elif not report.leads:
        err.print("No leads match." if any(filters.values()) else "No leads yet.")
    else:
        rows = [
            [
                literal(row.stage),
                f"{row.leads:,}",
                reports.as_percent(row.leads, report.leads),
                f"{row.matched:,}",
                duration(row.median_s),
            ]
            for row in report.rows
        ]
        titles = ["stage", "leads", "of all leads", "matched", "half of them within"]
        print_figures(titles, rows, 1, anyway=True)
        out.print(f"{report.leads:,} leads, {report.matched:,} of them reported by a browser.")


def print_report(report: Any) -> None:
    """Print a report for programs, money as numbers."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    print(msgspec.json.format(encoder.encode(report), indent=2).decode())


def money(value: Decimal) -> str:
    """An amount with two decimals."""
    return f"{value:,.2f}"


def _print_orders(report: Any) -> None:
    titles = ["day", "currency", "orders", "gross", "refunds", "cancelled", "net", "pending"]
    rows = []
    for row in report.rows:
        sums = (row.gross, row.refunds, row.cancelled, row.net, row.pending)
        converted = "–" if row.net_converted is None else money(row.net_converted)
        first = [str(row.day), literal(row.currency or "(none)"), f"{row.orders:,}"]
        rows.append([*first, *map(money, sums), f"{row.conflicts:,}", converted])
    titles += ["conflicts", f"net in {report.currency}"]
    print_figures(titles, rows, 2, anyway=True)
    out.print(f"Net in {report.currency}: {money(report.net_converted)}")


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


def _print_coverage(rows: Sequence[Any], by_day: bool) -> None:
    """Counts with what they mean in per cent; below them the same for each currency."""
    from doublet.reports import as_percent

    def figures(whole: int | Decimal, browser: Any, server: Any, added: Any) -> list[str]:
        form = ",.2f" if isinstance(whole, Decimal) else ",d"
        cells = [format(whole, form)]
        for alone in (browser, server):
            cells += [format(alone, form), as_percent(whole - alone, whole) if whole > 0 else "–"]
        over = as_percent(added - whole, whole) if whole > 0 else "–"
        return [*cells, format(added, form), over]

    def cells(row: Any, *sides: str) -> list[str]:
        lines = [figures(row.events, row.browser_alone, row.server_alone, row.added)]
        for _, value in sorted(row.value.items()):
            alone = (value.browser_alone, value.server_alone, value.added)
            lines.append(figures(value.value, *alone))
        return [
            "\n".join([literal(row.event_name), *(f"  {code}" for code in sorted(row.value))]),
            *([str(row.day)] if by_day else []),
            *(f"{getattr(row, side):,}" for side in sides),
            *("\n".join(column) for column in zip(*lines, strict=True)),
        ]

    sides = ("browser_only", "both", "server_only")
    first = ["event", "day"] if by_day else ["event"]
    titles = ["Doublet", "browser alone", "missed", "server alone", "missed"]
    titles += ["added up", "too many"]
    with_sides = [*first, *(side.replace("_", " ") for side in sides), *titles]
    if not print_figures(with_sides, [cells(row, *sides) for row in rows], len(first)):
        print_figures([*first, *titles], [cells(row) for row in rows], len(first), anyway=True)


def print_figures(
    titles: Sequence[str], rows: Sequence[Sequence[str]], names: int, *, anyway: bool = False
) -> bool:
    """Print a table whose first `names` columns are text. Titles may wrap, figures never; False,
    and nothing printed, when the terminal is too narrow for that, unless `anyway`."""
    table = RichTable()
    room = 1
    for n, column in enumerate(zip(titles, *rows, strict=True)):
        words = [*column[0].split(), *(line for cell in column[1:] for line in cell.split("\n"))]
        widest = max(map(len, words))
        table.add_column(column[0], justify="left" if n < names else "right", min_width=widest)
        room += widest + 3
    if room > out.width and not anyway:
        return False
    for row in rows:
        table.add_row(*row)
    out.print(table, width=max(room, out.width), crop=False)
    return True
