"""Lookalikes: do they find who joins the seed later, and better than simple ways?

Each lookalike is made from what was known at a moment; then those are looked for who joined the
seed in the weeks after it, of whom nothing was read. Recall is the share of them among the first 1,
5 and 10 % of all persons outside the seed, lift how many times more than by chance, with 95 %
intervals by the bootstrap. `Doublet` is the model that it chose at the moment, before the weeks
that it is judged by; `knows all` orders persons by how often they truly buy, the most that anyone
could find. Real data comes from wheels on PyPI (`pip download --no-deps lifetimes
retentioneering`, done here or given by --lifetimes and --retentioneering); the market
(docs/market.md) runs over a grid of tastes, readiness to buy and activity. `--speed` measures time
and memory of a 1 % lookalike of 500,000 persons with 10 million behaviours instead.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lookalike_data import ACCOUNT, COLUMNS, DAY_S, Shop, cdnow, ecom, market
from measure import print_table, say

sys.path.insert(0, str(Path(__file__).parent.parent))

from doublet.engine.duckdb import DuckDBEngine
from doublet.lookalikes import LookalikeSpec, make_lookalike
from doublet.lookalikes.candidates import ALL, SIMPLE
from doublet.lookalikes.make import compare
from doublet.lookalikes.measure import difference, measure

RATIO = 0.10
GRID = tuple(
    {"taste_effect": effect, "purchase_share": bought, "visits_per_day": visits}
    for effect in (0.0, 0.4, 0.8)
    for bought, visits in ((0.06, 0.15), (0.02, 0.15), (0.06, 0.05))
)
OURS, KNOWS_ALL = "Doublet", "knows all"
Depths = dict[str, list[Any]]


def judge(shop: Shop, seed: int) -> tuple[Depths, list[str]]:
    """At which depth each person stands who joins later, under each way; and what was chosen."""
    found: Depths = {name: [] for name in (OURS, *ALL, *([KNOWS_ALL] if shop.truth else []))}
    chosen = []
    for now_s in shop.moments:
        spec = LookalikeSpec(RATIO)
        members = shop.seed_at(now_s)
        made = compare(
            shop.engine, ACCOUNT, list(members), spec, now_s, seed_at=shop.seed_at, random_seed=seed
        )
        bought: Any = shop.engine.columns(
            "select distinct person_id from behaviours where event_name = 'Purchase' "
            "and event_time > $since and event_time <= $until",
            {"since": now_s, "until": now_s + shop.future_days * DAY_S},
        )["person_id"]
        orders = dict(made.order)
        if shop.truth:
            truth = np.array([shop.truth[int(person)] for person in orders["random"]])
            orders[KNOWS_ALL] = orders["random"][np.argsort(-truth, kind="stable")]
        for name, order in orders.items():
            depth = (np.flatnonzero(np.isin(order, bought)) + 1) / len(order)
            # Each person has its place in every order: sorted by person, to be compared.
            depth = depth[np.argsort(order[np.isin(order, bought)])]
            found[name].append(depth)
            if name == made.model:
                found[OURS].append(depth)
        chosen.append(made.model)
    return found, chosen


def rows_of(name: str, found: Depths, chosen: list[str]) -> list[dict[str, Any]]:
    """A row for each way, of all moments and seeds together."""
    each = {way: np.concatenate(parts) for way, parts in found.items()}
    ones = np.ones(len(each[OURS]))
    rng = np.random.default_rng(1)
    rows = []
    for candidate in measure(each, ones, RATIO, SIMPLE, rng):
        apart = difference(each[OURS], each[candidate.name], ones, RATIO)
        row: dict[str, Any] = {"of": name, "way": candidate.name, "found among": len(ones)}
        for reached in candidate.reached:
            row[f"recall at {reached.ratio:.0%}"] = round(reached.recall, 4)
            row[f"lift at {reached.ratio:.0%}"] = (
                f"{reached.lift:.2f} ({reached.lift_low:.2f}–{reached.lift_high:.2f})"
            )
        row["gain"] = round(candidate.gain, 4)
        row["Doublet's minus this"] = f"{apart.gain:+.4f} ± {apart.error:.4f}"
        row["apart"], row["error"] = apart.gain, apart.error
        row["chosen"] = chosen.count(candidate.name) if candidate.name != OURS else len(chosen)
        rows.append(row)
    return rows


def verdict(rows: list[dict[str, Any]]) -> str:
    """Where Doublet is below the best simple way by more than the error, and where above."""
    lines = []
    for name in dict.fromkeys(row["of"] for row in rows):
        simple = [row for row in rows if row["of"] == name and row["way"] in SIMPLE]
        best = max(simple, key=lambda row: float(row["gain"]))
        apart, error = best["apart"], best["error"]
        word = "above" if apart > 2 * error else "BELOW" if apart < -2 * error else "as good as"
        lines.append(
            f"{name}: {word} the best simple way, {best['way']} "
            f"({best['Doublet' + chr(39) + 's minus this']})"
        )
    return "\n".join(lines)


def shops(chosen: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[tuple[Shop, int]]]]:
    """Data sets, each with its shops and random seeds, made when they are wanted."""
    wanted = chosen.only
    if "cdnow" in wanted:
        yield "CDNOW", [(cdnow(folder / "cdnow", chosen.lifetimes), 1)]
    if "ecom" in wanted:
        yield "e-commerce stream", [(ecom(folder / "ecom", chosen.retentioneering), 1)]
    for n in chosen.settings if "market" in wanted else ():
        changes, made = GRID[n], []
        for seed in chosen.seeds:
            made.append((market(folder / f"m{n}-{seed}", seed, chosen.persons, **changes), seed))
        yield made[0][0].name, made


def speed(persons: int, behaviours: int, folder: Path) -> dict[str, Any]:
    """Time and memory of a 1 % lookalike, on behaviours made at random."""
    engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "scratch")
    now_s = 1_780_000_000
    with engine.transaction() as tx:
        tx.run(f"create table behaviours ({COLUMNS})")
        tx.run(
            (Path(__file__).parent / "lookalike_rows.sql").read_text("utf-8"),
            {"persons": persons, "mean": behaviours / persons, "now_s": now_s, "account": ACCOUNT},
        )
    ((rows, known),) = engine.connection.execute(
        "select count(*), count(distinct person_id) from behaviours"
    ).fetchall()
    shop = Shop("speed", engine, (now_s,), 0, 30)
    members = shop.seed_at(now_s)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, cpu = time.monotonic(), time.process_time()
    made = make_lookalike(
        engine, ACCOUNT, list(members), None, LookalikeSpec(0.01), now_s, seed_at=shop.seed_at
    )
    figures = made.figures
    result = {
        "persons": known,
        "behaviours": rows,
        "seed": len(members),
        "members": figures.members,
        "model": figures.model,
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time() - cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_before_mib": round(before_mib),
    }
    engine.close()
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=["cdnow", "ecom", "market"])
    parser.add_argument("--lifetimes", type=Path, help="its wheel, if it is already here")
    parser.add_argument("--retentioneering", type=Path, help="its wheel, likewise")
    parser.add_argument("--persons", type=int, default=10_000, help="of each market")
    parser.add_argument("--settings", type=int, nargs="+", default=[*range(len(GRID))])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--speed", action="store_true", help="time and memory instead")
    parser.add_argument("--behaviours", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if chosen.speed:
            result = speed(chosen.behaviours // 20, chosen.behaviours, folder)
            print(json.dumps(result) if chosen.json else result)
            return
        rows = []
        for name, each in shops(chosen, folder):
            say(f"{name} …")
            found: Depths = {}
            models = []
            for shop, seed in each:
                depths, names = judge(shop, seed)
                models += names
                for way, parts in depths.items():
                    found.setdefault(way, []).extend(parts)
                shop.engine.close()
            rows += rows_of(name, found, models)
    if chosen.json:
        print(json.dumps(rows))
        return
    shown = [name for name in rows[0] if name not in ("apart", "error")]
    print_table(shown, [[str(row[name]) for name in shown] for row in rows])
    print(verdict(rows))


if __name__ == "__main__":
    main()
