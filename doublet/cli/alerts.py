"""`doublet alerts`: what is unusual, and what was."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    literal,
    open_catalog,
    out,
    print_json,
    read_kept_settings,
)


def alerts(
    account: AccountOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are over, newest first.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List what left its usual band for that hour of the week, and where to look.

    Example: doublet alerts --all
    """
    from doublet.alerts.book import as_alert

    catalog = open_catalog(read_kept_settings(data, pairs))
    rows = catalog.alerts(catalog.account(account).account_id if account else None)
    found = [as_alert(row) for row in rows if everything or row.closed_at is None]
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    if not found:
        out.print("Nothing unusual.")
    for alert in found:
        until = f" to {alert.closed_at:%Y-%m-%d %H:%M}" if alert.closed_at else ""
        head = f"{alert.opened_at:%Y-%m-%d %H:%M}{until} UTC, pixel {alert.pixel_id}"
        out.print(f"[bold]{head}[/bold]: {alert.measure}")
        out.print(f"  {literal(alert.sentence)}", soft_wrap=True)
