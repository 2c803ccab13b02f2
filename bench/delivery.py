"""Delivery in a closed loop: what a budget buys when rates are learned from what was bought.

Shoppers of the simulated market come to places (doublet/demo/market/places.toml). Ad sets with
equal budgets bid there against each other and against a rival's price that nobody knows before;
whoever wins pays by the second price. Five ways to say how likely an action is decide the bids, all
with Doublet's auction, exploration and pacing:

random    knows nothing: an ad is drawn, and every impression is worth the same
clicks    Doublet's rates of clicks
Doublet   Doublet's rates of actions
browser   the same, learned without the copies of actions that the server sent
knowable  the true rates, as far as what is known of a shopper tells them
oracle    the true rates of every single shopper, which nothing tells

Rates are learned anew each night from what had reached the servers by then. What counts are the
true chances of an action, summed over all impressions that were bought, per unit of money. Days are
compared once the ad sets of Doublet have learned from 50 actions each, on average.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from measure import print_table, say
from msgspec.structs import replace

from doublet.delivery import UNITS
from doublet.delivery.auction import Array, price_per_impression, round_units, run_auction
from doublet.delivery.bids import Limit, start_pace
from doublet.delivery.budgets import Budget
from doublet.delivery.examples import AdKey, Example, Examples
from doublet.delivery.explore import Explorer
from doublet.delivery.fitting import fit
from doublet.delivery.pacing import Forecast, Pace, Pacer, Seen
from doublet.delivery.rates import Model, Scorer
from doublet.demo.market.parameters import read_market
from doublet.demo.market.places import QUARTERS, Places, Quarter, read_places

WAYS = ("random", "clicks", "Doublet", "browser", "knowable", "oracle")
LEARNING = ("clicks", "Doublet", "browser")
CORRELATIONS = (-0.3, 0.0, 0.5)
LEARNED_ACTIONS = 50
EPSILON = 0.02
_DAY_S = 86_400
_STEP_S = 60
_QUARTER_S = 900


class Day(NamedTuple):
    """One way's day: units spent, expected actions bought, and how many actions it had learned from
    when it began, per ad set."""

    spent: float
    actions: float
    learned: float


class Run:
    """One way to bid in one world."""

    def __init__(self, way: str, world: Places, seed: int) -> None:
        self._way = way
        self._world = world
        self._luck = np.random.default_rng([seed, 3])
        given = world.parameters
        self._budget = round(given.daily_budget * UNITS)
        self._ads = [
            AdKey(f"ad {n}", f"set {ad_set}", "campaign") for n, ad_set in enumerate(world.ad_sets)
        ]
        keys, self._kind = np.unique(world.known, axis=0, return_inverse=True)
        self._kinds = [world.features(int(np.argmax(self._kind == n))) for n in range(len(keys))]
        self._rates = self._known_rates() if way in ("knowable", "oracle") else self._learn(0)[0]
        requests = given.persons * given.places_per_day
        bid = start_pace(self._budget, requests / given.ad_sets, float(self._rates.mean()), Limit())
        self._paces = [Pace(bid) for _ in range(given.ad_sets)]
        self._shown: list[Example] = []
        self._counts = np.zeros(QUARTERS)
        self._known_actions = np.zeros(given.ad_sets)

    def days(self, count: int) -> list[Day]:
        """Live through them."""
        made = []
        for number in range(count):
            if self._way in LEARNING and number:
                self._rates, self._known_actions = self._learn(number * _DAY_S)
            made.append(self._day(number))
        return made

    def _known_rates(self) -> Array:
        """True chances of an action per impression: by person, or their mean by what is known."""
        true: Array = self._world.clicks * self._world.actions
        if self._way == "oracle":
            return true
        sums = np.zeros((len(self._kinds), true.shape[1]))
        np.add.at(sums, self._kind, true)
        means: Array = sums / np.bincount(self._kind)[:, None]
        return means

    def _learn(self, now_s: float) -> tuple[Array, Array]:
        """Rates by what is known of a shopper, and known actions by ad set."""
        actions = np.zeros(self._world.parameters.ad_sets)
        model = Model.prior(p_click=0.02, p_action=0.05)
        if now_s:
            examples = Examples.of(self._shown).known_at(now_s)
            model = fit(examples, now_s, prior=model)
            np.add.at(actions, self._world.ad_sets[_numbers(examples)[examples.acted]], 1)
        scorer = Scorer(model, self._ads)
        scores = [scorer.score(features) for features in self._kinds]
        rates = [each.p_click if self._way == "clicks" else each.p_action for each in scores]
        return np.array(rates), actions

    def _day(self, number: int) -> Day:
        spent, bought = np.zeros(len(self._paces)), 0.0
        learned = float(self._known_actions.mean())
        pacers = [self._pacer(n, number) for n in range(len(self._paces))]
        self._step(pacers, spent, number * _DAY_S)
        for quarter in self._world.day(number):
            self._counts[quarter.number % QUARTERS] += len(quarter.persons)
            bought += self._quarter(quarter, pacers, spent)
        return Day(float(spent.sum()), bought, learned)

    def _pacer(self, ad_set: int, day: int) -> Pacer:
        begin, end = day * _DAY_S, (day + 1) * _DAY_S
        budget = Budget(f"set {ad_set}", str(day), self._budget, begin, end)
        return Pacer(budget, Forecast.of_counts(self._counts).curve(begin, end, UTC))

    def _step(self, pacers: Sequence[Pacer], spent: Array, now_s: float) -> None:
        self._paces = [
            pacer.step(pace, Seen(units, units, 0.0), now_s)
            for pacer, pace, units in zip(pacers, self._paces, spent.tolist(), strict=True)
        ]

    def _quarter(self, quarter: Quarter, pacers: Sequence[Pacer], spent: Array) -> float:
        """Spend; expected actions bought."""
        bought, begun = 0.0, quarter.number * _QUARTER_S
        steps = np.floor((quarter.at - begun) / _STEP_S).astype(int)
        places = zip(quarter.persons.tolist(), quarter.rivals * UNITS, quarter.at, strict=True)
        last = 0
        bids = self._bids()
        for step, (person, rival, at) in zip(steps.tolist(), places, strict=True):
            if step > last:
                self._step(pacers, spent, begun + step * _STEP_S)
                bids, last = self._bids(), step
            won = self._decide(person, float(rival), bids, spent)
            if won is not None:
                bought += self._show(person, won, float(at))
        self._step(pacers, spent, begun + _QUARTER_S)
        return bought

    def _bids(self) -> Array:
        bids: Array = np.array([pace.bid for pace in self._paces])[self._world.ad_sets]
        return bids

    def _decide(self, person: int, rival: float, bids: Array, spent: Array) -> int | None:
        """The ad that is shown, which has been paid for; None when others have bid more."""
        of = person if self._way == "oracle" else self._kind[person]
        ad_sets = self._world.ad_sets
        left = (self._budget - spent)[ad_sets]
        values = np.minimum(bids * self._rates[of], left)
        totals = np.where(values >= rival, values, -np.inf)
        if self._way == "random":
            drawn = int(self._luck.integers(len(totals)))
            totals[np.arange(len(totals)) != drawn] = -np.inf
        is_cold = (self._known_actions < LEARNED_ACTIONS)[ad_sets]
        epsilon = EPSILON if self._way in LEARNING else 0.0
        placed = run_auction(totals, ad_sets, 1, Explorer(is_cold, epsilon, self._luck))
        if not placed:
            return None
        ad = placed[0].ad
        price = price_per_impression(float(values[ad]), 0.0, placed[0].runner_up, rival)
        units = round_units(price, float(self._luck.random()))
        spent[ad_sets[ad]] += min(units, self._budget - spent[ad_sets[ad]])
        return ad

    def _show(self, person: int, ad: int, at: float) -> float:
        """What comes of an impression, as far as it reaches the servers; the chance of an action
        that it truly had."""
        world = self._world
        p_click, p_action = float(world.clicks[person, ad]), float(world.actions[person, ad])
        if self._way not in LEARNING:
            return p_click * p_action
        chances = self._luck.random(4)
        clicked_at = at + 5.0 if chances[0] < p_click else None
        acted_at = None
        if clicked_at and chances[1] < p_action:
            by_browser = chances[2] < world.browser_tells[person]
            by_server = self._way != "browser" and chances[3] < world.server_tells[person]
            delay_s = float(self._luck.exponential(world.parameters.delay_days * _DAY_S))
            acted_at = clicked_at + delay_s if by_browser or by_server else None
        features = self._kinds[self._kind[person]]
        self._shown.append(Example(features, self._ads[ad], at, clicked_at, acted_at, 0.0, 1.0))
        return p_click * p_action


def _numbers(examples: Examples) -> Array:
    """The number of the ad of each example."""
    found: Array = np.array([int(ad.ad_id[3:]) for ad in examples.ads])[examples.ad]
    return found


def live(correlation: float, seed: int, days: int, persons: int) -> dict[str, list[Day]]:
    """All ways in one world. Budgets are as large as there are shoppers."""
    given = read_places()
    budget = given.daily_budget * persons / given.persons
    given = replace(given, persons=persons, daily_budget=budget)
    world = Places(given, read_market(), correlation, seed)
    return {way: Run(way, world, seed).days(days) for way in WAYS}


def per_money(days: Sequence[Day]) -> float:
    """Expected actions per unit of the account's currency."""
    return sum(day.actions for day in days) / sum(day.spent for day in days) * UNITS


def compare(lives: Sequence[dict[str, list[Day]]], is_late: bool) -> dict[str, dict[str, float]]:
    """Actions per money of each way before or after Doublet has learned enough: means over worlds,
    shares of the oracle's in the same world with their standard errors."""
    shares: dict[str, list[float]] = {way: [] for way in WAYS}
    amounts: dict[str, list[float]] = {way: [] for way in WAYS}
    for each in lives:
        taken = [
            n
            for n, day in enumerate(each["Doublet"])
            if (day.learned >= LEARNED_ACTIONS) == is_late
        ]
        if not taken:
            continue
        best = per_money([each["oracle"][n] for n in taken])
        for way in WAYS:
            amount = per_money([each[way][n] for n in taken])
            amounts[way].append(amount)
            shares[way].append(amount / best)
    return {
        way: {
            "worlds": len(shares[way]),
            "actions_per_money": float(np.mean(amounts[way])),
            "of_oracle": float(np.mean(shares[way])),
            "error": float(np.std(shares[way], ddof=1) / np.sqrt(len(shares[way]))),
        }
        for way in WAYS
        if len(shares[way]) > 1
    }


def main() -> None:
    """Live and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--correlation", type=float, nargs="+", default=list(CORRELATIONS))
    parser.add_argument("--persons", type=int, default=read_places().persons)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    asked = [(correlation, seed) for correlation in chosen.correlation for seed in chosen.seeds]
    with ProcessPoolExecutor(chosen.processes, get_context("spawn")) as apart:
        running = [apart.submit(live, *each, chosen.days, chosen.persons) for each in asked]
        lives = []
        for each, future in zip(asked, running, strict=True):
            lives.append(future.result())
            say(f"  correlation {each[0]}, seed {each[1]} is over")
    result = []
    for correlation in chosen.correlation:
        mine = [made for (of, _), made in zip(asked, lives, strict=True) if of == correlation]
        for is_late in (False, True):
            for way, figures in compare(mine, is_late).items():
                result.append(
                    {"correlation": correlation, "is_late": is_late, "way": way, **figures}
                )
    if chosen.json:
        print(json.dumps(result))
        return
    rows = [
        [
            str(row["correlation"]),
            f"{'after' if row['is_late'] else 'before'} {LEARNED_ACTIONS} actions",
            row["way"],
            f"{row['actions_per_money']:.2f}",
            f"{row['of_oracle']:.3f} ± {row['error']:.3f}",
            str(row["worlds"]),
        ]
        for row in result
    ]
    print_table(
        ["correlation", "when", "way", "actions per money", "of the oracle", "worlds"], rows
    )


if __name__ == "__main__":
    main()
