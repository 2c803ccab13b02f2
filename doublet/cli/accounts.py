"""`doublet account …`, `doublet pixel …`: whose data, and from which site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    Name,
    SetOption,
    open_catalog,
    print_json,
    print_rows,
    read_kept_settings,
    read_secret,
    read_settings,
    record,
)

if TYPE_CHECKING:
    from doublet.catalog import ReportRules

pixel_app = typer.Typer(help="Make, list and change pixels.", no_args_is_help=True)
account_app = typer.Typer(help="Make, list and change accounts.", no_args_is_help=True)


@account_app.command("create")
def account_create(
    name: Name,
    time_zone: Annotated[str, typer.Option(help="IANA name; decides where a day ends.")] = "UTC",
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "USD",
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make an account: an advertiser whose data no other account sees.

    Example: doublet account create "Corner Shop" --time-zone Europe/Berlin --currency EUR
    """
    catalog = open_catalog(read_settings(data, pairs))
    account = catalog.create_account(name, time_zone, currency)
    record(catalog, "account.created", account.name, account.account_id)
    if as_json:
        print_json({"id": account.account_id, "name": account.name})
    else:
        print(f"Account {account.account_id} ({account.name})")


@account_app.command("list")
def account_list(data: Data = None, as_json: AsJson = False, pairs: SetOption = None) -> None:
    """List the accounts."""
    accounts = open_catalog(read_kept_settings(data, pairs)).accounts()
    rows = [
        {"id": a.account_id, "name": a.name, "time_zone": a.time_zone, "currency": a.currency}
        for a in accounts
    ]
    print_rows(rows, as_json)


@account_app.command("edit")
def account_edit(
    account: Annotated[str, typer.Argument(help="Account id or name.")],
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA name.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code.")] = None,
    app_secret_file: Annotated[
        str | None,
        typer.Option(help="File with the secret that makes appsecret_proof; empty: none."),
    ] = None,
    attribution: Annotated[
        str | None,
        typer.Option(help="Windows in which ads are credited, e.g. 7d_click,1d_ev,1d_view."),
    ] = None,
    count: Annotated[
        Literal["all", "first"] | None,
        typer.Option(help="All conversions, or only the first after each touch."),
    ] = None,
    conversion: Annotated[
        list[str] | None,
        typer.Option(help="Event that counts as a conversion; again for more, empty: all."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Change an account. What was counted stays; days and totals are shown by the new values.

    Example: doublet account edit "Corner Shop" --time-zone Europe/Berlin
    """
    from doublet.reports.asked import Setting

    catalog = open_catalog(read_kept_settings(data, pairs))
    secret = read_secret(app_secret_file) if app_secret_file is not None else None
    changed = catalog.edit_account(
        catalog.account(account).account_id,
        name=name,
        time_zone=time_zone,
        currency=currency,
        app_secret=secret,
    )
    rules = _changed_rules(
        catalog.reporting.rules(changed.account_id), attribution, count, conversion
    )
    catalog.reporting.save_rules(changed.account_id, rules)
    record(catalog, "account.changed", changed.name, changed.account_id)
    row = {
        "id": changed.account_id,
        "name": changed.name,
        "time_zone": changed.time_zone,
        "currency": changed.currency,
        "attribution": str(Setting.of(rules)),
        "count": rules.count,
        "conversions": ", ".join(rules.conversions),
    }
    print_json(row) if as_json else print_rows([row], as_json)


def _changed_rules(
    rules: ReportRules,
    attribution: str | None,
    count: Literal["all", "first"] | None,
    conversions: list[str] | None,
) -> ReportRules:
    """The rules with what is not None in place of what was."""
    from doublet.reports.asked import Setting

    if attribution is not None:
        rules = msgspec.structs.replace(rules, **Setting.read(attribution)._asdict())
    if count is not None:
        rules = msgspec.structs.replace(rules, count=count)
    if conversions is not None:
        names = tuple(dict.fromkeys(filter(None, conversions)))
        rules = msgspec.structs.replace(rules, conversions=names)
    return rules


@pixel_app.command("create")
def pixel_create(
    name: Name,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make a pixel and print its id, its access token (shown once) and the snippet for the site.

    Example: doublet pixel create "Corner Shop"
    """
    from doublet.pixel import snippet

    chosen = read_settings(data, pairs)
    catalog = open_catalog(chosen)
    if account is None and not catalog.accounts():
        owner = catalog.create_account(name)
        record(catalog, "account.created", owner.name, owner.account_id)
    else:
        owner = catalog.account(account)
    pixel, access_token = catalog.create_pixel(owner.account_id, name)
    record(catalog, "pixel.created", pixel.name, owner.account_id, pixel_id=pixel.pixel_id)
    code = snippet(pixel.pixel_id, chosen.url)
    if as_json:
        print_json({"id": pixel.pixel_id, "access_token": access_token, "snippet": code})
        return
    print(f"Pixel id      {pixel.pixel_id}")
    print(f"Access token  {access_token}   (keep it: it cannot be shown again)")
    print(f"Dashboard     {chosen.url}/overview?access_token={access_token}")
    print(f"\nPaste this into the head of every page:\n\n{code}")


@pixel_app.command("snippet")
def pixel_snippet(
    pixel: Annotated[str, typer.Argument(help="Pixel id.")],
    shopify: Annotated[
        bool, typer.Option("--shopify", help="For a custom pixel of Shopify instead of a page.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Print the code to paste: into the head of every page, or into Shopify's customer events.

    Example: doublet pixel snippet 1234567890123456 --shopify
    """
    from doublet.pixel import snippet
    from doublet.pixel.snippets import shopify_snippet

    chosen = read_kept_settings(data, pairs)
    # Raises where there is no such pixel.
    open_catalog(chosen).pixel_rules(pixel)
    code = (shopify_snippet if shopify else snippet)(pixel, chosen.url)
    if as_json:
        print_json({"id": pixel, "snippet": code})
    else:
        print(code, end="")


@pixel_app.command("list")
def pixel_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the pixels."""
    catalog = open_catalog(read_kept_settings(data, pairs))
    account_id = catalog.account(account).account_id if account else None
    rows = [
        {"id": p.pixel_id, "name": p.name, "account": p.account_id}
        for p in catalog.pixels(account_id)
    ]
    print_rows(rows, as_json)


@pixel_app.command("edit")
def pixel_edit(
    pixel: Annotated[str, typer.Argument(help="Pixel id.")],
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    phone_country: Annotated[
        str | None,
        typer.Option(help="ISO 3166 code of phone numbers without one; empty: none."),
    ] = None,
    allow_domain: Annotated[
        list[str] | None,
        typer.Option(help="Mark hits of other pages; again for more, empty: allow all."),
    ] = None,
    block_domain: Annotated[
        list[str] | None,
        typer.Option(help="Mark hits of this domain's pages; again for more, empty: none."),
    ] = None,
    mark_bots: Annotated[
        bool | None, typer.Option("--mark-bots/--keep-bots", help="Mark hits of known crawlers.")
    ] = None,
    hits_per_hour: Annotated[
        int | None,
        typer.Option(min=0, max=10**9, help="Mark what exceeds it, per collector; 0: no limit."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Change a pixel's name or rules; collectors go by them within seconds.

    Example: doublet pixel edit 1234567890123456 --phone-country DE
    """
    from doublet.entries import check_domains, check_phone_country

    catalog = open_catalog(read_kept_settings(data, pairs))
    rules = catalog.pixel_rules(pixel)
    if phone_country is not None:
        rules.phone_country = check_phone_country(phone_country)
    if allow_domain is not None:
        rules.allow_domains = check_domains(allow_domain)
    if block_domain is not None:
        rules.block_domains = check_domains(block_domain)
    if mark_bots is not None:
        rules.mark_bots = mark_bots
    if hits_per_hour is not None:
        rules.hits_per_hour = hits_per_hour
    catalog.edit_pixel(pixel, name=name, rules=rules)
    (edited,) = (each for each in catalog.pixels() if each.pixel_id == pixel)
    told = msgspec.to_builtins(rules)
    record(catalog, "pixel.changed", edited.name, edited.account_id, pixel_id=pixel, **told)
    row = {"id": pixel, **msgspec.to_builtins(rules)}
    print_json(row) if as_json else print_rows([row], as_json)
