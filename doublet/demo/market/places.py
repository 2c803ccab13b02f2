"""Places where ads are shown to shoppers, whose true chances of a click and an action are known.

A closed loop for delivery: a policy decides what is shown, sees only what reaches the servers, and
is judged by what truly happened. `places.toml` holds the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from doublet.demo.market.parameters import Amount, Market, Share

Array = np.ndarray[Any, Any]
QUARTERS = 96
"""Quarters of an hour in a day."""
_Count = Annotated[int, msgspec.Meta(ge=1)]


class PlacesParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parameters; `places.toml` says what each one means."""

    persons: _Count
    places_per_day: Amount
    audiences: _Count
    audience_share: Share
    phone_share: Share
    ad_sets: _Count
    ads_per_ad_set: _Count
    click_share: Share
    action_share: Share
    audience_spread: Amount
    ad_spread: Amount
    person_spread: Amount
    delay_days: Amount
    blocker_log_odds: float
    rival_price_median: Amount
    rival_price_spread: Amount
    daily_budget: Amount


class Quarter(NamedTuple):
    """The places that come up in a quarter of an hour, by time. `persons` are numbers, `rivals` the
    highest bids of all others in the account's currency, `at` seconds since the run began."""

    number: int
    persons: Array
    rivals: Array
    at: Array


@cache
def read_places() -> PlacesParameters:
    """The parameters of `places.toml`."""
    text = files("doublet.demo.market").joinpath("places.toml").read_bytes()
    return msgspec.toml.decode(text, type=PlacesParameters)


class Places:
    """One world, drawn from a seed. `correlation` is that of how readily people click and act.

    `clicks` and `actions` are the true chances, of shape (persons, ads): of a click on an ad that
    is shown, and of an action after a click. `known` says of each shopper what is known, of shape
    (persons, audiences + 1); the last column is the phone. `browser_tells` and `server_tells` are
    the chances that an action of a shopper reaches the servers by either way.
    """

    def __init__(
        self, parameters: PlacesParameters, market: Market, correlation: float, seed: int
    ) -> None:
        if not -1 <= correlation <= 1:
            raise ValueError(f"correlation is {correlation}, but must be between -1 and 1")
        self.parameters = parameters
        given = parameters
        luck = np.random.default_rng([seed, 1])
        self._seed = seed
        shares = np.append(np.full(given.audiences, given.audience_share), given.phone_share)
        self.known: Array = luck.random((given.persons, len(shares))) < shares
        self.activity: Array = luck.exponential(1.0, given.persons)

        def pairs(spread: float, *shape: int) -> Array:
            """Draws for clicks and for actions, the last axis."""
            both = [[1.0, correlation], [correlation, 1.0]]
            return spread * luck.multivariate_normal([0.0, 0.0], both, shape, method="cholesky")

        self.ad_sets: Array = np.repeat(np.arange(given.ad_sets), given.ads_per_ad_set)
        tastes = pairs(given.audience_spread, given.ad_sets, len(shares))[self.ad_sets]
        ads = pairs(given.ad_spread, len(self.ad_sets))
        persons = pairs(given.person_spread, given.persons)
        centred = self.known - shares
        logits = np.einsum("pk,akc->pac", centred, tastes) + ads[None] + persons[:, None]
        self.clicks: Array = _around(logits[:, :, 0], given.click_share)
        self.actions: Array = _around(logits[:, :, 1], given.action_share)
        blocked = np.log(market.blocker_share / (1 - market.blocker_share))
        odds = blocked + given.blocker_log_odds * self.known[:, :2].any(axis=1)
        blocks = luck.random(given.persons) < 1 / (1 + np.exp(-odds))
        consents = luck.random(given.persons) >= market.consent_refused_share
        self.browser_tells: Array = consents * ~blocks * (1 - market.hit_loss_share)
        is_known = (1 - market.server_loss_share) * market.server_cookie_share
        self.server_tells: Array = consents * is_known

    def features(self, person: int) -> tuple[str, ...]:
        """What a decision knows of a shopper."""
        audiences = self.parameters.audiences
        named = tuple(f"aud:{n}" for n in range(audiences) if self.known[person, n])
        return (*named, f"device:{'phone' if self.known[person, audiences] else 'desktop'}")

    def day(self, number: int, traffic: float = 1.0) -> Iterator[Quarter]:
        """The places of a day, quarter by quarter; the same for each policy. `traffic` multiplies
        how many come."""
        given = self.parameters
        luck = np.random.default_rng([self._seed, 2, number])
        chance = self.activity / self.activity.sum()
        rate = given.persons * given.places_per_day * traffic
        for quarter, share in enumerate(daily_shares()):
            count = int(luck.poisson(rate * share))
            began = (number * QUARTERS + quarter) * 900
            yield Quarter(
                number * QUARTERS + quarter,
                luck.choice(given.persons, count, p=chance),
                given.rival_price_median
                * np.exp(luck.normal(0.0, given.rival_price_spread, count)),
                np.sort(began + 900 * luck.random(count)),
            )


def daily_shares() -> Array:
    """How much of a day's traffic comes in each quarter of an hour; few at night, most at 20."""
    hours = (np.arange(QUARTERS) + 0.5) / 4
    curve = 1 + 0.6 * np.cos((hours - 20) / 24 * 2 * np.pi) + 0.2 * np.cos((hours - 12) / 6 * np.pi)
    shares: Array = curve / curve.sum()
    return shares


def _around(logits: Array, mean: float) -> Array:
    """Chances with these log-odds apart from a constant, chosen so that their mean is given."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        chances: Array = 1 / (1 + np.exp(-(logits + middle)))
        low, high = (middle, high) if chances.mean() < mean else (low, middle)
    return chances
