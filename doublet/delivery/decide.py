"""One decision: which ads a person sees in a place, and what each costs.

Pure: shelf, person, money, clock and chance are arguments. Who may not be shown is left out first;
then each place goes to the ad with the highest total value, now and then to one that is still being
learned about. Persons whom a campaign holds out do not see it; that they would have is told, and
the ad that comes next is shown (ghost ads: Johnson, Lewis, Nubbemeyer 2017). What is chosen is
reserved in the budget before it is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol, cast

import msgspec
import numpy as np

from doublet.delivery import UNITS
from doublet.delivery.auction import (
    OUT,
    Array,
    Placed,
    price_per_impression,
    round_units,
    run_auction,
    total_values,
)
from doublet.delivery.explore import Explorer
from doublet.delivery.rates import Scores
from doublet.delivery.shelf import Mask, Shelf
from doublet.lift import is_held_out
from doublet.settings import Settings

EPSILON = 0.05
"""The share of places that go to cold ads, all alike."""
PLACES_MAX = 10
TRY_AGAIN_S = 1.0
"""For how long an ad set is left alone whose budget had no room."""

_EXPLAINED_MAX = 200
_TRIES_MAX = 20
_RATE_MIN = 1e-9


class Purse(Protocol):
    """The money of one process."""

    def reserve(self, adset_id: str, units: int, now: float, expected: float) -> int | None:
        """The lease that pays at most so much, None where there is no room. `expected` is what it
        will come to on average."""


class Terms(NamedTuple):
    """What holds for all decisions: the least value of an impression (units), what a click is worth
    to who shows the ad (units), and how often to explore."""

    floor: float = 1.0
    click_value: float = 0.0
    epsilon: float = EPSILON

    @classmethod
    def of(cls, settings: Settings) -> Terms:
        """Those of a server."""
        return cls(
            settings.decide_floor_cpm * UNITS / 1000,
            settings.decide_click_value * UNITS,
            settings.decide_epsilon,
        )


class Asked(NamedTuple):
    """Who and where. `identifier` is the first one by which the person is known, empty for nobody;
    nobody is never held out."""

    places: int = 1
    placement: str = ""
    audiences: Collection[str] = ()
    features: tuple[str, ...] = ()
    identifier: str = ""


class Chosen(NamedTuple):
    """An ad for a place. `ad` and `held_out` are places on the shelf: the latter are ads that this
    person would have seen here. `price` is in units, of a click where clicks are billed; `bid` in
    units per action, `value` and `total` per impression."""

    ad: int
    propensity: float
    is_explored: bool
    p_click: float
    p_action: float
    value: float
    bid: float
    total: float
    price: int
    lease: str
    held_out: tuple[int, ...] = ()


class Decision(NamedTuple):
    """What was chosen, in the order of the places. `held_out` are ads that would have been shown
    and that no other takes the place of; `reason` says why a place stayed empty."""

    chosen: list[Chosen]
    held_out: tuple[int, ...]
    candidates: int
    reason: str
    explanation: list[Explained] | None = None


class Explained(msgspec.Struct, frozen=True):
    """An ad and what became of it here. Amounts are in units: `bid` per action (per unit of value
    for value goals), `total_value` per impression, `price` per billing event where it was shown."""

    ad_id: str
    adset_id: str
    campaign_id: str
    outcome: str
    p_click: float
    p_action: float
    value: float
    bid: float
    total_value: float | None
    price: int | None = None


class _Table(NamedTuple):
    """What is known of all ads before the first place is filled."""

    scores: Scores
    values: Array
    qualities: Array
    totals: Array
    is_ghost: Mask


def decide(
    shelf: Shelf,
    asked: Asked,
    purse: Purse,
    dry: dict[int, float],
    capped: Callable[[], Collection[int]],
    rng: np.random.Generator,
    now_s: float,
    terms: Terms,
    *,
    explain: bool = False,
) -> Decision:
    """Choose at most `asked.places` ads of different ad sets. `dry` holds ad sets without money by
    their place, and when to try them again (Unix seconds); it is kept up to date here. `capped`
    tells the ad sets that the person has seen often enough."""
    for n in [n for n, until_s in dry.items() if until_s <= now_s]:
        del dry[n]
    often = capped() if len(shelf.caps.ad_sets) else ()
    table = _look(shelf, asked, {*dry, *often}, now_s, terms)
    left = np.where(table.is_ghost, OUT, table.totals)
    ghosts = np.where(table.is_ghost, table.totals, OUT)
    candidates = int(np.count_nonzero(left > OUT))
    chosen: list[Chosen] = []
    while len(chosen) < asked.places:
        one = _fill(shelf, table, left, purse, dry, rng, now_s, terms)
        if one is None:
            break
        ahead = _ahead(shelf, ghosts, left, one, rng)
        chosen.append(one._replace(held_out=tuple(ahead)))
        left[shelf.ad_set_of == shelf.ad_set_of[one.ad]] = OUT
        if ahead:
            ghosts[shelf.of_campaigns(shelf.campaign_of[ahead])] = OUT
    unseen = () if len(chosen) == asked.places else tuple(_best_of_campaigns(shelf, ghosts, OUT))
    reason = "" if len(chosen) == asked.places else _reason(shelf, candidates, dry, unseen)
    explanation = _explain(shelf, asked, table, dry, often, now_s, chosen) if explain else None
    return Decision(chosen, unseen, candidates, reason, explanation)


def _look(
    shelf: Shelf, asked: Asked, without: Collection[int], now_s: float, terms: Terms
) -> _Table:
    scores = shelf.scorer.score(asked.features)
    values = shelf.bids * shelf.results(scores)
    qualities = scores.p_click * terms.click_value
    allowed = shelf.placed(asked.placement) & shelf.scheduled(now_s) & (shelf.bids > 0)
    allowed &= shelf.included(asked.audiences)
    if asked.audiences:
        allowed &= shelf.not_excluded(asked.audiences)
    if without:
        allowed &= shelf.without_sets(without)
    totals = np.where(allowed, total_values(values, qualities, terms.floor), OUT)
    held = [
        n
        for n in shelf.with_holdout
        if asked.identifier
        and is_held_out(
            shelf.campaigns[n].campaign_id, asked.identifier, shelf.campaigns[n].holdout_share
        )
    ]
    is_ghost = shelf.of_campaigns(held)
    return _Table(scores, values, qualities, totals, is_ghost)


class _OneDraw:
    """Chance for one place: whether to explore is drawn once, so that an ad set which turns out to
    have no money gives nobody a second draw."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._draw = rng.random()
        self.integers = rng.integers

    def random(self) -> float:
        """The same each time."""
        return self._draw


def _fill(
    shelf: Shelf,
    table: _Table,
    left: Array,
    purse: Purse,
    dry: dict[int, float],
    rng: np.random.Generator,
    now_s: float,
    terms: Terms,
) -> Chosen | None:
    """The ad for the next place, once its cost is reserved."""
    chance = cast(np.random.Generator, _OneDraw(rng))
    explorer = Explorer(shelf.is_cold, terms.epsilon, chance)
    for _ in range(_TRIES_MAX):
        placed = run_auction(left, shelf.ad_set_of, 1, explorer)
        if not placed:
            break
        (won,) = placed
        price = _price(shelf, table, won, rng, terms)
        n = int(shelf.ad_set_of[won.ad])
        expected = price * (
            float(table.scores.p_click[won.ad]) if shelf.is_per_click[won.ad] else 1
        )
        lease = purse.reserve(shelf.ad_sets[n].adset_id, price, now_s, expected)
        if lease is not None:
            return Chosen(
                won.ad,
                won.propensity,
                won.is_explored,
                float(table.scores.p_click[won.ad]),
                float(table.scores.p_action[won.ad]),
                float(table.scores.value[won.ad]),
                float(shelf.bids[won.ad]),
                float(table.totals[won.ad]),
                price,
                str(lease),
            )
        dry[n] = now_s + TRY_AGAIN_S
        left[shelf.ad_set_of == n] = OUT
    return None


def _price(shelf: Shelf, table: _Table, won: Placed, rng: np.random.Generator, terms: Terms) -> int:
    """Whole units for the billing event of an ad that has won."""
    ad = won.ad
    exact = price_per_impression(
        float(table.values[ad]), float(table.qualities[ad]), won.runner_up, terms.floor
    )
    if shelf.is_per_click[ad]:
        exact /= max(float(table.scores.p_click[ad]), _RATE_MIN)
    return round_units(exact, rng.random())


def _ahead(
    shelf: Shelf, ghosts: Array, left: Array, one: Chosen, rng: np.random.Generator
) -> list[int]:
    """The held-out ads that would have come before the one that is shown, one of a campaign, as a
    person who is not held out meets them: by value where the best was taken, by lot where a cold
    one was drawn."""
    if not one.is_explored:
        return _best_of_campaigns(shelf, ghosts, one.total)
    found: list[int] = []
    pool = np.flatnonzero(shelf.is_cold & (ghosts > OUT))
    others = int(np.count_nonzero(shelf.is_cold & (left > OUT)))
    while len(pool) and rng.random() < len(pool) / (len(pool) + others):
        found.append(int(pool[rng.integers(len(pool))]))
        pool = pool[shelf.campaign_of[pool] != shelf.campaign_of[found[-1]]]
    return found


def _best_of_campaigns(shelf: Shelf, ghosts: Array, above: float) -> list[int]:
    """Of each campaign the best ad that is above a total value; the highest first."""
    found: list[int] = []
    seen: set[int] = set()
    over = np.flatnonzero(ghosts > above)
    for ad in over[np.argsort(-ghosts[over], kind="stable")].tolist():
        campaign = int(shelf.campaign_of[ad])
        if campaign not in seen:
            seen.add(campaign)
            found.append(ad)
    return found


def _reason(shelf: Shelf, candidates: int, dry: dict[int, float], unseen: Collection[int]) -> str:
    if not len(shelf.ads):
        return "Nothing runs in this account: activate a campaign, an ad set and an ad."
    if unseen:
        return "The person is held out of the campaigns that would have come here."
    if not candidates:
        return "No ad may be shown here now; explain=true says of each why."
    if dry:
        return "The budgets of the ads that are left are reserved or spent."
    return "There are fewer ad sets than places."


def _explain(
    shelf: Shelf,
    asked: Asked,
    table: _Table,
    dry: Collection[int],
    often: Collection[int],
    now_s: float,
    chosen: list[Chosen],
) -> list[Explained]:
    """The ads in the order of their total value, at most `_EXPLAINED_MAX`, shown ones first."""
    checks: tuple[tuple[str, Mask], ...] = (
        ("other_placement", ~shelf.placed(asked.placement)),
        ("not_scheduled", ~shelf.scheduled(now_s)),
        ("not_in_audience", ~shelf.included(asked.audiences)),
        ("in_excluded_audience", ~shelf.not_excluded(asked.audiences)),
        ("seen_often_enough", ~shelf.without_sets(often)),
        ("no_bid_yet", shelf.bids <= 0),
        ("budget_reserved_or_spent", ~shelf.without_sets(dry)),
        ("below_floor", table.totals == OUT),
        ("held_out", table.is_ghost),
    )
    prices = {each.ad: each.price for each in chosen}
    rank = np.where(np.isin(np.arange(len(shelf.ads)), list(prices)), np.inf, table.totals)
    told = []
    for n in np.argsort(-rank, kind="stable")[:_EXPLAINED_MAX].tolist():
        failed = next((word for word, mask in checks if mask[n]), "outbid")
        ad, total = shelf.ads[n], float(table.totals[n])
        told.append(
            Explained(
                ad.ad_id,
                ad.adset_id,
                ad.campaign_id,
                "shown" if n in prices else failed,
                float(table.scores.p_click[n]),
                float(table.scores.p_action[n]),
                float(table.scores.value[n]),
                float(shelf.bids[n]),
                total if total > OUT else None,
                prices.get(n),
            )
        )
    return told
