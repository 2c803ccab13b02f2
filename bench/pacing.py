"""Pacing: how far spend strays from the plan, with as much traffic as expected, more and less.

A simulated day of one place: requests come by a daily rhythm, each with the best total value that
anybody outside bids, which also has a rhythm of its own; eight ad sets under six strategies bid
against it and each other by the product's rules, with budgets of 1 to 15 % of what all impressions
cost. Nobody knows prices beforehand; the forecast is made of fourteen past days. What was spent is
known every five seconds, and what an impression is worth without error. Pacing error = max over the
day of |spent − planned| ÷ budget. Where a cap keeps a budget from being spent (`spent` is less than
1) it says nothing; there the mean cost of an action (of a unit of value), in parts of the cap, is
what counts.

Beside it two controls from the literature, in the same market: LinkedIn's (bids, instead of its
throttling, move by 10 % each minute towards the plan) and adaptive pacing in log space, with the
best of six step sizes on another seed than those printed; neither knows mean caps. `--scale` makes
traffic and budgets smaller together.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any, NamedTuple

import numpy as np
from measure import print_table, say

from doublet.delivery.bids import Limit, bid_per_action, start_pace
from doublet.delivery.budgets import Budget
from doublet.delivery.pacing import QUARTERS, Forecast, Pace, Pacer, Seen

DAY_S = 86_400
STEP_S = 5
REQUESTS = 100_000
"""Requests in a day as forecast."""
PAST_DAYS = 14
OUTSIDE_UNITS = 30.0
OUTSIDE_SPREAD = 0.8
RATE_SPREAD = 0.8
ACTION_UNITS = 200_000.0
"""Mean value of an action, for value goals: 20 of the currency."""
TRAFFIC = (1.0, 1.3, 0.7)
STEP_SIZES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
TUNING_SEED = 1001


class Bidder(NamedTuple):
    """An ad set of the market: actions per impression, budget in units."""

    name: str
    rate: float
    budget: int
    limit: Limit = Limit()
    is_value: bool = False


BIDDERS = (
    Bidder("lowest cost, large", 0.002, 400_000),
    Bidder("lowest cost, middle", 0.0008, 150_000),
    Bidder("lowest cost, small", 0.003, 30_000),
    Bidder("value", 0.002, 150_000, is_value=True),
    Bidder("bid cap", 0.002, 150_000, Limit(30_000.0)),
    Bidder("cost cap, binds", 0.001, 600_000, Limit(12_000.0, True)),
    Bidder("cost cap, wide", 0.001, 100_000, Limit(90_000.0, True)),
    Bidder("minimum ROAS", 0.0015, 600_000, Limit(1 / 22.0, True), is_value=True),
)
"""In every run all of them bid for each request."""

Step = Callable[[Pacer, Pace, Seen, float], Pace]


def ours(pacer: Pacer, pace: Pace, seen: Seen, now_s: float) -> Pace:
    """The product's control."""
    return pacer.step(pace, seen, now_s)


def linkedin(pacer: Pacer, pace: Pace, seen: Seen, now_s: float) -> Pace:
    """Agarwal et al. 2014, algorithm 1: 10 % up or down, once a minute."""
    if now_s % 60:
        return pace
    up = 1.1 if seen.spent <= pacer.planned(now_s) else 1 / 1.1
    return pace._replace(bid=min(pacer.limit.amount, pace.bid * up))


def adaptive(step_size: float) -> Step:
    """Balseiro and Gur 2019, algorithm 1, in log space: each step moves the multiplier by the
    difference between planned and seen spend of the interval, in budgets."""

    def step(pacer: Pacer, pace: Pace, seen: Seen, now_s: float) -> Pace:
        since = max(pacer.budget.begin_s, now_s - STEP_S)
        wanted = pacer.planned(now_s) - pacer.planned(since)
        error = (wanted - (seen.spent - pace.spent)) / pacer.budget.amount
        bid = min(pacer.limit.amount, pace.bid * math.exp(step_size * error))
        return pace._replace(bid=bid, spent=seen.spent)

    return step


def rhythm(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Relative traffic of each quarter of an hour: one wave a day, one half a day, noise."""
    hours = np.arange(QUARTERS) / 4
    waves = 1 + 0.7 * np.sin((hours - 9) * math.pi / 12) + 0.2 * np.sin((hours - 3) * math.pi / 6)
    made = np.maximum(waves, 0.05) * rng.gamma(50, 1 / 50, QUARTERS)
    shares: np.ndarray[Any, Any] = made / made.sum()
    return shares


class Day(NamedTuple):
    """What came of one bidder: the largest distance from the plan, and the sums at the end in units
    and in actions (for value goals in units of value)."""

    error: float
    spent: float
    bought: float


def run_day(step: Step, traffic: float, seed: int, scale: float = 1.0) -> list[Day]:
    """One day under one control, at so many times the forecast's traffic; the same seed gives the
    same requests to every control."""
    rng = np.random.default_rng(seed)
    shares = rhythm(rng)
    expected = REQUESTS * scale
    past = rng.poisson(expected * shares, (PAST_DAYS, QUARTERS)).sum(0)
    curve = Forecast.of_counts(past).curve(0, DAY_S, UTC)
    pacers = [
        Pacer(Budget(b.name, "day", round(b.budget * scale), 0, DAY_S), curve, b.limit)
        for b in BIDDERS
    ]
    worth = np.array([ACTION_UNITS if b.is_value else 1.0 for b in BIDDERS])
    rates = np.array([b.rate for b in BIDDERS])
    budgets = np.array([pacer.budget.amount for pacer in pacers], float)
    starts = zip(BIDDERS, budgets, rates * worth, strict=True)
    paces = [Pace(start_pace(budget, expected, rate, b.limit)) for b, budget, rate in starts]
    limits = np.array([b.limit.amount for b in BIDDERS])
    spent, bought, worst = (np.zeros(len(BIDDERS)) for _ in range(3))
    for now_s in range(0, DAY_S, STEP_S):
        corrections = np.array([pace.correction for pace in paces])
        bids = bid_per_action(np.array([pace.bid for pace in paces]), limits, corrections)
        mean = traffic * expected * shares[now_s // 900] * STEP_S / 900
        requests = rng.poisson(mean)
        swing = 1 + 0.3 * math.sin(2 * math.pi * now_s / DAY_S)
        outside = OUTSIDE_UNITS * swing * rng.lognormal(0, OUTSIDE_SPREAD, requests)
        chances = rates * rng.lognormal(-(RATE_SPREAD**2) / 2, RATE_SPREAD, (requests, len(rates)))
        totals = np.where(spent < budgets, bids * chances * worth, 0.0)
        for chance, total, other in zip(chances, totals, outside, strict=True):
            best = int(total.argmax())
            if (offered := total[best]) > other:
                total[best] = 0
                spent[best] += min(max(other, total.max()), offered, budgets[best] - spent[best])
                bought[best] += chance[best] * worth[best]
        then_s = now_s + STEP_S
        planned = np.array([pacer.planned(then_s) for pacer in pacers])
        worst = np.maximum(worst, np.abs(spent - planned) / budgets)
        for n, pacer in enumerate(pacers):
            seen = Seen(spent[n], spent[n], bought[n])
            paces[n] = step(pacer, paces[n], seen, then_s)
    return [Day(*row) for row in zip(worst, spent, bought, strict=True)]


def best_adaptive(scale: float, seed: int) -> Step:
    """The step size with the smallest error of ad sets without a mean cap."""

    def error(size: float) -> float:
        days = run_day(adaptive(size), 1.0, seed, scale)
        free = [day.error for day, b in zip(days, BIDDERS, strict=True) if not b.limit.is_mean]
        return float(np.mean(free))

    return adaptive(min(STEP_SIZES, key=error))


def measure(seeds: int, scale: float) -> Iterator[dict[str, Any]]:
    """A row for each bidder and level of traffic."""
    controls = {"linkedin": linkedin, "adaptive": best_adaptive(scale, seed=TUNING_SEED)}
    for traffic in TRAFFIC:
        say(f"traffic {traffic}, scale {scale}")
        runs = [run_day(ours, traffic, seed, scale) for seed in range(1, seeds + 1)]
        others = {
            name: [run_day(step, traffic, seed, scale) for seed in range(1, seeds + 1)]
            for name, step in controls.items()
        }
        for n, bidder in enumerate(BIDDERS):
            errors = [days[n].error for days in runs]
            budget = round(bidder.budget * scale)
            row: dict[str, Any] = {
                "ad set": bidder.name,
                "traffic": traffic,
                "scale": scale,
                "error": float(np.mean(errors)),
                "worst": max(errors),
                "spent": float(np.mean([days[n].spent for days in runs])) / budget,
            }
            for name, found in others.items():
                row[name] = float(np.mean([days[n].error for days in found]))
            cost = sum(days[n].spent for days in runs) / sum(days[n].bought for days in runs)
            row["cost of cap"] = cost / bidder.limit.amount if bidder.limit.is_mean else None
            yield row


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--scale", type=float, nargs="+", default=[1.0, 0.05])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = [row for scale in asked.scale for row in measure(asked.seeds, scale)]
    if asked.json:
        print(json.dumps(rows))
        return
    shown = []
    for row in rows:
        cost = row["cost of cap"]
        shown.append(
            [
                row["ad set"],
                f"{row['traffic']:.0%} of {row['scale'] * REQUESTS:,.0f}",
                *(f"{row[name]:.1%}" for name in ("error", "worst", "linkedin", "adaptive")),
                f"{row['spent']:.3f}",
                "" if cost is None else f"{cost:.3f}",
            ]
        )
    titles = ["ad set", "requests", "pacing error", "worst", "LinkedIn", "adaptive", "spent"]
    print_table([*titles, "cost ÷ cap"], shown)


if __name__ == "__main__":
    main()
