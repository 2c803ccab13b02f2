"""`doublet product audience`: who looked at products, or put them in the cart, and bought none."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from doublet.cli.options import AccountOption, Data, open_catalog, out, read_kept_settings

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
    category: Categories = "",
    product: ProductIds = None,
    did: Did = "ViewContent",
    unless: Unless = "Purchase",
    days: Annotated[int, typer.Option(help="How long ago at most.", min=1, max=180)] = 30,
    account: AccountOption = None,
    data: Data = None,
) -> None:
    """Print the rule of an audience by products.

    Example: doublet product audience --category "Shoes > Running" --did AddToCart --days 14
    """
    from doublet.products import clean_category
    from doublet.products.audiences import Interest, ids_of, rule_of

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
    ids = ids_of(catalog.products, owner.account_id, interest)
    pixels = [pixel.pixel_id for pixel in catalog.pixels(owner.account_id)]
    out.print(rule_of(ids, interest, pixels), soft_wrap=True, markup=False)
