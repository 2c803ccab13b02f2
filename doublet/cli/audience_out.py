"""`doublet audience share`, `push`, `export` and `webhook`: audiences given to others."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

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
    print_rows,
    read_kept_settings,
    read_secret,
    record,
)

if TYPE_CHECKING:
    from doublet.catalog import Account, Audience, Catalog
    from doublet.catalog.shares import Push, Share

webhook_app = typer.Typer(help="Who is told when somebody joins or leaves.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="Id or name of the audience.", callback=not_empty)]
ShareId = Annotated[str, typer.Argument(help="Id of the share.", callback=not_empty)]
SecretFile = Annotated[
    str, typer.Option("--secret-file", help="File with the access token there; - reads it here.")
]

_is_account = re.compile(r"(act_)?[0-9]{5,20}").fullmatch
_is_version = re.compile(r"v[0-9]{1,3}\.[0-9]").fullmatch


def audience_share(
    audience: Which,
    to_account: Annotated[
        str | None, typer.Option("--to-account", help="Ad account there, act_…; it gets a list.")
    ] = None,
    to_audience: Annotated[
        str | None, typer.Option("--to-audience", help="Or the id of a customer list there.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the list that is made there.")
    ] = None,
    url: Annotated[
        str, typer.Option(help="Server; another Doublet's address gives it to that.")
    ] = "https://graph.facebook.com",
    version: Annotated[str, typer.Option(help="Version of the Graph API there.")] = "v25.0",
    secret_file: SecretFile = "-",
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give an audience to Meta, or to any server with its Graph API, and keep it current there.

    Who leaves, withdraws consent or is erased here is taken out there.

    Example: doublet audience share Buyers --to-account act_1234567890 --secret-file token
    """
    from doublet.catalog.shares import Share
    from doublet.destinations.encoding import check_server

    if (to_account is None) == (to_audience is None):
        raise typer.BadParameter("Give --to-account or --to-audience.")
    if not _is_account(to_account or to_audience or ""):
        raise typer.BadParameter("That is no id; account ids are act_ and digits.")
    if not _is_version(version):
        raise typer.BadParameter("Write the version as v25.0.")
    check_server("url", url)
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    found = audience_of(catalog, owner, audience)
    secret = read_secret(secret_file)
    if not secret:
        raise typer.BadParameter("The file with the access token is empty.")
    remote = f"act_{to_account.removeprefix('act_')}" if to_account else ""
    made = catalog.shares.create(
        Share(
            *("", owner.account_id, found.audience_id, url.rstrip("/"), version, remote),
            *(to_audience or "", name or found.name, secret),
        )
    )
    record(catalog, "audience.shared", found.name, owner.account_id, share=made.share_id, url=url)
    if as_json:
        print_json(_shown(catalog, made))
        return
    out.print(
        f"Share {made.share_id}: {literal(found.name)} is given to {literal(made.url)} within a "
        "minute, and what changes ever after.",
        soft_wrap=True,
    )


def audience_shares(
    account: AccountOption = None, data: Data = None, as_json: AsJson = False
) -> None:
    """List shares with what was last given.

    Example: doublet audience shares --json
    """
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    print_rows([_shown(catalog, each) for each in catalog.shares.all(owner.account_id)], as_json)


def audience_unshare(
    share: ShareId,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave there who was given; forget it at once.")
    ] = False,
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """End a share: everybody is taken out there, then it is forgotten.

    Example: doublet audience unshare shr_123456789012
    """
    from doublet.audiences.push import WANTED

    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    found = catalog.shares.one(share, owner.account_id)
    if keep:
        catalog.shares.remove(found.share_id)
    else:
        catalog.shares.change(found.share_id, is_ending=True, due_at=WANTED)
    record(catalog, "audience.unshared", found.share_id, owner.account_id, keep=keep)
    count = catalog.shares.count_given(found.share_id)
    said = "forgotten" if keep else f"ending; {count:,} persons are taken out there first"
    out.print(f"Share {found.share_id} is {said}.", soft_wrap=True)


def audience_pause(
    share: ShareId,
    resume: Annotated[bool, typer.Option("--resume", help="Give again.")] = False,
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """Pause a share: nobody more is given; who leaves is taken out all the same.

    Example: doublet audience pause shr_123456789012
    """
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    found = catalog.shares.one(share, owner.account_id)
    # Who joined meanwhile is found by comparing all.
    catalog.shares.change(found.share_id, is_paused=not resume, compared_at=0)
    what = "audience.share_resumed" if resume else "audience.share_paused"
    record(catalog, what, found.share_id, owner.account_id)
    out.print(f"Share {found.share_id} is {'resumed' if resume else 'paused'}.")


def audience_push(
    share: ShareId,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Give a share what has changed, at once; exit code 5 where the other server does not take it.

    Example: doublet audience push shr_123456789012
    """
    from doublet.ask_audiences import push_now
    from doublet.errors import DestinationError

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    done = push_now(chosen, catalog, catalog.shares.one(share, owner.account_id))
    if as_json:
        print_json(msgspec.to_builtins(done))
    elif done is None:
        out.print("Nothing has changed.")
    else:
        out.print(_sentence(done), soft_wrap=True)
    if done is not None and done.verdict != "done":
        raise DestinationError(
            f"The other server said: {done.code} {done.message}",
            "It is tried again by itself; `doublet audience shares` says when.",
        )


def _sentence(done: Push) -> str:
    lacking = f", {done.nameless:,} members have no hash to give" if done.nameless else ""
    invalid = f", {done.invalid:,} rows were not taken" if done.invalid else ""
    return (
        f"{done.added:,} persons given, {done.removed:,} taken back{lacking}{invalid}; "
        f"{done.requests:,} requests."
    )


def audience_export(
    audience: Which,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; .parquet makes it Parquet.")
    ] = None,
    form: Annotated[
        Literal["csv", "parquet"] | None, typer.Option("--format", help="What to write.")
    ] = None,
    account: AccountOption = None,
    data: Data = None,
    pairs: SetOption = None,
) -> None:
    """Write the hashes of an audience's members, in the columns of Meta's customer lists.

    Example: doublet audience export Buyers --output buyers.csv
    """
    from doublet.ask_audiences import read_export

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    found = audience_of(catalog, owner, audience)
    wanted = form or ("parquet" if output and output.suffix == ".parquet" else "csv")
    if output is None and wanted == "parquet":
        raise typer.BadParameter("Name a file with --output.")
    body = read_export(chosen, owner, found.audience_id, wanted)
    if output is None:
        print(body.decode(), end="")
        return
    output.touch(mode=0o600)
    output.write_bytes(body)
    err.print(f"{len(body):,} bytes in {literal(str(output))}: hashes are personal data.")


# --- webhooks --------------------------------------------------------------------------------


@webhook_app.command("create")
def webhook_create(
    url: Annotated[str, typer.Argument(help="Address that changes are posted to.")],
    audience: Annotated[
        str | None,
        typer.Option("--audience", help="Id or name; else of all audiences.", callback=not_empty),
    ] = None,
    secret_file: Annotated[
        str,
        typer.Option("--secret-file", help="File with the signing secret, whsec_…; - reads it."),
    ] = "-",
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """Tell an address of everybody who joins or leaves from now on, signed.

    Example: doublet audience webhook create https://shop.example/hook --secret-file secret
    """
    from doublet.catalog.audience_webhooks import AudienceWebhook
    from doublet.destinations.encoding import check_address
    from doublet.destinations.webhook import signing_key

    check_address("url", url)
    secret = read_secret(secret_file)
    signing_key(secret)
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    which = audience_of(catalog, owner, audience).audience_id if audience else ""
    made = catalog.audience_webhooks.create(
        AudienceWebhook("", owner.account_id, which, url, secret)
    )
    record(catalog, "webhook.created", url, owner.account_id)
    out.print(f"Webhook {made.webhook_id}: {literal(url)}", soft_wrap=True)


@webhook_app.command("list")
def webhook_list(account: AccountOption = None, data: Data = None, as_json: AsJson = False) -> None:
    """List webhooks with what they were told.

    Example: doublet audience webhook list --json
    """
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    rows = [
        {
            "webhook_id": each.webhook_id,
            "audience_id": each.audience_id or "all",
            "url": each.url,
            "state": "paused" if each.is_paused else each.verdict or "new",
            "delivered": each.delivered,
            "next_try": _moment(each.due_at),
            "message": each.message,
        }
        for each in catalog.audience_webhooks.all(owner.account_id)
    ]
    print_rows(rows, as_json)


@webhook_app.command("pause")
def webhook_pause(
    webhook: Annotated[str, typer.Argument(help="Its id.", callback=not_empty)],
    resume: Annotated[bool, typer.Option("--resume", help="Tell again, from there on.")] = False,
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """Pause a webhook; what comes about in the next seven days is told when it is resumed.

    Example: doublet audience webhook pause whk_123456789012
    """
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    found = catalog.audience_webhooks.one(webhook, owner.account_id)
    catalog.audience_webhooks.change(found.webhook_id, is_paused=not resume, failures=0, due_at=0)
    what = "webhook.resumed" if resume else "webhook.paused"
    record(catalog, what, found.url, owner.account_id)
    out.print(f"Webhook {found.webhook_id} is {'resumed' if resume else 'paused'}.")


@webhook_app.command("remove")
def webhook_remove(
    webhook: Annotated[str, typer.Argument(help="Its id.", callback=not_empty)],
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """Tell an address no more.

    Example: doublet audience webhook remove whk_123456789012
    """
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    found = catalog.audience_webhooks.one(webhook, owner.account_id)
    catalog.audience_webhooks.remove(found.webhook_id)
    record(catalog, "webhook.removed", found.url, owner.account_id)
    out.print(f"Webhook {found.webhook_id} is removed.")


# --- what is shown ---------------------------------------------------------------------------


def audience_of(catalog: Catalog, owner: Account, which: str) -> Audience:
    """The audience of this id or name. Raises OperatorError when there is none, or several."""
    from doublet.errors import OperatorError

    known = catalog.audiences.all(owner.account_id)
    found = [each for each in known if which in (each.audience_id, each.name)]
    if len(found) == 1:
        return found[0]
    problem = "More than one audience is called" if found else "There is no audience"
    raise OperatorError(f"{problem} {which!r}.", "`doublet audience list` shows them.")


def _shown(catalog: Catalog, share: Share) -> dict[str, object]:
    last = next(iter(catalog.shares.pushes(share.share_id, 1)), None)
    state = "ending" if share.is_ending else "paused" if share.is_paused else "on"
    return {
        "share_id": share.share_id,
        "audience_id": share.audience_id,
        "url": share.url,
        "remote_audience_id": share.remote_audience_id,
        "state": state,
        "persons": catalog.shares.count_given(share.share_id),
        "last_push": last.verdict if last else "",
        "at": _moment(last.ended_at) if last else "",
        "message": last.message if last else "",
        "next_try": _moment(share.due_at) if share.failures else "",
    }


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at > 0 else ""


AUDIENCE_OUT_COMMANDS: dict[str, Callable[..., None]] = {
    "share": audience_share,
    "shares": audience_shares,
    "unshare": audience_unshare,
    "pause": audience_pause,
    "push": audience_push,
    "export": audience_export,
}
"""What is added to `doublet audience`."""
