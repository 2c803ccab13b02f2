"""Lift: whether intervals hold the truth as often as they say, and what attribution makes of ads.

First many holdouts of a fast market (tests/lifting.py), whose true effects are known: how often an
interval of 95 % holds the truth, for holdouts of several sizes and shares, and how wide it is. With
1,000 seeds such a share is itself known to ±1.35 %.

With `--market` the simulated market (docs/market.md) with its ads goes through the real accept
functions, log, lake and models. For each campaign the purchases that it truly caused stand beside
what attribution credits it with and what the holdout shows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lift_market import market
from measure import print_table, say

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.lifting import Trial, coverage, intervals, sums, true_means

TRIALS = (
    *(Trial(1_000, 0.5, effect) for effect in (1.0, 1.4)),
    *(Trial(2_000, 0.1, effect, click_share=0.05 * (effect > 1)) for effect in (1.0, 1.1, 1.4)),
    *(Trial(5_000, 0.1, effect, click_share=0.05 * (effect > 1)) for effect in (1.0, 1.4, 2.0)),
    *(Trial(10_000, 0.05, effect) for effect in (1.0, 1.4)),
    *(Trial(20_000, 0.1, effect) for effect in (1.0, 1.1, 1.4)),
    # Where few buy: a fifth as many purchases.
    *(Trial(6_000, 0.1, effect, purchase_share=0.012) for effect in (1.0, 1.4)),
    *(Trial(20_000, 0.1, effect, purchase_share=0.012) for effect in (1.0, 0.7)),
)
INSIDE = (0.935, 0.965)


def cover(trial: Trial, seeds: int) -> list[dict[str, Any]]:
    """A row for each outcome, of difference and lift."""
    truth, told = true_means(trial), sums(trial, range(seeds))
    rows = []
    for kind, arms in told.items():
        without, with_ads = truth[kind]
        true = (with_ads - without, with_ads / without)
        for name, limits, value in zip(
            ("per person", "lift"), intervals(kind, arms), true, strict=True
        ):
            found = coverage(limits, value, arms.has_enough)
            rows.append(
                {
                    "persons": trial.persons,
                    "held out": trial.held_out_share,
                    "effect": trial.effect,
                    "of": f"{kind}, {name}",
                    "truth": round(value - (name == "lift"), 4),
                    "held-out converters": int(np.median(arms.held_out_converters)),
                    "given": round(float(arms.has_enough.mean()), 3),
                    "coverage": round(found.held, 3),
                    "truth below": round(found.below, 3),
                    "truth above": round(found.above, 3),
                    "median width": round(found.width, 4),
                }
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=len(TRIALS), help="only the first ones")
    parser.add_argument("--market", action="store_true", help="run the simulated market instead")
    parser.add_argument("--persons", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--market-seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if chosen.market:
        for seed in chosen.market_seeds:
            say(f"market of seed {seed} …")
            rows += market(seed, chosen.persons, chosen.days)
    else:
        for trial in TRIALS[: chosen.trials]:
            say(f"{trial.persons} persons, {trial.held_out_share:.0%} held out …")
            rows += cover(trial, chosen.seeds)
    if chosen.json:
        print(json.dumps(rows))
        return
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    if not chosen.market:
        low, high = INSIDE
        inside = [low <= row["coverage"] <= high for row in rows]
        print(f"{sum(inside)} of {len(rows)} lie between {low:.1%} and {high:.1%}.")


if __name__ == "__main__":
    main()
