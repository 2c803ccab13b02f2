"""Persons: how well records are joined to the people behind them.

A simulated market (docs/market.md) goes through the real accept functions, log, lake and models.
Each record's true person is known. Of all pairs of records, *precision* is the share of those put
on one person that are one person's, *recall* the share of those that could be joined at all which
were: where a chain of event ids and identifiers leads from one to the other. A shop's own telephone
number in a part of the servers' events, and kiosks whose cookie many people share, are mixed in.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from load import ACCOUNT, PIXEL, load_all
from measure import print_table, say

from doublet import models
from doublet.demo.market.drive import into_log
from doublet.demo.market.lives import in_order, lives
from doublet.demo.market.parameters import read_market
from doublet.demo.market.signals import Signal
from doublet.engine.duckdb import DuckDBEngine
from doublet.lake import Lake
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits
from doublet.models.components import Profile, find_persons
from doublet.settings import Settings

BEGINS_AT = 1_780_000_000_000_000
DAYS = 30.0
SHOP_PHONE = sha256(b"15550100").hexdigest()
SHOP_SHARE = 0.02
KIOSKS = 3
KIOSK_SHARE = 0.01

Place = tuple[int, int]


def mixed(signals: Iterable[Signal], seed: int) -> Iterator[Signal]:
    """The signals, some with what many people share."""
    chance = random.Random(seed)
    for signal in signals:
        content, draw = signal.content, chance.random()
        if signal.source == "server" and draw < SHOP_SHARE:
            event = json.loads(content)
            event["data"][0]["user_data"]["ph"] = [SHOP_PHONE]
            content = json.dumps(event)
        elif signal.source == "browser" and draw < KIOSK_SHARE and "fbp=" in content:
            kiosk = f"fb.1.1770000000000.{chance.randrange(KIOSKS)}00000000"
            head, _, rest = content.partition("fbp=")
            content = f"{head}fbp={kiosk}{rest[rest.find('&') :] if '&' in rest else ''}"
        yield Signal(
            *(signal.send_at, signal.person, signal.number, signal.copy, signal.source),
            *(content, signal.agent, signal.client_ip),
        )


def pairs(sizes: Iterable[int]) -> int:
    """How many pairs groups of these sizes hold."""
    return sum(size * (size - 1) // 2 for size in sizes)


def joinable(
    rows: list[dict[str, Any]], of_event: dict[Place, tuple[int, int]]
) -> dict[Place, int]:
    """The component of each record, by identifiers and event ids, apart for each person."""
    keys: dict[Any, int] = {}
    profiles: list[Profile] = []
    for row in rows:
        place = (row["log_slot"], row["log_offset"])
        person, _ = of_event[place]
        user = row["user_data"]
        told = [("event", row["event_key"]), ("record", place)]
        for kind in ("em", "ph", "external_id"):
            told += [(kind, value) for value in user[kind] or ()]
        told += [("fbp", user["fbp"])] if user["fbp"] else []
        numbers = sorted(keys.setdefault((person, each), len(keys)) for each in told)
        profiles.append(Profile(len(profiles), 0, tuple(numbers)))
    made = find_persons(profiles)
    roots = made.root()
    places = [(row["log_slot"], row["log_offset"]) for row in rows]
    return {place: roots[made.own[n]] for n, place in enumerate(places)}


def run(seed: int, persons: int, days: float) -> dict[str, Any]:
    """One market: what was joined, beside the truth."""
    with tempfile.TemporaryDirectory() as made:
        settings = Settings(data=Path(made))
        told = lives(read_market(), seed, range(persons), BEGINS_AT, days)
        signals = list(mixed(in_order(told), seed))
        log = DiskLog(settings.log_folder, Limits(queue_size_bytes_max=1 << 30))
        into_log(signals, log, ACCOUNT, PIXEL)
        engine = DuckDBEngine(settings.warehouse_file, settings.tmp_folder / "duckdb")
        lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
        models.prepare(engine, models.Rules())
        load_all(lake, log)
        began = time.perf_counter()
        models.refresh(engine, lake, models.Rules(), 100_000)
        seconds = time.perf_counter() - began
        paths = ", ".join(f"'{file.path}'" for file in lake.events.files())
        rows = engine.query(
            f"select log_slot, log_offset, event_key, user_data from read_parquet([{paths}]) "
            "order by log_slot, log_offset"
        )
        places = [(row["log_slot"], row["log_offset"]) for row in rows]
        assert len(places) == len(signals)
        of_event = {
            place: (signal.person, signal.number)
            for place, signal in zip(places, signals, strict=True)
        }
        found = {
            (row["log_slot"], row["log_offset"]): row["root_id"]
            for row in engine.query(
                "select log_slot, log_offset, root_id from copies "
                "left join joins using (pixel_id, event_key, chain_at) "
                "inner join record_profiles on copies.pixel_id = record_profiles.pixel_id "
                "and coalesce(root_key, copies.event_key) = record_profiles.event_key "
                "and coalesce(root_at, copies.chain_at) = record_profiles.anchor_at "
                "inner join profiles using (profile_key) where root_id is not null"
            )
        }
        (shared,) = engine.query("select count(*) as n from identifiers where is_shared")
        allowed = joinable(rows, of_event)
        lake.close()
        engine.close()
    joined = Counter(found.values())
    right = Counter((person, of_event[place][0]) for place, person in found.items())
    both = Counter((found[place], allowed[place]) for place in found)
    one = pairs(right.values())
    return {
        "seed": seed,
        "records": len(places),
        "people": len({person for person, _ in of_event.values()}),
        "persons": len(joined),
        "shared identifiers": shared["n"],
        "precision": round(one / pairs(joined.values()), 5),
        "recall of joinable": round(
            pairs(both.values()) / pairs(Counter(allowed.values()).values()), 5
        ),
        "recall of all": round(one / pairs(Counter(p for p, _ in of_event.values()).values()), 5),
        "refresh s": round(seconds, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=3000)
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = []
    for seed in chosen.seeds:
        say(f"market of seed {seed} …")
        rows.append(run(seed, chosen.persons, chosen.days))
    if chosen.json:
        print(json.dumps(rows))
    else:
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


if __name__ == "__main__":
    main()
