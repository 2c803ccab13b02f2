"""`doublet recipe`: the code and settings for a site, by platform and goal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.rule import Rule

from doublet.cli.options import (
    AsJson,
    Data,
    SetOption,
    err,
    literal,
    open_catalog,
    out,
    print_json,
    print_rows,
    read_kept_settings,
)
from doublet.errors import OperatorError


def recipe(
    platform: Annotated[
        str, typer.Argument(help="What the site is made with; `list` shows all.")
    ] = "list",
    goal: Annotated[str, typer.Option(help="purchases or leads.")] = "purchases",
    pixel: Annotated[
        str | None, typer.Option("--pixel", help="Pixel id; needed if there are several.")
    ] = None,
    shop: Annotated[
        str, typer.Option("--shop", help="Id of the shop whose webhooks report the orders.")
    ] = "",
    currency: Annotated[
        str | None, typer.Option(help="ISO 4217 code; the account's unless given.")
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Write the pieces into this folder instead.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Print what a site needs: code and settings, with its own pixel and address filled in.

    Example: doublet recipe woocommerce --pixel 1234567890123456 --out plugin
    """
    from doublet.recipes import PLATFORMS, Goal, Site
    from doublet.recipes import recipe as pieces_of

    if platform == "list":
        print_rows(
            [{"platform": p.key, "goals": ", ".join(p.goals), "for": p.about} for p in PLATFORMS],
            as_json,
        )
        return
    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    pixels = [p for p in catalog.pixels(None) if pixel in (None, p.pixel_id)]
    if len(pixels) != 1:
        raise OperatorError(
            f"There is no pixel {pixel!r}." if pixel else f"There are {len(pixels)} pixels.",
            "Name one with --pixel; `doublet pixel list` shows them.",
        )
    money = currency or catalog.account(pixels[0].account_id).currency
    site = Site(pixels[0].pixel_id, chosen.url, money, shop)
    pieces = pieces_of(platform, cast(Goal, goal), site)
    if as_json:
        print_json([piece._asdict() for piece in pieces])
        return
    for number, piece in enumerate(pieces, 1):
        if out_folder is not None:
            file = out_folder / (
                piece.filename or f"{piece.key}.{_ENDINGS.get(piece.language, 'txt')}"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(piece.text, "utf-8")
        err.print(Rule(f"{number}. {literal(piece.title)}", align="left"))
        err.print(f"{literal(piece.where)}")
        if out_folder is not None:
            out.print(literal(str(file)))
        else:
            print(piece.text)


_ENDINGS = {
    "html": "html",
    "liquid": "liquid",
    "javascript": "js",
    "php": "php",
    "python": "py",
    "json": "json",
    "text": "txt",
}
