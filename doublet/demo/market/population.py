"""Who shops in the simulated market: people, their devices, and the browsers on them."""

from __future__ import annotations

import random
from hashlib import sha256

import msgspec

from doublet.demo.market.parameters import Market
from doublet.demo.products import PRODUCTS

_NAMES = (
    "ada alan barbara charles edsger grace hedy ivan john katherine leslie mary niklaus".split()
)
_SURNAMES = "adler brook castle dale elm field grove hill iverson jensen kern lake moor".split()
_PHONES = (
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        (390, 844),
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/139.0.0.0 Mobile Safari/537.36",
        (412, 915),
    ),
)
_DESKTOPS = (
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/139.0.0.0 Safari/537.36",
        (1920, 1080),
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.5 Safari/605.1.15",
        (1440, 900),
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0", (1920, 1200)),
)
_IN_APP = " [FBAN/FBIOS;FBAV/520.0.0.38.101]"

PHONE, IN_APP, DESKTOP = 0, 1, 2
"""Places in `Person.browsers`; who has no desktop computer has two browsers."""


class Browser(msgspec.Struct, frozen=True):
    """One browser with its own cookies. `is_blocked`: no pixel gets through."""

    agent: str
    screen: tuple[int, int]
    client_ip: str
    is_blocked: bool
    has_short_cookies: bool


class Person(msgspec.Struct, frozen=True):
    """One human being. `activity` multiplies how often visits and ads happen, `propensity` how
    likely a visit ends with a purchase; both have mean 1. `taste` is the slug of the
    favourite, `holdouts` names the campaigns whose ads the person is spared."""

    number: int
    em: str
    ph: str | None
    fn: str
    ln: str
    external_id: str
    is_logged_in: bool
    has_consent: bool
    activity: float
    propensity: float
    taste: str
    holdouts: tuple[str, ...]
    browsers: tuple[Browser, ...]


def make_person(market: Market, number: int, chance: random.Random) -> Person:
    """The person of that number; hashes are of normalised values, as the wire has them."""
    name, surname = chance.choice(_NAMES), chance.choice(_SURNAMES)
    phone_number = f"1555{number:08d}" if chance.random() < market.phone_number_share else None
    has_desktop = chance.random() < market.second_device_share
    agent, screen = chance.choice(_PHONES)
    devices = [(agent, screen), (agent + _IN_APP, screen)]
    if has_desktop:
        devices.append(chance.choice(_DESKTOPS))
    client_ip = _address(chance)
    return Person(
        number,
        _sha256(f"{name}.{surname}.{number}@example.com"),
        _sha256(phone_number) if phone_number else None,
        _sha256(name),
        _sha256(surname),
        _sha256(f"customer-{number}"),
        chance.random() < market.login_share,
        chance.random() >= market.consent_refused_share,
        chance.expovariate(1),
        chance.gammavariate(2, 0.5),
        chance.choice(PRODUCTS).slug,
        tuple(c.name for c in market.campaigns if chance.random() < c.holdout_share),
        tuple(
            Browser(
                agent,
                screen,
                client_ip,
                chance.random() < market.blocker_share,
                chance.random() < market.short_cookie_share,
            )
            for agent, screen in devices
        ),
    )


def _address(chance: random.Random) -> str:
    """One of a household, from the network that RFC 2544 sets aside for measurements."""
    number = chance.getrandbits(17)
    return f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
