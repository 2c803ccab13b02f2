"""`doublet report quality` and `doublet report diagnostics`: what is wrong with what arrives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table as RichTable

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    PixelOption,
    SetOption,
    err,
    literal,
    open_catalog,
    out,
    own_pixel,
    read_kept_settings,
)
from doublet.cli.report import AsCsv, EventNameOption, Since, Until, print_report
from doublet.settings import Settings

if TYPE_CHECKING:
    from doublet.ask import QualityFilters
    from doublet.catalog import Account


def report_quality(
    account: AccountOption = None,
    pixel: PixelOption = None,
    event_name: EventNameOption = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    pairs: SetOption = None,
) -> None:
    """How well the server's events can be matched to people, and which key would help most.

    Without days: the last seven.

    Example: doublet report quality --event-name Purchase
    """
    from doublet import reports
    from doublet.ask import read_quality
    from doublet.reports.quality import QualityKeyRow, by_key

    _one_form(as_json, as_csv)
    chosen = read_kept_settings(data, pairs)
    owner, filters = _question(chosen, account, pixel, event_name, since, until)
    rows = read_quality(chosen, owner, **filters)
    if as_csv:
        print(reports.as_csv(by_key(rows), QualityKeyRow), end="")
    elif as_json:
        print_report(rows)
    elif rows:
        _print_quality(rows)
    else:
        err.print(f"No events from {filters['since']} to {filters['until']}.")


def report_diagnostics(
    account: AccountOption = None,
    pixel: PixelOption = None,
    event_name: EventNameOption = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    pairs: SetOption = None,
) -> None:
    """What is wrong with the events that arrive, on which share of them, and how to mend it.

    Without days: the last seven.

    Example: doublet report diagnostics --since 2026-11-01 --json
    """
    from doublet import reports
    from doublet.ask import read_diagnostics
    from doublet.reports.diagnostics import DiagnosticRow

    _one_form(as_json, as_csv)
    chosen = read_kept_settings(data, pairs)
    owner, filters = _question(chosen, account, pixel, event_name, since, until)
    rows = read_diagnostics(chosen, owner, **filters)
    if as_csv:
        print(reports.as_csv(rows, DiagnosticRow), end="")
    elif as_json:
        print_report(rows)
    elif rows:
        _print_diagnostics(rows)
    else:
        err.print(f"Nothing is wrong from {filters['since']} to {filters['until']}.")


def _one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one report; choose one.")


def _question(
    chosen: Settings,
    account: str | None,
    pixel: str | None,
    event_name: str | None,
    since: datetime | None,
    until: datetime | None,
) -> tuple[Account, QualityFilters]:
    from doublet.reports.quality import window

    if since and until and until < since:
        raise typer.BadParameter("--until is a day before --since; swap them.")
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    today = datetime.now(ZoneInfo(owner.time_zone)).date()
    first, last = window(since.date() if since else None, until.date() if until else None, today)
    return owner, {
        "pixel_id": own_pixel(catalog, owner, pixel),
        "event_name": event_name,
        "since": first,
        "until": last,
    }


def _print_quality(rows: Sequence[Any]) -> None:
    table = RichTable("event")
    for title in ("server events", "score", "joinable", "coverage", "additional"):
        table.add_column(title, justify="right")
    table.add_column("would add most")
    for row in rows:
        best = sorted(row.gain.items(), key=lambda gain: (-gain[1], gain[0]))[:3]
        table.add_row(
            literal(row.event_name),
            f"{row.server_events:,}",
            "–" if row.score is None else f"{row.score:.1f}",
            *map(
                _percent,
                (row.joinable_share, row.event_coverage_share, row.additional_share),
            ),
            ", ".join(f"{key} +{gain:.1f}" for key, gain in best if gain > 0),
        )
    out.print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _print_diagnostics(rows: Sequence[Any]) -> None:
    table = RichTable("what", "event", "severity")
    table.add_column("events", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what to do")
    for row in rows:
        table.add_row(
            f"{row.title}\n{row.diagnostic}",
            literal(row.event_name),
            row.severity,
            f"{row.affected:,}",
            _percent(row.share),
            row.fix,
        )
    out.print(table)
