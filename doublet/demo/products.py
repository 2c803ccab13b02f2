"""What the demo shop sells: things that come in pairs."""

from __future__ import annotations

from typing import NamedTuple

CURRENCY = "USD"


class Product(NamedTuple):
    """One thing on the shelf. `price_cents` is in hundredths of `CURRENCY`."""

    slug: str
    name: str
    price_cents: int
    line: str
    story: str

    @property
    def price(self) -> float:
        """The price as events carry it."""
        return self.price_cents / 100


PRODUCTS: tuple[Product, ...] = (
    Product(
        "mittens",
        "Wool mittens",
        2400,
        "One for each hand.",
        "Knitted in the round from undyed wool, with a long cuff that stays inside the sleeve. "
        "Left and right are the same, so either can be lost first.",
    ),
    Product(
        "teacups",
        "Teacups for two",
        3200,
        "For company, or for a second cup.",
        "Stoneware with a thin lip and a handle that takes two fingers. They hold a quarter of a "
        "litre each and stack when nobody comes.",
    ),
    Product(
        "bookends",
        "Oak bookends",
        3850,
        "They agree on where the shelf ends.",
        "Cut from one board, so the grain goes on behind your books. A steel foot keeps a metre of "
        "paperbacks upright.",
    ),
    Product(
        "candlesticks",
        "Brass candlesticks",
        4600,
        "Twice the light, half the shadow.",
        "Turned from solid brass and left unlacquered, so that they darken with use. For candles "
        "of 22 millimetres.",
    ),
    Product(
        "dominoes",
        "Double-six dominoes",
        1800,
        "Seven of the tiles are doublets.",
        "Twenty-eight birch tiles in a sliding box. The pips are drilled, so the game can be "
        "played in the dark.",
    ),
    Product(
        "mills",
        "Salt and pepper mills",
        2950,
        "Never seen apart.",
        "Beech, with ceramic grinders that do not mind the salt. One is light and one is dark, for "
        "obvious reasons.",
    ),
)

PRODUCT_BY_SLUG = {product.slug: product for product in PRODUCTS}
