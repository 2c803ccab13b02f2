"""`doublet campaign …`: campaigns that this server delivers, made, listed, paused and deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    Name,
    SetOption,
    literal,
    not_empty,
    open_catalog,
    out,
    own_pixel,
    print_json,
    print_rows,
    read_kept_settings,
    record,
)
from doublet.errors import OperatorError, SenderError

if TYPE_CHECKING:
    from doublet.catalog import Account, Catalog
    from doublet.catalog.campaigns import Object

campaign_app = typer.Typer(
    help="Campaigns that this server delivers: made, changed, as a sheet.", no_args_is_help=True
)

Which = Annotated[
    str,
    typer.Argument(
        metavar="OBJECT", help="The id of a campaign, ad set or ad, or a campaign's name."
    ),
]
Amount = Annotated[str | None, typer.Option(help="In the account's currency: 49.90.")]
Text = Annotated[str, typer.Option(help="Of the ad.")]
Audience = Annotated[list[str] | None, typer.Option(help="Id or name; again for more.")]


@campaign_app.command("create")
def campaign_create(
    name: Name,
    link: Annotated[
        str | None, typer.Option(help="Where the ad leads; without it no ad is made.")
    ] = None,
    title: Text = "",
    body: Text = "",
    description: Text = "",
    image: Annotated[str, typer.Option(help="Address of the ad's image.")] = "",
    button: Annotated[str, typer.Option(help="On the ad, such as SHOP_NOW.")] = "",
    daily_budget: Amount = None,
    lifetime_budget: Amount = None,
    goal: Annotated[
        str, typer.Option(help="OFFSITE_CONVERSIONS, VALUE, LINK_CLICKS, IMPRESSIONS or REACH.")
    ] = "",
    event: Annotated[str, typer.Option(help="The goal's event; Purchase.")] = "",
    strategy: Annotated[str, typer.Option(help="How to bid; LOWEST_COST_WITHOUT_CAP.")] = "",
    bid: Annotated[str | None, typer.Option(help="Amount per action, for caps.")] = None,
    roas: Annotated[str, typer.Option(help="Least return on ad spend: 1.5.")] = "",
    billing: Annotated[str, typer.Option(help="IMPRESSIONS or LINK_CLICKS.")] = "",
    start: Annotated[str, typer.Option(help="2026-12-01T09:00 by the account's clocks.")] = "",
    end: Annotated[str, typer.Option(help="The same.")] = "",
    include: Audience = None,
    exclude: Audience = None,
    placement: Annotated[list[str] | None, typer.Option(help="Again for more.")] = None,
    frequency: Annotated[str, typer.Option(help="2/7: at most twice in 7 days.")] = "",
    objective: Annotated[str, typer.Option(help="OUTCOME_SALES.")] = "",
    holdout: Annotated[str, typer.Option(help="Share that never sees it: 0.1.")] = "",
    pixel: Annotated[
        str | None, typer.Option(help="Whose event; the only one.", callback=not_empty)
    ] = None,
    active: Annotated[bool, typer.Option("--active", help="Begin at once.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make a campaign with an ad set and, where there is a link, an ad; all of one name.

    It waits for `doublet campaign activate NAME`, unless --active is said.

    Example: doublet campaign create Autumn --link https://shop.example/ --daily-budget 50
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    owner = catalog.account(account)
    cells: dict[str, str | None] = {
        **{"campaign": name, "adset": name, "ad": name if link else ""},
        "campaign_status": "ACTIVE" if active else "PAUSED",
        **{"adset_status": "ACTIVE", "ad_status": "ACTIVE" if link else ""},
        **{"objective": objective, "holdout_share": holdout, "optimization_goal": goal},
        **{"event_name": event, "pixel_id": own_pixel(catalog, owner, pixel)},
        **{"billing_event": billing, "bid_strategy": strategy, "bid_amount": bid},
        **{"roas_floor": roas, "daily_budget": daily_budget, "lifetime_budget": lifetime_budget},
        **{"start_time": start, "end_time": end, "frequency": frequency},
        **{"included": " | ".join(include or []), "excluded": " | ".join(exclude or [])},
        **{"placements": " | ".join(placement or []), "title": title, "body": body},
        **{"description": description, "call_to_action": button},
        **{"link_url": link, "image_url": image},
    }
    made = _make(catalog, owner, name, cells)
    if as_json:
        print_json(_told(catalog, owner, made["campaign_id"]))
        return
    out.print(f"{literal(name)} is made (id {made['campaign_id']}).")
    if not active:
        out.print(f"Begin: doublet campaign activate {made['campaign_id']}", soft_wrap=True)


def _make(
    catalog: Catalog, owner: Account, name: str, cells: dict[str, str | None]
) -> dict[str, Any]:
    from doublet.delivery.take_in import TakeIn

    if any(each.name == name for each in catalog.campaigns.campaigns(owner.account_id)):
        raise SenderError(
            f"There is a campaign {name!r} already.",
            "Choose another name, or change it with `doublet campaign import`.",
        )
    (taken,) = TakeIn(catalog, owner).take([(1, cells)])
    if taken.outcome == "wrong":
        raise SenderError(taken.message)
    record(catalog, "campaign.created", name, owner.account_id, id=taken.campaign_id)
    return taken._asdict()


@campaign_app.command("list")
def campaign_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List campaigns with their ad sets and ads; deleted and archived ones are left out.

    Example: doublet campaign list
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    owners = [catalog.account(account)] if account else catalog.accounts()
    rows = [row for owner in owners for row in _rows(catalog, owner)]
    if not as_json:
        rows = [_for_people(row) for row in rows]
    print_rows(rows, as_json)


@campaign_app.command("show")
def campaign_show(
    which: Which,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Show a campaign, ad set or ad with everything that it says.

    Example: doublet campaign show Autumn
    """
    catalog, owner, found = _open(which, account, data, pairs)
    from doublet.catalog.campaigns import id_of

    told = _told(catalog, owner, id_of(found))
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        if not isinstance(value, list) or name not in ("ad_sets", "ads"):
            out.print(f"{name}: {literal(str(value))}", soft_wrap=True)
    for name in ("ad_sets", "ads"):
        for part in told.get(name, []):
            out.print(f"{name}: {literal(part['name'])} ({part['status']})", soft_wrap=True)


def _change(
    status: str, words: str, which: str, account: str | None, data: Path | None, as_json: bool
) -> None:
    catalog, owner, found = _open(which, account, data, None)
    from doublet.catalog.campaigns import id_of, key_of

    catalog.campaigns.change(found, status=status)
    level = key_of(type(found)).removesuffix("_id")
    verb = f"{level}.removed" if status == "DELETED" else f"{level}.changed"
    record(catalog, verb, found.name, owner.account_id, id=id_of(found), status=status)
    if as_json:
        print_json({"id": id_of(found), "status": status})
    else:
        out.print(f"{literal(found.name)} {words}.")


@campaign_app.command("pause")
def campaign_pause(
    which: Which, account: AccountOption = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Stop a campaign, ad set or ad from being shown, within seconds.

    Example: doublet campaign pause Autumn
    """
    _change("PAUSED", "is paused", which, account, data, as_json)


@campaign_app.command("activate")
def campaign_activate(
    which: Which, account: AccountOption = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Have a campaign, ad set or ad shown, where what it is part of is shown too.

    Example: doublet campaign activate Autumn
    """
    _change("ACTIVE", "is active", which, account, data, as_json)


@campaign_app.command("delete")
def campaign_delete(
    which: Which,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Delete a campaign, ad set or ad with its parts, for good; reports keep them.

    Example: doublet campaign delete Autumn --yes
    """
    if not yes and not sys.stdin.isatty():
        raise OperatorError("Nobody is here to be asked.", "Say --yes.")
    if not yes:
        typer.confirm(f"Delete {which!r}?", abort=True)
    _change("DELETED", "is deleted", which, account, data, as_json)


# --- what the commands share -----------------------------------------------------------------


def _open(
    which: str, account: str | None, data: Path | None, pairs: list[str] | None
) -> tuple[Catalog, Account, Object]:
    """The catalog, and the object with this id or the campaign with this name."""
    catalog = open_catalog(read_kept_settings(data, pairs))
    owners = [catalog.account(account)] if account else catalog.accounts()
    named = []
    for owner in owners:
        if found := catalog.campaigns.find(owner.account_id, which):
            if found.status == "DELETED":
                raise SenderError(f"{found.name!r} is deleted.", "Make another.")
            return catalog, owner, found
        known = catalog.campaigns.campaigns(owner.account_id)
        named += [(owner, each) for each in known if each.name == which]
    if len(named) == 1:
        return catalog, *named[0]
    problem = "More than one campaign is called" if named else "There is no campaign"
    raise OperatorError(
        f"{problem} {which!r}.", "`doublet campaign list` shows them with their ids."
    )


def _rows(catalog: Catalog, owner: Account) -> list[dict[str, Any]]:
    from doublet.delivery.listing import listing

    return [
        {
            "level": row.level,
            "id": row.id,
            "name": row.name,
            "status": row.effective_status,
            "budget": None if row.budget is None else float(row.budget),
            "budget_of": row.budget_of or None,
            "strategy": row.bid_strategy or None,
            "account": owner.account_id,
        }
        for row in listing(catalog, owner)
    ]


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    depth = {"campaign": "", "adset": "  ", "ad": "    "}[row["level"]]
    of = {"day": " a day", "lifetime": " in all", None: ""}[row.pop("budget_of")]
    budget = None if row["budget"] is None else f"{row['budget']:,.2f}{of}"
    return {**row, "name": depth + row["name"], "budget": budget}


def _told(catalog: Catalog, owner: Account, object_id: str) -> dict[str, Any]:
    """An object with its parts, for programs."""
    import msgspec

    from doublet.catalog import Ad, AdSet, Campaign, Creative

    store, account_id = catalog.campaigns, owner.account_id
    found = store.find(account_id, object_id)
    told: dict[str, Any] = msgspec.to_builtins(found)
    ads = [each for each in store.ads(account_id) if object_id in (each.campaign_id, each.adset_id)]
    if isinstance(found, Campaign):
        sets = [each for each in store.ad_sets(account_id) if each.campaign_id == object_id]
        told["ad_sets"] = msgspec.to_builtins(sets)
    if isinstance(found, Campaign | AdSet):
        told["ads"] = msgspec.to_builtins(ads)
    if isinstance(found, Ad):
        told["creative"] = msgspec.to_builtins(store.get(Creative, account_id, found.creative_id))
    return told
