"""The market: how near each way of counting comes to the truth.

The simulated market (docs/market.md) knows what happened. A quarter of its browsers let no pixel
through, a tenth of the server's events is lost, people buy again. For several seeds all that
reached us goes through the real accept functions, log, lake and models, once by Doublet's rules and
once by Meta's to the letter; then each way of counting stands beside the truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from load import ACCOUNT, PIXEL, load_all
from measure import print_table, say

from doublet import models
from doublet.demo.market.drive import into_log
from doublet.demo.market.lives import in_order, lives
from doublet.demo.market.parameters import read_market
from doublet.demo.market.truth import Count, TruthFiles, count, read_events
from doublet.engine.duckdb import DuckDBEngine
from doublet.lake import Lake
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits
from doublet.settings import Settings

BEGINS_AT = 1_780_000_000_000_000
DAYS = 10.0
RULES = {"meta": models.Rules(meta=True), "doublet": models.Rules()}


def counted(folder: Path, name: str) -> tuple[int, int, Decimal]:
    """Events of a name, those with an id, and the value of all, currencies added up as they are."""
    engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "tmp")
    (row,) = engine.query(
        "select count(*) as events, count(event_id) as with_id, sum(value) as value "
        "from events_deduplicated where event_name = $name",
        {"name": name},
    )
    engine.close()
    return row["events"], row["with_id"], row["value"] or Decimal(0)


def model(folder: Path, rules: models.Rules) -> None:
    """Model the lake of an installation by some rules."""
    settings = Settings(data=folder)
    engine = DuckDBEngine(settings.warehouse_file, settings.tmp_folder / "duckdb")
    lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
    models.prepare(engine, rules)
    load_all(lake, DiskLog(settings.log_folder, Limits()))
    models.refresh(engine, lake, rules, 100_000)
    lake.close()
    engine.close()


def run(seed: int, persons: int, name: str) -> dict[str, Any]:
    """One market: the truth of an event name, and what each way of counting says."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        settings = Settings(data=folder)
        told = lives(read_market(), seed, range(persons), BEGINS_AT, DAYS)
        with TruthFiles(folder / "truth") as truth:
            log = DiskLog(settings.log_folder, Limits(queue_size_bytes_max=1 << 30))
            into_log(in_order(truth.recorded(told)), log, ACCOUNT, PIXEL)
        true: Count = count(read_events(folder / "truth"))[name]
        figures: dict[str, Any] = {
            "seed": seed,
            "pixel alone": true.pixel_alone,
            "server alone": true.server_alone,
            "both, not deduplicated": true.copies,
        }
        for rule, rules in RULES.items():
            model(folder, rules)
            figures[rule], figures[f"{rule}, with ids"], value = counted(folder, name)
        figures["arrived"], figures["truth"] = true.arrived, true.events
        figures["truth, with ids"] = true.with_id
        figures["value of truth"] = sum(true.cents.values()) / 100
        figures["value"] = float(value)
        return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=6000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--event-name", default="Purchase")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = []
    for seed in chosen.seeds:
        say(f"market of seed {seed} …")
        rows.append(run(seed, chosen.persons, chosen.event_name))
    if chosen.json:
        print(json.dumps(rows))
    else:
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
        exact = all(row["doublet, with ids"] == row["truth, with ids"] for row in rows)
        print(
            f"Events that reached us with ids: {'equal to' if exact else 'NOT equal to'} the truth"
        )


if __name__ == "__main__":
    main()
