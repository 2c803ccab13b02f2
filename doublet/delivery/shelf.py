"""The shelf: the ads of one account under one model, as arrays that a decision is made from.

What does not hang on the person is worked out once per book and model; a decision then costs a few
operations over all ads. Masks are true where an ad may be shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from doublet.catalog.campaign_rows import Ad, AdSet, Campaign, Creative
from doublet.delivery.auction import Array
from doublet.delivery.bids import bid_per_action, limit_of
from doublet.delivery.book import AccountBook
from doublet.delivery.examples import AdKey
from doublet.delivery.frequency import ad_set_keys
from doublet.delivery.pacing import Pace
from doublet.delivery.rates import Model, Scorer, Scores

Mask = NDArray[np.bool_]

CLICK_GOALS = frozenset(("LINK_CLICKS", "LANDING_PAGE_VIEWS"))
VIEW_GOALS = frozenset(("IMPRESSIONS", "REACH"))
CLICK_BILLING = frozenset(("LINK_CLICKS", "CLICKS"))

_PLACEMENTS_KEPT = 1024
_DAY_S = 86_400


class Offer(NamedTuple):
    """What an ad set bids now: units per action (`pace`, before its limit) and the correction of a
    mean limit."""

    pace: float
    correction: float = 1.0


def offers_of(paces: Mapping[str, Pace]) -> dict[str, Offer]:
    """What ad sets bid, by what the ledger keeps."""
    return {key: Offer(pace.bid, pace.correction) for key, pace in paces.items()}


class Caps(NamedTuple):
    """All frequency caps as columns: the place of the ad set, its key in `Frequency`, the window in
    seconds and how many impressions are too many."""

    ad_sets: NDArray[np.intp]
    keys: Array
    windows_s: Array
    limits: NDArray[np.int64]

    @classmethod
    def of(cls, ad_sets: Sequence[AdSet]) -> Caps:
        """Those of ad sets."""
        caps = [(n, each, cap) for n, each in enumerate(ad_sets) for cap in each.frequency]
        return cls(
            np.array([n for n, _, _ in caps], np.intp),
            ad_set_keys(each.adset_id for _, each, _ in caps),
            np.array([cap.interval_days * _DAY_S for _, _, cap in caps], float),
            np.array([cap.max_frequency for _, _, cap in caps], np.int64),
        )


class Shelf:
    """The ads of an account. Arrays have one entry for each of `ads`; `ad_set_of` and `campaign_of`
    say where its ad set and campaign stand in `ad_sets` and `campaigns`."""

    def __init__(self, book: AccountBook, model: Model) -> None:
        self.account_id = book.account_id
        self.currency = book.currency
        self.zone = ZoneInfo(book.time_zone)
        self.policy = model.version
        self.ads: tuple[Ad, ...] = book.ads
        self.ad_sets: tuple[AdSet, ...] = book.ad_sets
        self.campaigns: tuple[Campaign, ...] = book.campaigns
        creatives = {each.creative_id: each for each in book.creatives}
        self.creatives: tuple[Creative, ...] = tuple(creatives[ad.creative_id] for ad in book.ads)
        sets = {each.adset_id: n for n, each in enumerate(self.ad_sets)}
        places = {each.campaign_id: n for n, each in enumerate(self.campaigns)}
        self.ad_set_of = np.array([sets[ad.adset_id] for ad in book.ads], np.intp)
        self.campaign_of = np.array([places[ad.campaign_id] for ad in book.ads], np.intp)
        keys = [AdKey(ad.ad_id, ad.adset_id, ad.campaign_id) for ad in book.ads]
        self.scorer = Scorer(model, keys)
        goals = [each.optimization_goal for each in self.ad_sets]
        self.is_click = self._of_sets([goal in CLICK_GOALS for goal in goals])
        self._is_view = self._of_sets([goal in VIEW_GOALS for goal in goals])
        self.is_value = self._of_sets([goal == "VALUE" for goal in goals])
        self._kinds = [
            (mask, bool(mask.any())) for mask in (self.is_click, self._is_view, self.is_value)
        ]
        self.is_per_click = self._of_sets(
            [each.billing_event in CLICK_BILLING for each in self.ad_sets]
        )
        learning = set(book.learning)
        self.is_cold = self._of_sets([each.adset_id in learning for each in self.ad_sets])
        self._begins = self._per_set([float(each.start_time) for each in self.ad_sets])
        self._ends = self._per_set([float(each.end_time or np.inf) for each in self.ad_sets])
        self._is_open = self._of_sets([not each.included for each in self.ad_sets])
        self._included = self._by_audience(each.included for each in self.ad_sets)
        self._excluded = self._by_audience(each.excluded for each in self.ad_sets)
        self.placed = lru_cache(_PLACEMENTS_KEPT)(self._placed)
        self.caps = Caps.of(self.ad_sets)
        self.with_holdout = tuple(n for n, each in enumerate(self.campaigns) if each.holdout_share)
        self._limits = np.array([limit_of(each).amount for each in self.ad_sets])
        self.bids: Array = np.zeros(len(self.ads))
        """Units per action, for value goals per unit of value; 0 before the first pace."""

    def _per_set(self, values: list[float]) -> Array:
        found: Array = np.array(values, float)[self.ad_set_of]
        return found

    def _of_sets(self, values: list[bool]) -> Mask:
        mask: Mask = np.array(values, bool)[self.ad_set_of]
        return mask

    def _by_audience(self, lists: Iterable[tuple[str, ...]]) -> dict[str, NDArray[np.intp]]:
        sets: dict[str, list[int]] = {}
        for n, ids in enumerate(lists):
            for audience_id in ids:
                sets.setdefault(audience_id, []).append(n)
        return {key: np.flatnonzero(np.isin(self.ad_set_of, of)) for key, of in sets.items()}

    def offer(self, offers: Mapping[str, Offer]) -> None:
        """Take what ad sets bid now, by their ids; who is not among them does not bid."""
        none = Offer(0.0)
        now = [offers.get(each.adset_id, none) for each in self.ad_sets]
        paces = np.array([each.pace for each in now])
        corrections = np.array([each.correction for each in now])
        self.bids = bid_per_action(paces, self._limits, corrections)[self.ad_set_of]

    def _placed(self, placement: str) -> Mask:
        """Ads that may be shown in a placement."""
        return self._of_sets(
            [not each.placements or placement in each.placements for each in self.ad_sets]
        )

    def scheduled(self, now_s: float) -> Mask:
        """Ads whose ad sets run at a moment."""
        mask: Mask = (self._begins <= now_s) & (now_s < self._ends)
        return mask

    def included(self, audiences: Collection[str]) -> Mask:
        """Ads that are for everybody, or for one of these audiences."""
        mask = self._is_open.copy()
        for each in audiences:
            if (ads := self._included.get(each)) is not None:
                mask[ads] = True
        return mask

    def not_excluded(self, audiences: Collection[str]) -> Mask:
        """Ads that are not kept from any of these audiences."""
        mask = np.ones(len(self.ads), bool)
        for each in audiences:
            if (ads := self._excluded.get(each)) is not None:
                mask[ads] = False
        return mask

    def without_sets(self, sets: Iterable[int]) -> Mask:
        """All ads but those of these ad sets."""
        allowed = np.ones(len(self.ad_sets), bool)
        allowed[list(sets)] = False
        mask: Mask = allowed[self.ad_set_of]
        return mask

    def of_campaigns(self, campaigns: Iterable[int]) -> Mask:
        """The ads of these campaigns."""
        chosen = np.zeros(len(self.campaigns), bool)
        chosen[list(campaigns)] = True
        mask: Mask = chosen[self.campaign_of]
        return mask

    def results(self, scores: Scores) -> Array:
        """What one impression of each ad is expected to bring, in what its bid is per: actions, for
        value goals units of value."""
        (is_click, clicks), (is_view, views), (is_value, values) = self._kinds
        found: Array = scores.p_action
        if clicks:
            found = np.where(is_click, scores.p_click, found)
        if values:
            found = np.where(is_value, scores.value, found)
        return np.where(is_view, 1.0, found) if views else found
