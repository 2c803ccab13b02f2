"""Who comes to the demo shop and what they do there: planned beforehand, from a seed."""

from __future__ import annotations

import random
from typing import NamedTuple

from doublet.demo.products import PRODUCTS

BLOCKER_SHARE = 0.22
"""Visitors whose browser lets no pixel through."""
AD_CLICK_SHARE = 0.4
"""Visitors who come by a click on an ad, with an fbclid."""
CART_SHARE = 0.75
"""Visitors who put something into the cart."""
CHECKOUT_SHARE = 0.8
"""Visitors with a cart who begin to check out."""
PURCHASE_SHARE = 0.75
"""Visitors at the checkout who buy."""
RELOAD_SHARE = 0.15
"""Buyers who load the thank-you page a second time."""
PRODUCTS_SEEN_MAX = 3
ARRIVAL_SHARE = 0.8
"""Part of the time in which visitors arrive; in the rest the last ones finish."""
PAUSES_MAX = 2 * PRODUCTS_SEEN_MAX + 5
"""Pages and clicks of a long visit."""
PAUSE_S_MAX = 2.5

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/139.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
)
_SCREENS = ((1920, 1080), (390, 844), (1440, 900), (412, 915), (1920, 1200))
_NAMES = (
    "Ada Alan Barbara Charles Edsger Grace Hedy Ivan John Katherine Leslie Mary Niklaus".split()
)
_SURNAMES = "Adler Brook Castle Dale Elm Field Grove Hill Iverson Jensen Kern Lake Moor".split()
_CLICK_ID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


class Visit(NamedTuple):
    """One visitor's way through the shop. `pauses_s` are used one after the other, and again."""

    start_s: float
    pauses_s: tuple[float, ...]
    agent: str
    screen: tuple[int, int]
    name: str
    email: str
    browser_digits: str
    click_id: str
    blocks_pixel: bool
    products: tuple[str, ...]
    bought: tuple[str, ...]
    checks_out: bool
    buys: bool
    reloads: bool


def plan_visits(seed: int, shoppers: int, seconds: float) -> list[Visit]:
    """`shoppers` visits that begin and end within about `seconds`, by order of arrival."""
    chance = random.Random(seed)
    pause_s = min(PAUSE_S_MAX, (1 - ARRIVAL_SHARE) * seconds / PAUSES_MAX * 1.5)
    visits = [_plan(chance, ARRIVAL_SHARE * seconds, pause_s) for _ in range(shoppers)]
    return sorted(visits, key=lambda visit: visit.start_s)


def _plan(chance: random.Random, arrival_s: float, pause_s: float) -> Visit:
    name, surname = chance.choice(_NAMES), chance.choice(_SURNAMES)
    number = chance.randrange(len(AGENTS))
    products = chance.sample([product.slug for product in PRODUCTS], k=len(PRODUCTS))
    products = products[: chance.randint(1, PRODUCTS_SEEN_MAX)]
    fills_cart = chance.random() < CART_SHARE
    checks_out = fills_cart and chance.random() < CHECKOUT_SHARE
    buys = checks_out and chance.random() < PURCHASE_SHARE
    is_click = chance.random() < AD_CLICK_SHARE
    return Visit(
        start_s=chance.uniform(0, arrival_s),
        pauses_s=tuple(chance.uniform(0.3, 1) * pause_s for _ in range(PAUSES_MAX)),
        agent=AGENTS[number],
        screen=_SCREENS[number],
        name=f"{name} {surname}",
        email=f"{name}.{surname}{chance.randrange(100)}@example.com".lower(),
        browser_digits=str(chance.randrange(10**9, 10**18)),
        click_id="IwAR" + "".join(chance.choices(_CLICK_ID, k=57)) if is_click else "",
        blocks_pixel=chance.random() < BLOCKER_SHARE,
        products=tuple(products),
        bought=tuple(products[: chance.randint(1, len(products))]) if fills_cart else (),
        checks_out=checks_out,
        buys=buys,
        reloads=buys and chance.random() < RELOAD_SHARE,
    )
