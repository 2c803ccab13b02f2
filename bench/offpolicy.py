"""Off-policy estimates on real logs, and a click model on them.

    python bench/offpolicy.py LOG LOG … [--items=ITEM_CONTEXT]

takes two or more logs of one campaign in the format of the Open Bandit Dataset. Each policy's
clicks per impression are estimated from each other's log, with 95 % intervals of the bootstrap over
pages, beside what it got when it served itself (its own interval), and whether that lies inside.
The doubly robust estimate uses Doublet's click model, learned on the other half of the pages.

The data hold the probability of what was chosen, not of what was not: so a policy that learns
(Thompson sampling) is taken for its mean over the time of its log, per item and position.

Then click models learn from the first part of the time (70 %) of each log and of all together, and
are held against the rest: log loss, and how much better it is than the base rate's, with its
standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure import print_table, say
from numpy.typing import NDArray
from open_bandit import Log, distribution, read
from rate_models import WAYS, Flags, losses

from doublet.delivery.calibration import ratio
from doublet.delivery.examples import Examples, Numbers
from doublet.delivery.fitting import fit
from doublet.delivery.offpolicy import Estimate, Logged, estimate
from doublet.delivery.rates import predict

SPLIT = 0.7
DRAWS = 2_000
SIMPLE = ("base rate", "logistic, C = 1", "Doublet")


def crossed(log: Log, target: Numbers) -> tuple[Numbers, Numbers]:
    """A click model's rate of what was shown, and its mean over what the target would show; from a
    model that has learned on the other half of the pages."""
    logged, mean = np.zeros(len(log.item)), np.zeros(len(log.item))
    half = np.random.default_rng(1).integers(2, size=int(log.page.max()) + 1)[log.page]
    now = float(log.examples.decided_at.max()) + 86_400
    for side in (0, 1):
        model = fit(log.examples.take(half != side), now)
        mine = np.flatnonzero(half == side)
        logged[mine] = predict(model, log.examples.take(mine)).p_click
        for item in range(len(target)):
            shown = log.examples.take(mine)
            shown = Examples(**{**vars(shown), "ad": np.full(len(mine), item, np.int32)})
            mean[mine] += target[item, log.position[mine]] * predict(model, shown).p_click
    return logged, mean


def estimates(logs: Sequence[Log]) -> list[dict[str, Any]]:
    """A row for each policy, log and estimate."""
    rows = []
    for other in logs:
        target = distribution(other)
        own = ratio(float(other.click.sum()), int(other.click.sum()))
        truth = float(other.click.mean())
        limits = [truth / own[2], truth / own[1]]
        for log in logs:
            if log is other or len(log.examples.ads) != len(target):
                continue
            shown = target[log.item, log.position]
            model = crossed(log, target)
            columns = Logged(log.click.astype(np.float64), log.propensity, shown, *model, log.page)
            told = estimate(columns, 1, draws=DRAWS)
            for one in told.estimates:
                rows.append(
                    {
                        "policy": other.name,
                        "from the log of": log.name,
                        "estimate": one.name,
                        "clicks per 1,000": round(1_000 * one.value, 2),
                        "interval": _interval(one),
                        "itself": round(1_000 * truth, 2),
                        "its interval": "{:.1f} to {:.1f}".format(*(1_000 * x for x in limits)),
                        "inside": one.low <= truth <= one.high,
                        "effective": round(told.effective),
                        "cut": round(told.cut_share, 4),
                    }
                )
    return rows


def _interval(one: Estimate) -> str:
    return f"{1_000 * one.low:.1f} to {1_000 * one.high:.1f}"


def together(logs: Sequence[Log]) -> tuple[Examples, Flags]:
    """All logs as one, in the order of time."""
    words: dict[str, int] = {}
    places, widths = [], []
    for log in logs:
        code = np.array([words.setdefault(w, len(words)) for w in log.examples.words], np.int32)
        places.append(code[log.examples.places])
        widths.append(np.diff(log.examples.starts))
    names = ("ad", "decided_at", "clicked_at", "acted_at", "value", "propensity")
    columns = {
        name: np.concatenate([getattr(log.examples, name) for log in logs]) for name in names
    }
    starts = np.append(0, np.cumsum(np.concatenate(widths)))
    ads = max((log.examples.ads for log in logs), key=len)
    merged = Examples(
        words=tuple(words), starts=starts, places=np.concatenate(places), ads=ads, **columns
    )
    ordered = merged.take(np.argsort(merged.decided_at, kind="stable"))
    return ordered, ordered.clicked


def click_models(what: str, examples: Examples, ways: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each way to learn, held against the later part of the time."""
    cut = int(SPLIT * len(examples))
    known, later = (examples.take(part) for part in np.split(np.arange(len(examples)), [cut]))
    told: dict[str, NDArray[np.float64]] = {}
    for way in ways:
        told[way] = losses(WAYS[way](known, known.clicked)(later), later.clicked)
    rows = []
    for way in ways:
        gains = told["base rate"] - told[way]
        rows.append(
            {
                "log": what,
                "learned": int(known.clicked.sum()),
                "held against": int(later.clicked.sum()),
                "model": way,
                "log loss": round(float(told[way].mean()), 5),
                "better than base rate": round(float(gains.mean()), 5),
                "error": round(float(gains.std() / len(gains) ** 0.5), 5),
            }
        )
    return rows


def main(words: Sequence[str]) -> None:
    """Reads, estimates, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--items", type=Path, help="the campaign's item_context.csv")
    parser.add_argument("--compare", action="store_true", help="other libraries as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    logs = [read(path, options.items) for path in options.logs]
    ways = tuple(WAYS) if options.compare else SIMPLE
    found = {"policies": estimates(logs), "click models": []}
    for log in logs:
        found["click models"] += click_models(log.name, log.examples, ways)
    if len(logs) > 1:
        found["click models"] += click_models("all", together(logs)[0], ways)
    if options.json:
        print(json.dumps(found, indent=1, default=str))
        return
    for title, rows in found.items():
        if rows:
            say(f"\n{title}")
            print_table(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])


if __name__ == "__main__":
    main(sys.argv[1:])
