"""Alerts: false alarms on four clean weeks, and how soon a planted fault is found.

Simulated sites of three sizes: visitors come by a daily and weekly rhythm that grows by 3 % a week,
each hour busier or calmer by chance (gamma, 15 % standard deviation), copies by a Poisson process.
Four weeks are history, four are watched every five minutes, as the worker does. Then faults are
planted at random moments of the watched weeks: one source falls silent, or loses half.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Iterator
from typing import Any

from measure import print_table, say

from doublet.alerts.watch import (
    STEP_S,
    Finding,
    Series,
    Share,
    Steps,
    look_at_share,
    look_at_volume,
)

WEEK = 7 * 86_400 // STEP_S
DAY = 86_400 // STEP_S
HISTORY = 4 * WEEK
WATCHED = 4 * WEEK
SIZES = {"small": 20, "medium": 300, "large": 5_000}
"""Copies in an average hour of one event name and source."""

VARIATION = 0.15
GROWTH = 1.03
BOTH_SHARE = 0.8
_FIRST = 5_000_000 // WEEK * WEEK


def poisson(rng: random.Random, mean: float) -> int:
    """A Poisson count: Knuth's product for small means, a rounded normal for large ones."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def usual(hourly: float, rng: random.Random) -> Iterator[float]:
    """Expected copies of each step: rhythm times growth times the hour's chance."""
    shape = 1 / VARIATION**2
    chance = 1.0
    for step in range(HISTORY + WATCHED):
        if step % (3600 // STEP_S) == 0:
            chance = rng.gammavariate(shape, 1 / shape)
        day = 1 + 0.8 * math.sin(2 * math.pi * (step % DAY) / DAY - 2)
        weekend = 0.7 if step % WEEK >= 5 * DAY else 1.0
        yield hourly * STEP_S / 3600 * day * weekend * GROWTH ** (step / WEEK) * chance


def site(hourly: float, seed: int) -> tuple[list[int], list[int]]:
    """Copies of each step, and how many of them are events of both sides."""
    rng = random.Random(seed)
    counts = [poisson(rng, mean) for mean in usual(hourly, rng)]
    both = [sum(rng.random() < BOTH_SHARE for _ in range(min(count, 60))) for count in counts]
    return counts, [
        b * max(c, 60) // 60 if c > 60 else b for b, c in zip(both, counts, strict=True)
    ]


def steps_of(counts: list[int]) -> Steps:
    """As the alerts read them."""
    return Steps(dict(enumerate(counts, _FIRST)))


def episodes(findings: list[Finding | None]) -> int:
    """Alarms: findings in a row are one, and so are those within six hours."""
    count, last = 0, -(10**9)
    for place, finding in enumerate(findings):
        if finding is not None:
            count += place - last > 6 * 3600 // STEP_S
            last = place
    return count


def false_alarms(hourly: float, sites: int) -> dict[str, int]:
    """Alarms of each measure on clean weeks, over all sites."""
    alarms = {"volume": 0, "share": 0}
    watched = range(_FIRST + HISTORY, _FIRST + HISTORY + WATCHED)
    series = Series("volume", "1", "Purchase", "browser")
    for seed in range(sites):
        counts, both = site(hourly, seed)
        volume, share = steps_of(counts), Share(steps_of(both), steps_of(counts))
        alarms["volume"] += episodes([look_at_volume(series, volume, end) for end in watched])
        alarms["share"] += episodes([look_at_share(series, share, end) for end in watched])
    return alarms


def minutes_to_alarm(hourly: float, kept: float, faults: int) -> list[float]:
    """For each planted fault the minutes of event time until it is found, at most a day: infinite
    when it is not. A fault leaves the share `kept` of the copies."""
    rng = random.Random(7)
    found = []
    series = Series("volume", "1", "Purchase", "browser")
    for fault in range(faults):
        counts, _ = site(hourly, 1000 + fault % 10)
        begin = HISTORY + rng.randrange(WATCHED - DAY)
        for step in range(begin, begin + DAY):
            counts[step] = round(counts[step] * kept)
        steps = steps_of(counts[: begin + DAY])
        minutes = math.inf
        for end in range(begin + 1, begin + DAY):
            if look_at_volume(series, steps, _FIRST + end) is not None:
                minutes = (end - begin) * STEP_S / 60
                break
        found.append(minutes)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=10, help="clean sites of each size")
    parser.add_argument("--faults", type=int, default=60, help="planted faults of each kind")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size, hourly in SIZES.items():
        say(f"{size} …")
        alarms = false_alarms(hourly, chosen.sites)
        row: dict[str, Any] = {"site": size, "copies_per_hour": hourly, "series": chosen.sites}
        row |= {f"false_{name}": number for name, number in alarms.items()}
        for name, kept in (("silent", 0.0), ("half", 0.5)):
            minutes = minutes_to_alarm(hourly, kept, chosen.faults)
            row[f"{name}_median_min"] = statistics.median(minutes)
            row[f"{name}_in_30_min"] = sum(m <= 30 for m in minutes) / len(minutes)
            row[f"{name}_never"] = sum(m == math.inf for m in minutes)
        rows.append(row)
    if chosen.json:
        print(json.dumps(rows))
    else:
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


if __name__ == "__main__":
    main()
