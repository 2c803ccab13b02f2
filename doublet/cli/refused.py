"""`doublet refused …`: what was refused, why, and that it be accepted after all."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

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
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.refused.replay import Replay

refused_app = typer.Typer(
    help="Requests that were refused: why; replay them.", no_args_is_help=True
)

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


@refused_app.command("replay")
def refused_replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Requests.")] = None,
    reason: ReasonOption = None,
    patch: Annotated[
        str | None, typer.Option(help="JSON merge patch for each event; null removes a field.")
    ] = None,
    seconds: Annotated[
        bool, typer.Option("--seconds", help="Turn event_time in milliseconds into seconds.")
    ] = False,
    without_event_id: Annotated[
        bool,
        typer.Option(
            "--without-event-id",
            help="Also events without event_id; they count twice if the client sent them again.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    account: AccountOption = None,
    pixel: PixelOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Accept refused events after all, mended, as if they had been right when they came.

    An event counts once however often this is repeated, also when the server has sent it since.

    Example: doublet refused replay --reason event_in_future --seconds --dry-run
    """
    from doublet.ask_refused import replay_refused
    from doublet.refused.replay import Wish, what_is_wrong

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    wish = Wish(
        ids or None,
        reason,
        own_pixel(catalog, owner, pixel),
        patch=read_patch(patch),
        seconds=seconds,
        without_event_id=without_event_id,
        dry_run=dry_run,
    )
    if wrong := what_is_wrong(wish):
        raise typer.BadParameter(wrong)
    outcome = replay_refused(chosen, owner, wish)
    print_json(msgspec.to_builtins(outcome)) if as_json else _print_replay(outcome, dry_run)
    failing = sum(cause.events for cause in outcome.failing)
    if failing and as_json:
        raise typer.Exit(SenderError.exit_code)
    if failing:
        raise SenderError(
            f"{failing:,} events would be refused again.", "Mend them with --patch or --seconds."
        )


def read_patch(text: str | None) -> dict[str, Any]:
    """The value of an option --patch. Raises typer.BadParameter for what is no JSON object."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except (msgspec.MsgspecError, UnicodeError):
        message = """--patch is a JSON object, such as '{"custom_data": {"currency": "EUR"}}'."""
        raise typer.BadParameter(message) from None


def _print_replay(outcome: Replay, dry_run: bool) -> None:
    out.print(f"{outcome.replayed:,} events {'would be ' if dry_run else ''}replayed.")
    if outcome == type(outcome)(failing=[]):
        err.print("There is no such refused request; `doublet refused list` shows what there is.")
    if outcome.known:
        out.print(f"{outcome.known:,} were there already: replayed before, or sent by the server.")
    if outcome.without_event_id:
        out.print(
            f"{outcome.without_event_id:,} have no event_id: --without-event-id replays them, and "
            "counts them twice if the client has sent them again.",
            soft_wrap=True,
        )
    if outcome.requests_without_content:
        out.print(f"{outcome.requests_without_content:,} requests have no events to replay.")
    for cause in outcome.failing:
        said = literal(f"{cause.message} {cause.fix}")
        out.print(f"{cause.events:,} × [bold]{cause.reason}[/]: {said}", soft_wrap=True)
