"""What delivery writes into the log: ads that were chosen, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from doublet.accept.ad_touches import touch_key
from doublet.delivery import UNITS
from doublet.delivery.links import Link
from doublet.event import AdTouch, encode

PLATFORM = "doublet"
"""The platform of our own touches."""

TouchKind = Literal["view", "click"]

_SUFFIX = {"view": "v", "click": "c"}


def touch_id(decision_id: str, position: int, kind: TouchKind) -> str:
    """Names what became of an ad.

    >>> touch_id("Kx1", 2, "view")
    'Kx1.2.v'
    """
    return f"{decision_id}.{position}.{_SUFFIX[kind]}"


def amount(units: int) -> str:
    """Units as a decimal text in the currency.

    >>> amount(12_345), amount(0)
    ('1.2345', '0.0000')
    """
    return f"{units // UNITS}.{units % UNITS:04}"


def touch_records(link: Link, kind: TouchKind, received_at: int) -> Iterator[bytes]:
    """A view or a click of the ad of a link, received now (µs since 1970). A view in place of ads
    that the person is held out of tells of these too: both groups of an experiment are noted at
    the same moment."""
    cost = link.cost(kind, received_at / 1e6)
    yield _touch(
        link,
        received_at,
        touch_id(link.decision_id, link.position, kind),
        kind,
        (link.campaign_id, link.adset_id, link.ad_id),
        link.campaign_id if link.is_experiment else None,
        click_id=link.click_id if kind == "click" else None,
        cost=amount(cost) if cost else None,
    )
    if kind == "view":
        yield from held_out_records(link, received_at)


def held_out_records(link: Link, received_at: int) -> Iterator[bytes]:
    """The ads that a link's person was held out of."""
    for n, each in enumerate(link.held_out):
        yield _touch(
            link,
            received_at,
            f"{link.decision_id}.{link.position}.h{n}",
            "held_out",
            (each.campaign_id, each.adset_id, each.ad_id),
            each.campaign_id,
        )


def _touch(
    link: Link,
    received_at: int,
    name: str,
    kind: str,
    ids: tuple[str, str, str],
    experiment: str | None,
    click_id: str | None = None,
    cost: str | None = None,
) -> bytes:
    campaign_id, adset_id, ad_id = ids
    return encode(
        AdTouch(
            "ad_touch",
            link.account_id,
            "server",
            received_at,
            name,
            touch_key(PLATFORM, kind, name),
            kind,
            received_at,
            PLATFORM,
            campaign_id,
            adset_id,
            ad_id,
            link.placement or None,
            click_id,
            experiment,
            cost,
            link.currency if cost else None,
            link.user_data or None,
            None,
            link.is_test,
        )
    )
