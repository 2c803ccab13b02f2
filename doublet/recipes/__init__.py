"""The pieces of code and settings that a site needs, by platform and goal."""

from __future__ import annotations

from typing import Literal, NamedTuple

from doublet import pixel


class Site(NamedTuple):
    """What is filled in."""

    pixel_id: str
    public_url: str
    currency: str = "EUR"
    shop_id: str = ""


class Piece(NamedTuple):
    """A piece of code or a setting, and where it goes."""

    key: str
    title: str
    where: str
    language: str
    text: str
    filename: str = ""


class Platform(NamedTuple):
    """What a site is built with."""

    key: str
    name: str
    goals: tuple[str, ...]
    has_webhooks: bool
    about: str


_BOTH = ("purchases", "leads")
PLATFORMS = (
    Platform("shopify", "Shopify", _BOTH, True, ""),
    Platform("woocommerce", "WooCommerce", _BOTH, True, ""),
    Platform("bigcommerce", "BigCommerce", _BOTH, True, ""),
    Platform("html", "Plain HTML", _BOTH, False, ""),
)


def recipe(platform: str, goal: Literal["purchases", "leads"], site: Site) -> tuple[Piece, ...]:
    """The pieces of a platform for a goal."""
    code = pixel.snippet(site.pixel_id, site.public_url)
    event = "Purchase" if goal == "purchases" else "Lead"
    call = f'{{value: 49.90, currency: "{site.currency}"}}, {{eventID: "1001"}}'
    call = f'<script>fbq("track", "{event}", {call});</script>'
    return (
        Piece("snippet", "The pixel", "Into the head of every page.", "html", code),
        Piece("event", "The event", "On the page that thanks.", "html", call),
    )
