"""Action rates on days to come, on a simulated stream of impressions whose true rates are known.

The stream (tests/delivery/stream.py) was fixed before any figure was looked at; its delays are
simulated too, from minutes to a week. A model learns from what is known at the end of 14 days and
is held against the three that follow, with all of their actions known, however late: predicted ÷
observed overall and per tenth of the impressions by predicted rate, log loss beside the best
single rate and beside the truth. With and without the correction for delay, set right and not.

`--compare` holds other ways to learn against the same days: clicks, and actions after a click
where nothing is late, so that all start equal. `--speed` tells what learning and scoring cost.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import print_table, say
from rate_models import WAYS, Flags, losses

sys.path.insert(0, str(Path(__file__).parent.parent))

from doublet.delivery.calibration import CalibrationReport, learn, report
from doublet.delivery.examples import AdKey, Numbers
from doublet.delivery.fitting import fit
from doublet.delivery.rates import Calibration, Model, Scorer, predict
from tests.delivery.stream import Ground, stream

IMPRESSIONS = 75_000
"""A day."""
FIRST_SEED = 11
"""Those before it were looked at while the model was made."""
SHORT_DAYS = 5
"""Also after so few days: most of what will be known is not yet."""

TENTH = 0.15


def calibrated(name: str, ground: Ground, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row for each seed, correction and quantity."""
    rows = []
    for seed in seeds:
        world = stream(ground, seed)
        held = world.examples.take(~world.is_past)
        done = learn(world.examples, world.ends_at, goals=world.goals)
        # Clicks are the same either way: only what is learned from them is learned again.
        clicked = world.examples.take(world.examples.clicked)
        late = learn(clicked, world.ends_at, goals=world.goals, is_delay_corrected=False)
        other = replace(done.model, action=late.model.action)
        tried = (("corrected", done.model, done.ways), ("not corrected", other, late.ways))
        for correction, whole, ways in tried:
            for is_set in (True, False):
                scores = predict(whole if is_set else bare(whole), held)
                truth = world.p_click[~world.is_past]
                row = {
                    "stream": f"{name}, seed {seed}",
                    "delay": correction,
                    "calibrated": " / ".join((done.ways[0], ways[1])) if is_set else "no",
                }
                if correction == "corrected":
                    rows.append(row | {"of": "clicks"} | told(scores.p_click, held.clicked, truth))
                truth = truth * world.p_action[~world.is_past]
                rows.append(row | {"of": "actions"} | told(scores.p_action, held.acted, truth))
        say(f"{name}, seed {seed}: {done.verdict()}")
    return rows


def bare(model: Model) -> Model:
    """The same without its calibration."""
    none = Calibration.none()
    return replace(
        model,
        click=replace(model.click, calibration=none),
        action=replace(model.action, calibration=none),
    )


def told(p: Numbers, happened: Flags, truth: Numbers) -> dict[str, Any]:
    """Predictions held against what came."""
    found: CalibrationReport = report(p, happened, np.ones(len(p)))
    ratios = [one.ratio for one in found.tenths]
    return {
        "events": found.observed,
        "predicted ÷ observed": round(found.ratio, 3),
        "interval": f"{found.low:.3f} to {found.high:.3f}",
        "÷ truth": round(float(p.sum() / truth.sum()), 3),
        "tenths": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "within 15 %": sum(abs(one - 1) <= TENTH for one in ratios),
        "intervals hold 1": sum(one.low <= 1 <= one.high for one in found.tenths),
        "log loss": round(found.log_loss, 5),
        "base rate": round(found.base_log_loss, 5),
        "truth": round(float(losses(truth, happened).mean()), 5),
    }


def compared(ground: Ground, seed: int) -> list[dict[str, Any]]:
    """A row for each way and quantity. Of the gap between the best single rate and the truth, how
    much is closed."""
    world = stream(ground, seed)
    past, held = (world.examples.take(part) for part in (world.is_past, ~world.is_past))
    true = world.p_click[~world.is_past], world.p_action[~world.is_past][held.clicked]
    clicked, later = past.take(past.clicked), held.take(held.clicked)
    parts = (
        ("clicks", past, past.clicked, held, held.clicked, true[0]),
        ("actions after a click", clicked, clicked.acted, later, later.acted, true[1]),
    )
    rows = []
    for of, known, happened, after, came, truth in parts:
        best = float(losses(truth, came).mean())
        flat = float(losses(np.full(len(came), came.mean()), came).mean())
        for name, way in WAYS.items():
            began = time.perf_counter()
            p = way(known, happened)(after)
            loss = float(losses(p, came).mean())
            rows.append(
                {
                    "of": of,
                    "model": name,
                    "learned from": int(happened.sum()),
                    "log loss": round(loss, 5),
                    "of the gap": round((flat - loss) / (flat - best), 3),
                    "predicted ÷ observed": round(float(p.sum() / came.sum()), 3),
                    "seconds": round(time.perf_counter() - began, 1),
                }
            )
            say(f"{of}, {name}: {rows[-1]['of the gap']}")
    return rows


def speed(ground: Ground) -> list[dict[str, Any]]:
    """What learning costs, and scoring 1,000 ads for a person with 20 features."""
    world = stream(ground, 1)
    past = world.examples.take(world.is_past)
    model, seconds = timed(lambda: fit(past, world.ends_at))
    ads = [AdKey(f"a{n % 4}.{n % 3}.{n}", f"s{n % 4}.{n % 3}", f"c{n % 4}") for n in range(1_000)]
    scorer, compiling = timed(lambda: Scorer(model, ads))
    features = [f"aud:{n}" for n in range(12)] + ["place:home", "device:phone", "hour:9"]
    features += ["weekday:2", *(f"aud:strange{n}" for n in range(4))]
    each = sorted(timed(lambda: scorer.score(features))[1] for _ in range(5_000))
    return [
        {"what": f"learning from {len(past):,} impressions, s", "cost": round(seconds, 1)},
        {"what": "compiling a scorer of 1,000 ads, ms", "cost": round(1e3 * compiling, 2)},
        {"what": "scoring 1,000 ads, µs, median", "cost": round(1e6 * each[2_500], 1)},
        {"what": "scoring 1,000 ads, µs, 99th percentile", "cost": round(1e6 * each[4_950], 1)},
    ]


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    """What it makes, and the seconds it takes."""
    began = time.perf_counter()
    made = do()
    return made, time.perf_counter() - began


def main(words: Sequence[str]) -> None:
    """Simulates, learns, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--impressions", type=int, default=IMPRESSIONS, help="a day")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    ground = Ground(impressions=options.impressions)
    if options.compare:
        rows = compared(ground, FIRST_SEED)
    elif options.speed:
        rows = speed(ground)
    else:
        seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
        rows = calibrated(f"{ground.days} days", ground, seeds)
        rows += calibrated(f"{SHORT_DAYS} days", replace(ground, days=SHORT_DAYS), seeds)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print_table(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])


if __name__ == "__main__":
    main(sys.argv[1:])
