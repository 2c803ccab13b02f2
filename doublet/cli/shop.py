"""`doublet shop …`: shops whose platforms report their orders by webhooks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    Name,
    SetOption,
    err,
    literal,
    not_empty,
    open_catalog,
    out,
    own_pixel,
    print_json,
    print_rows,
    read_kept_settings,
    read_secret,
    record,
)
from doublet.errors import OperatorError

if TYPE_CHECKING:
    from doublet.catalog import Account, Catalog, Shop
    from doublet.settings import Settings

shop_app = typer.Typer(
    help="Shops: their platforms report orders, refunds and cancellations.", no_args_is_help=True
)

Which = Annotated[
    str | None, typer.Argument(metavar="[SHOP]", help="Its id or name; needed if several.")
]
Pixel = Annotated[
    str | None,
    typer.Option("--pixel", help="Pixel of its events; needed if several.", callback=not_empty),
]
SecretFile = Annotated[
    str,
    typer.Option(
        "--secret-file",
        help="File with the platform's secret alone in it; -: standard input; else one is made.",
    ),
]
TokenFile = Annotated[
    str, typer.Option("--api-token-file", help="File with the token of the platform's API.")
]
PurchaseOn = Annotated[
    Literal["placed", "paid"] | None,
    typer.Option(help="When an order is a Purchase: when it is placed, or paid."),
]
ContentIds = Annotated[
    Literal["product", "variant"] | None,
    typer.Option(help="What the catalogue lists: products, or variants."),
]
CashOnDelivery = Annotated[
    list[str] | None,
    typer.Option(help="Payment method that is paid at the door; again for more."),
]
_is_domain = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]{1,5})?").fullmatch
_is_hash = re.compile(r"[a-z0-9]{4,40}").fullmatch


@shop_app.command("add")
def shop_add(
    platform: Annotated[
        Literal["shopify", "woocommerce", "bigcommerce"], typer.Argument(help="Its platform.")
    ],
    name: Name,
    pixel: Pixel = None,
    domain: Annotated[str, typer.Option(help="Its domain, such as shop.example.")] = "",
    store_hash: Annotated[str, typer.Option(help="BigCommerce's name of the store.")] = "",
    secret_file: SecretFile = "",
    api_token_file: TokenFile = "",
    api_url: Annotated[str, typer.Option(help="Another address of the platform's API.")] = "",
    purchase_on: PurchaseOn = None,
    content_ids: ContentIds = None,
    cash_on_delivery: CashOnDelivery = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Take a shop's webhooks: prints the address, the topics and the secret for its platform.

    Shopify signs with the app's client secret: give it with --secret-file. WooCommerce takes any
    secret, so one is made. BigCommerce needs --store-hash and --api-token-file.

    Example: doublet shop add woocommerce "Corner Shop" --domain shop.example
    """
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    pixel_id = _pixel(catalog, owner, pixel)
    secret, api_token = read_secret(secret_file), read_secret(api_token_file)
    if platform == "shopify" and not secret:
        raise OperatorError(
            "Shopify signs with the client secret of your app, which is missing.",
            "Put it alone into a file and give that with --secret-file.",
        )
    target = _target(platform, domain, store_hash, api_url)
    if platform == "bigcommerce" and not (api_token and target.get("api_url")):
        raise OperatorError(
            "BigCommerce's webhooks only name an order, which must be asked for.",
            "Give --store-hash, and --api-token-file with the token of an API account.",
        )
    shop = catalog.shops.create(
        owner.account_id,
        pixel_id,
        platform,
        name,
        target,
        secret,
        api_token,
        _rules(None, purchase_on, content_ids, cash_on_delivery),
    )
    record(catalog, "shop.created", shop.name, shop.account_id, platform=platform)
    _print_added(chosen, shop, as_json, made="" if secret else shop.secrets[0].value)


def _target(platform: str, domain: str, store_hash: str, api_url: str) -> dict[str, str]:
    domain = domain.strip().lower().removeprefix("https://").rstrip("/")
    if domain and not _is_domain(domain):
        raise OperatorError(f"{domain!r} is no domain.", "Write a host such as shop.example.")
    if store_hash and not _is_hash(store_hash):
        raise OperatorError(
            f"{store_hash!r} is no store hash.",
            "It is the part after store- in the shop's address.",
        )
    if platform == "bigcommerce" and store_hash and not api_url:
        api_url = f"https://api.bigcommerce.com/stores/{store_hash}"
    found = {"domain": domain, "store_hash": store_hash, "api_url": api_url.rstrip("/")}
    return {key: value for key, value in found.items() if value}


def _rules(
    rules: Any, purchase_on: str | None, content_ids: str | None, on_delivery: list[str] | None
) -> Any:
    from doublet.catalog import ShopRules

    given: dict[str, Any] = {"purchase_on": purchase_on, "content_ids": content_ids}
    if on_delivery is not None:
        given["cash_on_delivery"] = tuple(n.strip().lower() for n in on_delivery if n.strip())
    changes = {key: value for key, value in given.items() if value is not None}
    return msgspec.structs.replace(rules or ShopRules(), **changes)


def _pixel(catalog: Catalog, owner: Account, pixel: str | None) -> str:
    known = catalog.pixels(owner.account_id)
    if pixel is None and len(known) != 1:
        names = ", ".join(f"{p.pixel_id} ({p.name})" for p in known)
        raise OperatorError(
            f"The account has {len(known)} pixels{': ' if names else ''}{names}.",
            "Name one with --pixel." if known else "`doublet pixel create NAME` makes one.",
        )
    return own_pixel(catalog, owner, pixel) or known[0].pixel_id


def _address(chosen: Settings, shop: Shop) -> str:
    return f"{chosen.url}/v1/shops/{shop.shop_id}/webhooks"


def _print_added(chosen: Settings, shop: Shop, as_json: bool, made: str) -> None:
    from doublet.shops import PLATFORMS

    topics = list(PLATFORMS[shop.platform].topics)
    row = {"id": shop.shop_id, "address": _address(chosen, shop), "topics": topics}
    if made:
        row["secret"] = made
    if as_json:
        print_json(row)
        return
    print(f"Shop id   {shop.shop_id}")
    print(f"Address   {row['address']}")
    print(f"Topics    {', '.join(topics)}")
    if made:
        print(f"Secret    {made}   (keep it: it is not shown again)")
    if shop.platform == "bigcommerce":
        print(f"\n`doublet shop connect {shop.shop_id}` makes the webhooks.")
    if not chosen.public_url:
        err.print("Set public_url: a platform reaches this server only under a public address.")


@shop_app.command("list")
def shop_list(
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List the shops."""
    catalog = open_catalog(read_kept_settings(data, pairs))
    account_id = catalog.account(account).account_id if account else None
    rows = [
        {
            "id": shop.shop_id,
            "name": shop.name,
            "platform": shop.platform,
            "domain": shop.target.get("domain"),
            "pixel": shop.pixel_id,
            "account": shop.account_id,
        }
        for shop in catalog.shops.all(account_id)
    ]
    print_rows(rows, as_json)


@shop_app.command("show")
def shop_show(
    which: Which = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Show what a shop's platform delivered, topic by topic, and what is still to do.

    Example: doublet shop show "Corner Shop"
    """
    from doublet.deliveries import Deliveries

    chosen = read_kept_settings(data, pairs)
    shop = _shop(open_catalog(chosen), which, account)
    counts: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    if chosen.deliveries_file.exists():
        deliveries = Deliveries(chosen.deliveries_file)
        counts = [
            {**count._asdict(), "last_at": _time(count.last_at)}
            for count in deliveries.counts(shop.shop_id)
        ]
        waiting = [_row(errand) for errand in deliveries.errands([shop.shop_id], only_open=True)]
        deliveries.close()
    row = {
        "id": shop.shop_id,
        "name": shop.name,
        "platform": shop.platform,
        "pixel": shop.pixel_id,
        "address": _address(chosen, shop),
        "secrets": len(shop.secrets),
        **shop.target,
        **msgspec.to_builtins(shop.rules),
    }
    if as_json:
        print_json({**row, "deliveries": counts, "errands": waiting})
        return
    for key, value in row.items():
        out.print(f"{key:<12} {literal(str(value))}")
    if counts:
        print_rows(counts, as_json)
    else:
        err.print("Nothing was delivered yet.")
    if waiting:
        print_rows(waiting, as_json)


@shop_app.command("edit")
def shop_edit(
    which: Which = None,
    purchase_on: PurchaseOn = None,
    content_ids: ContentIds = None,
    cash_on_delivery: CashOnDelivery = None,
    store_hash: Annotated[str, typer.Option(help="BigCommerce's name of the store.")] = "",
    api_token_file: TokenFile = "",
    account: AccountOption = None,
    data: Data = None,
    pairs: SetOption = None,
) -> None:
    """Change how a shop's orders become events; collectors go by it within seconds.

    Example: doublet shop edit "Corner Shop" --purchase-on paid
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    shop = _shop(catalog, which, account)
    rules = _rules(shop.rules, purchase_on, content_ids, cash_on_delivery)
    api_token = read_secret(api_token_file) or shop.api_token
    target = shop.target | _target(shop.platform, "", store_hash, "")
    changed = msgspec.structs.replace(shop, rules=rules, api_token=api_token, target=target)
    catalog.shops.save(changed)
    record(catalog, "shop.changed", shop.name, shop.account_id)
    print(f"{shop.name}: {msgspec.json.encode(rules).decode()}")


@shop_app.command("secret")
def shop_secret(
    which: Which = None,
    secret_file: SecretFile = "",
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Give a shop a new secret; deliveries signed with the old one are taken for a day more.

    Example: doublet shop secret "Corner Shop" --secret-file new.txt
    """
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    given = read_secret(secret_file)
    shop = catalog.shops.rotate(_shop(catalog, which, account), given)
    record(catalog, "shop.changed", shop.name, shop.account_id, field="secret")
    made = "" if given else shop.secrets[0].value
    if as_json:
        print_json({"id": shop.shop_id, **({"secret": made} if made else {})})
        return
    print(f"Secret    {made}   (keep it: it is not shown again)" if made else "Done.")
    if shop.platform == "bigcommerce":
        print(f"`doublet shop connect {shop.shop_id}` tells the platform.")


@shop_app.command("connect")
def shop_connect(
    which: Which = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Make the webhooks of a BigCommerce shop through its API, which has no page for them.

    Example: doublet shop connect "Corner Shop"
    """
    from doublet.shops.hooks import connect

    chosen = read_kept_settings(data, pairs)
    shop = _shop(open_catalog(chosen), which, account)
    if shop.platform != "bigcommerce":
        raise OperatorError(
            f"{shop.platform} has a page for webhooks.", "docs/shops.md says where it is."
        )
    done = connect(shop, _address(chosen, shop))
    print_rows([{"topic": topic, "webhook": state} for topic, state in done.items()], as_json)


@shop_app.command("errands")
def shop_errands(
    which: Which = None,
    account: AccountOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """List what deliveries asked for that took longer: orders to complete, persons to export or
    erase, and what became of it.

    Example: doublet shop errands --json
    """
    from doublet.deliveries import Deliveries

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    account_id = catalog.account(account).account_id if account else None
    shops = [_shop(catalog, which, account)] if which else catalog.shops.all(account_id)
    rows: list[dict[str, Any]] = []
    if chosen.deliveries_file.exists():
        deliveries = Deliveries(chosen.deliveries_file)
        rows = [_row(errand) for errand in deliveries.errands([shop.shop_id for shop in shops])]
        deliveries.close()
    print_rows(rows, as_json)


@shop_app.command("remove")
def shop_remove(
    which: Annotated[str, typer.Argument(metavar="SHOP", help="Its id or name.")],
    account: AccountOption = None,
    data: Data = None,
    pairs: SetOption = None,
) -> None:
    """Take no more of a shop's deliveries; what came stays.

    Example: doublet shop remove "Corner Shop"
    """
    catalog = open_catalog(read_kept_settings(data, pairs))
    shop = _shop(catalog, which, account)
    catalog.shops.remove(shop.shop_id)
    record(catalog, "shop.removed", shop.name, shop.account_id)
    print(f"{shop.name} ({shop.shop_id}) is removed.")


def _shop(catalog: Catalog, which: str | None, account: str | None) -> Shop:
    return catalog.shops.one(which, catalog.account(account).account_id if account else None)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _row(errand: Any) -> dict[str, Any]:
    is_open = errand.outcome is None
    return {
        "id": errand.errand_id,
        "shop": errand.shop_id,
        "kind": errand.kind,
        "order": errand.subject.get("id"),
        "asked_at": _time(errand.asked_at / 1e9),
        "tries": errand.tries,
        "state": f"next try {_time(errand.due_at)}" if is_open else errand.outcome,
        "problem": errand.problem,
    }
