"""`doublet setup`: from the platform of a site to its first verified purchase."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    open_catalog,
    out,
    print_json,
    print_rows,
    read_settings,
    record,
)
from doublet.errors import OperatorError, SenderError
from doublet.settings import ACCESS_TOKEN_VARIABLE

if TYPE_CHECKING:
    from doublet.catalog import Catalog, Setup
    from doublet.settings import Settings

_CHECK_TIMEOUT_S = 180.0
_LOOK_S = 1.0
_MARKS = {
    "passed": "[green]✓[/]",
    "noted": "[green]✓[/]",
    "failed": "[bold red]✗[/]",
    "waiting": "[yellow]…[/]",
    "unseen": "[dim]?[/]",
    "skipped": "[dim]–[/]",
}


def _flag(name: str, help: str) -> Any:
    return typer.Option(f"--{name}", help=help)


_SetupArgument = Annotated[
    str | None, typer.Argument(help="A setup made before; without it a new one.")
]
_Platform = Annotated[str | None, typer.Option(help="What the site is built with.")]
_Goal = Annotated[str | None, typer.Option(help="purchases or leads.")]
_Place = Annotated[str | None, typer.Option(help="Where Doublet runs: own, proxy or local.")]
_Site = Annotated[str | None, typer.Option(help="The site's address.")]
_Name = Annotated[str | None, typer.Option(help="What people call it.")]
_Zone = Annotated[str | None, typer.Option(help="IANA name, for a new account.")]
_Currency = Annotated[str | None, typer.Option(help="ISO 4217 code, for a new account.")]
_Check = Annotated[bool, _flag("check", "Look at the live site and for the test order.")]
_Wait = Annotated[
    float, typer.Option(help="With --check: seconds to wait for the test order.", min=0)
]
_EventId = Annotated[
    str, typer.Option(help="With --check: a purchase or lead that came without the test code.")
]
_Share = Annotated[bool, _flag("share", "Print a link that shows a colleague what was found.")]
_Revoke = Annotated[bool, _flag("revoke", "End that link.")]
_Remove = Annotated[bool, _flag("remove", "Forget the setup; pixel and events stay.")]
_Browser = Annotated[bool, _flag("browser", "Print the address of this guide as a page.")]
_List = Annotated[bool, _flag("list", "List the setups.")]


def setup(
    setup: _SetupArgument = None,
    platform: _Platform = None,
    goal: _Goal = None,
    place: _Place = None,
    site: _Site = None,
    name: _Name = None,
    time_zone: _Zone = None,
    currency: _Currency = None,
    account: AccountOption = None,
    check: _Check = False,
    wait: _Wait = 0.0,
    event_id: _EventId = "",
    share: _Share = False,
    revoke: _Revoke = False,
    remove: _Remove = False,
    in_browser: _Browser = False,
    list_all: _List = False,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Set a site up, step by step: pixel, token, the exact code, checks of the live site.

    Asks what is not given, prints what to do, and with a running server looks at the live site
    until a test order has come from browser and server and counts once. --check needs a running
    server; the token in DOUBLET_ACCESS_TOKEN lets it try the server's road.

    Example: doublet setup --platform html --goal purchases --place local --site localhost:8080
    """
    chosen = read_settings(data, pairs)
    catalog = open_catalog(chosen)
    try:
        if in_browser:
            print(_page_of(chosen))
        elif list_all:
            _list(catalog, account, as_json)
        elif setup is not None or check or share or revoke or remove:
            known = catalog.setups.one(setup)
            if remove:
                catalog.setups.remove(known.setup_id)
                record(catalog, "setup.removed", known.site_url, known.account_id)
            elif revoke:
                catalog.setups.unshare(known.setup_id)
                record(catalog, "setup.unshared", known.site_url, known.account_id)
            elif share:
                _share(chosen, catalog, known, as_json)
            elif check:
                _check(chosen, known, wait, event_id, as_json)
            else:
                _show(chosen, catalog, known, "", as_json)
        else:
            given = {
                "platform": platform,
                "goal": goal,
                "place": place,
                "site_url": site,
                "name": name,
                "time_zone": time_zone,
                "currency": currency,
            }
            _begin(chosen, catalog, given, account, as_json)
    finally:
        catalog.close()


# --- a new one -----------------------------------------------------------------------------------


def _begin(
    chosen: Settings,
    catalog: Catalog,
    given: dict[str, str | None],
    account: str | None,
    as_json: bool,
) -> None:
    from doublet.guide.answers import read_answers
    from doublet.guide.making import begin

    asks = sys.stdin.isatty() and not as_json
    known = catalog.accounts()
    owner = catalog.account(account) if account or len(known) == 1 else None
    if owner is None and len(known) > 1 and not asks:
        owner = catalog.account(None)
    if asks:
        _ask(given, is_new=owner is None)
    answers = read_answers({key: text or "" for key, text in given.items()})
    begun = begin(catalog, answers, owner)
    made = begun.setup
    record(catalog, "setup.created", made.site_url, made.account_id, platform=made.platform)
    _show(chosen, catalog, begun.setup, begun.access_token, as_json)
    if asks and _runs(chosen):
        typer.prompt("Press Enter when this is done", default="", show_default=False)
        _check(chosen, begun.setup, 600.0, "", False, begun.access_token)


def _ask(given: dict[str, str | None], *, is_new: bool) -> None:
    """Fill what was not given by asking."""
    from doublet.guide.answers import GOALS, PLACES
    from doublet.recipes import PLATFORMS

    for field, question, choices in (
        ("platform", "Which platform is your site on?", PLATFORMS),
        ("goal", "Do you sell, or collect leads?", GOALS),
        ("place", "Where can Doublet run?", PLACES),
    ):
        if not given[field]:
            out.print(f"\n[bold]{question}[/]")
            for choice in choices:
                out.print(f"  [bold]{choice.key:12}[/] {literal(choice.name)}. ", end="")
                out.print(f"[dim]{literal(choice.about)}[/]")
            keys = [choice.key for choice in choices]
            while (answer := typer.prompt(field).strip()) not in keys:
                err.print(f"It is one of {', '.join(keys)}.")
            given[field] = answer
    for field, question, default in (
        ("site_url", "The site's address", ""),
        ("name", "What people call it", given["site_url"] or ""),
        *((("time_zone", "Time zone", "UTC"), ("currency", "Currency", "EUR")) if is_new else ()),
    ):
        if not given[field]:
            given[field] = typer.prompt(question, default=default or None)


def _show(
    chosen: Settings, catalog: Catalog, setup: Setup, access_token: str, as_json: bool
) -> None:
    from doublet.guide.making import described, steps_of, test_url

    told = steps_of(catalog, setup, chosen.url)
    if as_json:
        token = {"access_token": access_token} if access_token else {}
        print_json({**described(setup, told), **token})
        return
    out.print(f"\n[bold]Setup {setup.setup_id}[/], pixel {setup.pixel_id}")
    if access_token:
        print(f"Access token  {access_token}   (keep it: it cannot be shown again)")
        out.print("The server's pieces read it from the environment as DOUBLET_ACCESS_TOKEN.")
    for number, step in enumerate(told, 1):
        out.print(f"\n[bold]{number}. {literal(step.title)}[/]")
        for text in step.text:
            out.print(literal(text))
        for piece in step.pieces:
            where = f" ({piece.filename})" if piece.filename else ""
            out.print(
                f"\n[bold]{literal(piece.title)}[/]{literal(where)}: {literal(piece.where)}\n"
            )
            print(piece.text.rstrip("\n"))
    out.print(f"\n[bold]{len(told) + 1}. Check[/]")
    out.print(f"doublet setup {setup.setup_id} --check --wait 600", soft_wrap=True)
    out.print(f"and meanwhile make a test by {literal(test_url(setup))}", soft_wrap=True)


# --- checks --------------------------------------------------------------------------------------


def _runs(chosen: Settings) -> bool:
    return (chosen.run_folder / "operator.key").exists()


def _ask_worker(chosen: Settings, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    from doublet.ask import ask_worker

    content = msgspec.json.encode(body) if method == "POST" else None
    answer = ask_worker(chosen, method, path, timeout_s=_CHECK_TIMEOUT_S, body=content)
    if answer is None:
        raise OperatorError(
            "No server runs on this data folder, so there is nothing to check.",
            "Start `doublet serve`, and run this again.",
        )
    return msgspec.json.decode(answer, type=dict[str, Any])


def _check(
    chosen: Settings,
    setup: Setup,
    wait_s: float,
    event_id: str,
    as_json: bool,
    access_token: str = "",
) -> None:
    """Look at the site, then for the test until it counts once or the time is over. Raises
    SenderError where something is wrong or has not come."""
    token = access_token or os.environ.get(ACCESS_TOKEN_VARIABLE, "")
    path = f"/setup/{setup.setup_id}"
    give_up_at = time.monotonic() + wait_s
    with err.status("Looking at the site …") as status:
        _ask_worker(chosen, "POST", f"{path}/check.json", {"access_token": token})
        status.update("Waiting for the test …")
        found = _ask_worker(chosen, "POST", f"{path}/test.json", {"event_id": event_id})
        while _waits(found) and time.monotonic() < give_up_at:
            time.sleep(_LOOK_S)
            found = _ask_worker(chosen, "GET", f"{path}.json", {})
    if as_json:
        print_json(found)
    else:
        _print_findings(found)
    if found["verified_at"] is None:
        faults = [each["fault"] for each in found["findings"] if each["state"] == "failed"]
        wrong = f": {', '.join(faults)}" if faults else ", since no test has come from both sides"
        raise SenderError(f"Not verified{wrong}.", "What to change is said above.")


def _waits(found: dict[str, Any]) -> bool:
    return found["verified_at"] is None and not any(
        each["state"] == "failed" for each in found["findings"]
    )


def _print_findings(found: dict[str, Any]) -> None:
    from doublet.guide.guide import TITLES

    for each in found["findings"]:
        out.print(f"{_MARKS[each['state']]} [bold]{TITLES[each['check']][0]}[/]", end="  ")
        out.print(literal(each["says"]), soft_wrap=True)
        if each["fix"]:
            out.print(f"  → {literal(each['fix'])}", soft_wrap=True)
    if found["verified_at"] is not None:
        out.print("\n[bold green]Verified.[/] `doublet setup --share` prints a link for others.")


# --- the others ----------------------------------------------------------------------------------


def _list(catalog: Catalog, account: str | None, as_json: bool) -> None:
    account_id = catalog.account(account).account_id if account else None
    rows = [
        {
            "id": each.setup_id,
            "site": each.site_url,
            "platform": each.platform,
            "goal": each.goal,
            "pixel": each.pixel_id,
            "verified": "yes" if each.verified_at else "no",
        }
        for each in catalog.setups.all(account_id)
    ]
    print_rows(rows, as_json)


def _share(chosen: Settings, catalog: Catalog, setup: Setup, as_json: bool) -> None:
    url = f"{chosen.url}/setup/{setup.setup_id}?key={catalog.setups.share(setup.setup_id)}"
    record(catalog, "setup.shared", setup.site_url, setup.account_id)
    print_json({"url": url}) if as_json else print(url)


def _page_of(chosen: Settings) -> str:
    """Raises OperatorError where no server runs."""
    try:
        key = (chosen.run_folder / "operator.key").read_text("ascii")
    except FileNotFoundError:
        raise OperatorError(
            "No server runs on this data folder.", "Start `doublet serve`, and run this again."
        ) from None
    return f"{chosen.local_url}/setup?access_token={key}"
