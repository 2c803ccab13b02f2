"""`doublet refused …`: what was refused, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
import typer

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
    print_json,
    read_kept_settings,
)
from doublet.errors import OperatorError

refused_app = typer.Typer(help="Requests that were refused, and why.", no_args_is_help=True)

ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", help="Only this reason, such as event_too_old.", callback=not_empty),
]
Since = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="First day of receipt, in the account's time zone."),
]


@refused_app.command("list")
def refused_list(
    account: AccountOption = None,
    pixel: PixelOption = None,
    reason: ReasonOption = None,
    since: Since = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the causes of refusals, most frequent first, each with its fix.

    Example: doublet refused list
    """
    from doublet.ask_refused import read_causes

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    causes = read_causes(
        chosen,
        owner,
        pixel_id=own_pixel(catalog, owner, pixel),
        reason=reason,
        since=since and since.date(),
    )
    if as_json:
        print_json(msgspec.to_builtins(causes))
        return
    if not causes:
        err.print("None.")
    for cause in causes:
        requests = "1 request" if cause.requests == 1 else f"{cause.requests:,} requests"
        pixel_id = f", pixel {cause.pixel_id}" if cause.pixel_id else ""
        out.print(f"[bold]{cause.reason}[/]: {requests}, {cause.events:,} events kept{pixel_id}")
        out.print(f"  {literal(cause.message)}", soft_wrap=True)
        out.print(f"  {literal(cause.fix)}", soft_wrap=True)
        last = f"{cause.last_seen_at:%Y-%m-%d %H:%M:%S} UTC"
        out.print(f"  Last: {last}, `doublet refused show {cause.example}`", soft_wrap=True)


@refused_app.command("show")
def refused_show(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="As `refused list` shows it.")],
    account: AccountOption = None,
    data: Data = None,
    pairs: SetOption = None,
) -> None:
    """Show one refused request as JSON: the reason, the fix, and its hashed events.

    Example: doublet refused show 0-123456789
    """
    from doublet.ask_refused import read_refused

    chosen = read_kept_settings(data, pairs)
    found = read_refused(chosen, open_catalog(chosen).account(account), request_id)
    if found is None:
        raise OperatorError(
            f"There is no refused request {request_id!r} of this account.",
            "`doublet refused list` shows an example of each cause.",
        )
    print_json(msgspec.to_builtins(found))
