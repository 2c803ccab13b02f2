"""Bids: what an ad set offers for one action, by its strategy.

A bid is the lower of two numbers: the *pace*, at which its budget lasts the day, and its *limit*
times a correction. Lowest cost has no limit; a bid cap is one; a cost cap is the mean cost of an
action, so that the correction may lift single bids above it while the mean stays below; a minimum
ROAS is a cost cap of a unit of value, 1 ÷ ROAS. For a scalar bid and a second price, spend and
mean cost both rise with the bid, so that the lower of the two is the best bid that keeps both
promises (Yang et al. 2019, "Bid Optimization by Multivariable Control in Display Advertising",
section 4, where one bid serves several constraints). Value goals bid per unit of expected value.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from doublet.catalog.campaign_rows import AdSet
from doublet.delivery.auction import Array
from doublet.delivery.budgets import UNITS_PER_MINOR

_WON_SHARE = 0.1
_RATE_MIN = 1e-7
BID_MIN = 1e-6
"""Units; the control counts in logarithms."""


class Limit(NamedTuple):
    """What a strategy allows. `amount` is in units per action (per unit of value for value goals),
    infinite where there is none. With `is_mean` the mean keeps to it, not each single bid."""

    amount: float = math.inf
    is_mean: bool = False


def limit_of(ad_set: AdSet) -> Limit:
    """The limit of an ad set's strategy."""
    amount = max(BID_MIN, float(ad_set.bid_amount * UNITS_PER_MINOR))
    if ad_set.bid_strategy == "LOWEST_COST_WITH_BID_CAP":
        return Limit(amount)
    if ad_set.bid_strategy == "COST_CAP":
        return Limit(amount, is_mean=True)
    if ad_set.bid_strategy == "LOWEST_COST_WITH_MIN_ROAS" and ad_set.roas_floor > 0:
        return Limit(1 / ad_set.roas_floor, is_mean=True)
    return Limit()


def bid_per_action(paces: Array, limits: Array, corrections: Array) -> Array:
    """The bids of ad sets, in units per action or per unit of value.

    >>> bid_per_action(np.array([9.0, 9.0]), np.array([np.inf, 4.0]), np.array([1.0, 1.5])).tolist()
    [9.0, 6.0]
    """
    bids: Array = np.minimum(paces, limits * corrections)
    return bids


def start_pace(budget: float, requests: float, rate: float, limit: Limit) -> float:
    """The first pace of an ad set: the price per action at which its budget (units) buys a tenth of
    the requests that are expected in its period, at the rate expected of it beforehand (actions, or
    units of value, per impression). It is only where pacing begins."""
    pace = budget / max(_WON_SHARE * requests, 1.0) / max(rate, _RATE_MIN)
    return max(BID_MIN, min(pace, limit.amount))
