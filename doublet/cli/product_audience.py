"""`doublet product audience`: who looked at products, or put them in the cart, and bought none."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from doublet.cli.options import (
    AccountOption,
    Data,
    literal,
    not_empty,
    open_catalog,
    out,
    read_kept_settings,
    record,
)

Categories = Annotated[
    str, typer.Option("--category", help="Products of this one and those below it.")
]
ProductIds = Annotated[
    list[str] | None,
    typer.Option("--product", help="Or this product; a group's id means all of its variants."),
]
Did = Annotated[
    Literal["ViewContent", "AddToCart", "InitiateCheckout", "Purchase"],
    typer.Option("--did", help="What they did with one of them."),
]
Unless = Annotated[
    Literal["Purchase", "AddToCart", "nothing"],
    typer.Option("--unless", help="What takes them out, done with any of them."),
]


def product_audience(
    name: Annotated[
        str | None,
        typer.Option("--name", help="Make the audience of this name.", callback=not_empty),
    ] = None,
    category: Categories = "",
    product: ProductIds = None,
    did: Did = "ViewContent",
    unless: Unless = "Purchase",
    days: Annotated[int, typer.Option(help="How long ago at most.", min=1, max=180)] = 30,
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """Make an audience by products; without a name, print its rule.

    What a category holds is looked up in the feed, and again whenever a feed is imported.

    Example: doublet product audience --category "Shoes > Running" --did AddToCart --days 14
    """
    from doublet.entries import check_name
    from doublet.products import clean_category
    from doublet.products.audiences import Interest, create, ids_of, rule_of

    if bool(category) == bool(product):
        raise typer.BadParameter("Give --category or --product.")
    catalog = open_catalog(read_kept_settings(data, None))
    owner = catalog.account(account)
    interest = Interest(
        clean_category(category),
        tuple(product or ()),
        did,
        "" if unless == "nothing" else unless,
        days,
    )
    if name is not None:
        made = create(catalog, owner.account_id, check_name(name), interest)
        record(catalog, "audience.created", made.name, owner.account_id)
        out.print(f"Audience {made.audience_id}: {literal(made.name)}", soft_wrap=True)
        return
    ids = ids_of(catalog.products, owner.account_id, interest)
    pixels = [pixel.pixel_id for pixel in catalog.pixels(owner.account_id)]
    out.print(rule_of(ids, interest, pixels), soft_wrap=True, markup=False)
