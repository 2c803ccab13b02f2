"""Shelves for tests: campaigns with ad sets and ads, and money without end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from doublet.catalog.campaign_rows import Ad, AdSet, Campaign, Creative
from doublet.delivery.book import AccountBook
from doublet.delivery.decide import Asked, Decision, Terms, decide
from doublet.delivery.rates import Model
from doublet.delivery.shelf import Offer, Shelf
from tests.factories import ACCOUNT

NOW = 1_780_000_000.0
TERMS = Terms(floor=1.0, epsilon=0.0)


class Money:
    """Pays everything but for the ad sets in `broke`; remembers what was asked."""

    def __init__(self, broke: Iterable[str] = ()) -> None:
        self.broke = set(broke)
        self.asked: list[tuple[str, int]] = []

    def reserve(self, adset_id: str, units: int, now: float, expected: float) -> int | None:
        """A lease with the number of the ad set."""
        self.asked.append((adset_id, units))
        return None if adset_id in self.broke else int(adset_id)


def account(
    *ad_sets: dict[str, Any],
    campaign: dict[str, Any] | None = None,
    learning: Collection[int] = (),
    ads_each: int = 1,
) -> AccountBook:
    """An account with a campaign for each ad set: ids 100 + n, 200 + n, and ads 300 + 10 n + k."""
    campaigns, sets, ads = [], [], []
    for n, fields in enumerate(ad_sets):
        ids: dict[str, Any] = {"campaign_id": str(100 + n), "account_id": ACCOUNT}
        campaigns.append(Campaign(name="C", status="ACTIVE", **ids, **(campaign or {})))
        usual = {"daily_budget": 10_000, "status": "ACTIVE", "name": "S"}
        sets.append(AdSet(adset_id=str(200 + n), **ids, **{**usual, **fields}))
        for k in range(ads_each):
            ad_id = str(300 + 10 * n + k)
            own: dict[str, Any] = {"ad_id": ad_id, "adset_id": str(200 + n), "creative_id": "400"}
            ads.append(Ad(name="A", status="ACTIVE", **own, **ids))
    creative = Creative(
        creative_id="400", account_id=ACCOUNT, name="K", link_url="https://shop.example/"
    )
    return AccountBook(
        account_id=ACCOUNT,
        time_zone="Europe/Berlin",
        currency="EUR",
        campaigns=tuple(campaigns),
        ad_sets=tuple(sets),
        ads=tuple(ads),
        creatives=(creative,),
        learning=tuple(str(200 + n) for n in learning),
    )


def shelf_of(book: AccountBook, *paces: float, model: Model | None = None) -> Shelf:
    """A shelf without anything learned, on which the ad sets bid these paces."""
    shelf = Shelf(book, model or Model.prior())
    shelf.offer({str(200 + n): Offer(pace) for n, pace in enumerate(paces)})
    return shelf


def ask(
    shelf: Shelf,
    asked: Asked | None = None,
    money: Money | None = None,
    *,
    capped: Collection[int] = (),
    dry: dict[int, float] | None = None,
    seed: int = 1,
    terms: Terms = TERMS,
    explain: bool = False,
) -> Decision:
    """One decision at NOW."""
    return decide(
        shelf,
        asked or Asked(),
        money or Money(),
        {} if dry is None else dry,
        lambda: capped,
        np.random.default_rng(seed),
        NOW,
        terms,
        explain=explain,
    )


def ads_of(shelf: Shelf, decision: Decision) -> list[str]:
    """The ids of what was chosen, in order."""
    return [shelf.ads[each.ad].ad_id for each in decision.chosen]
