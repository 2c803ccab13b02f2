"""Lift: whether intervals hold the truth as often as they say, and what attribution makes of ads.

First many holdouts of a fast market (tests/lifting.py), whose true effects are known: how often an
interval of 95 % holds the truth, for holdouts of several sizes and shares, and how wide it is: of
all seeds, and of those whose arms have enough converters for figures to be given. With 1,000 seeds
such a share is itself known to ±1.35 %. `--others` sets beside them the intervals that were tried
and are not used.

With `--market` the simulated market (docs/market.md) with its ads goes through the real accept
functions, log, lake and models. For each campaign the purchases that it truly caused stand beside
what models of attribution credit it with, what the report on lift says, and what it would say to
somebody who knew all persons and purchases (`known lift`). `--known` makes that one alone, for many
seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lift_market import held, market
from measure import print_table, say

sys.path.insert(0, str(Path(__file__).parent.parent))

from lift_others import other_intervals

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


def cover(trial: Trial, seeds: int, others: bool) -> list[dict[str, Any]]:
    """A row for each outcome and interval, of difference and lift."""
    truth, told = true_means(trial), sums(trial, range(seeds))
    rows = []
    for kind, arms in told.items():
        without, with_ads = truth[kind]
        made = dict(zip(("per person", "lift"), intervals(kind, arms), strict=True))
        for name, limits in {**made, **(other_intervals(arms) if others else {})}.items():
            value = with_ads - without if name.startswith("per person") else with_ads / without
            everyone = np.ones(seeds, bool)
            found = coverage(limits, value, everyone)
            rows.append(
                {
                    "persons": trial.persons,
                    "held out": trial.held_out_share,
                    "effect": trial.effect,
                    "of": f"{kind}, {name}",
                    "truth": round(value - name.startswith("lift"), 4),
                    "held-out converters": int(np.median(arms.held_out_converters)),
                    "coverage": round(found.held, 3),
                    "truth below": round(found.below, 3),
                    "truth above": round(found.above, 3),
                    "median width": round(found.width, 4),
                    "given": round(float(arms.has_enough.mean()), 3),
                    "coverage of these": round(coverage(limits, value, arms.has_enough).held, 3),
                }
            )
    return rows


def summary(rows: list[dict[str, Any]]) -> str:
    """How many of our own intervals hold the truth as often as they are to."""
    low, high = INSIDE
    ours = [row for row in rows if row["of"].endswith((", per person", ", lift"))]
    wrong = [row for row in ours if not low <= row["coverage"] <= high]
    said = f"{len(ours) - len(wrong)} of {len(ours)} lie between {low:.1%} and {high:.1%}."
    outside = (f"{row['persons']} persons, {row['of']}: {row['coverage']:.1%}" for row in wrong)
    return "\n".join([said, *outside])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=len(TRIALS), help="only the first ones")
    parser.add_argument("--others", action="store_true", help="also intervals that are not used")
    parser.add_argument("--market", action="store_true", help="run the simulated market instead")
    parser.add_argument("--known", action="store_true", help="the same, and only by who knows all")
    parser.add_argument("--persons", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--market-seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if chosen.market or chosen.known:
        for seed in chosen.market_seeds:
            say(f"market of seed {seed} …")
            rows += market(seed, chosen.persons, chosen.days, chosen.market)
    else:
        for trial in TRIALS[: chosen.trials]:
            say(f"{trial.persons} persons, {trial.held_out_share:.0%} held out …")
            rows += cover(trial, chosen.seeds, chosen.others)
    if chosen.json:
        print(json.dumps(rows))
        return
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    if chosen.market:
        print(held(rows, "lift", "of it arrived"))
    if chosen.market or chosen.known:
        print(held(rows, "known lift", "truth"))
    else:
        print(summary(rows))


if __name__ == "__main__":
    main()
