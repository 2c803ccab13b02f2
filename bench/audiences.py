"""Audiences: 100 rules over many events; made anew, refreshed, published, asked; a lookalike.

The events are modelled first (that is `models.py`'s subject; its seconds are printed beside), with
the engine's usual limits. Then all 100 audiences are made for all persons; five times 10,000 new
events arrive, of which the models' refresh and that of the audiences are timed apart; the snapshot
is published as base and as delta; persons are looked up in it from Python; and a lookalike of 1 %
is made of the buyers.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from audience_rows import EVENTS_PER_PERSON, fill, product
from load import ACCOUNT, PIXEL, peak_bytes, reset_peak
from measure import MIB, print_table, say

from doublet import models
from doublet.audiences.compile import evaluation
from doublet.audiences.members import Definition, refresh, sizes
from doublet.audiences.rule import parse_audience_rule
from doublet.audiences.snapshot import Publisher, Snapshot
from doublet.engine.duckdb import DuckDBEngine
from doublet.lake import Lake
from doublet.lookalikes import make_lookalike, parse_spec
from doublet.settings import Settings

NEW_EVENTS = 10_000
REFRESHES = 5
LOOKUPS = 100_000
_DAY_S = 86_400

Filter = dict[str, Any]


def rules() -> list[str]:
    """100 audiences of the kinds that shops make, as JSON on the wire."""
    viewed, carted, bought = _event("ViewContent"), _event("AddToCart"), _event("Purchase")
    made = []
    for days in (1, 3, 7, 14, 30, 60, 90, 120, 150, 180):
        made.append(_rule([_one(days)]))
        made.append(_rule([_one(days, viewed)], [_one(180, carted)]))
        made.append(_rule([_one(days, carted)], [_one(days, bought)]))
        made.append(_rule([_one(days, bought)]))
    for category in range(20):
        url = _filter("url", "i_contains", f"/category-{category}/")
        made.append(_rule([_one(30, url)], [_one(30, bought)]))
    for category in range(10):
        ids = _filter("content_ids", "is_any", [product(category, n) for n in range(50)])
        made.append(_rule([_one(60, viewed, ids)], [_one(180, bought, ids)]))
        name = _filter("content_category", "eq", f"category-{category + 20}")
        made.append(_rule([_one(90, viewed, name)]))
    for limit in (2, 3, 5):
        made.append(_rule([_one(30, viewed, aggregation=_total("count", ">=", limit))]))
        made.append(_rule([_one(180, bought, aggregation=_total("count", "<=", limit))]))
    for limit in (50, 100, 200, 500):
        made.append(_rule([_one(180, bought, aggregation=_total("sum", ">", limit))]))
        made.append(_rule([_one(90, viewed, aggregation=_total("avg", ">=", limit / 10))]))
    device = _filter("device_type", "is_any", ["mobile_iphone", "mobile_android_phone"])
    made += [
        _rule([_one(30, carted, device)]),
        _rule([_one(30, viewed, _filter("value", "gte", "80"))], [_one(30, bought)]),
        _rule([_one(14, _filter("path", "regex_match", "^/category-(1|2|3)/"))]),
        _rule([_one(30, _event("Lead"))], [_one(180, bought)]),
        _rule([_one(30, _event("Search"), _filter("search_string", "i_contains", "7"))]),
        _rule([_one(180, bought)], [_one(90, bought)]),
    ]
    return made


def _event(name: str) -> Filter:
    return _filter("event", "eq", name)


def _filter(field: str, operator: str, value: Any) -> Filter:
    return {"field": field, "operator": operator, "value": value}


def _total(kind: str, operator: str, value: float) -> dict[str, Any]:
    field = {} if kind == "count" else {"field": "value"}
    return {"type": kind, "method": "absolute", "operator": operator, "value": str(value), **field}


def _one(days: int, *filters: Filter, aggregation: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "event_sources": [{"id": PIXEL, "type": "pixel"}],
        "retention_seconds": days * _DAY_S,
        "filter": {"operator": "and", "filters": list(filters) or [_filter("url", "contains", "")]},
        **({"aggregation": aggregation} if aggregation else {}),
    }


def _rule(inclusions: Sequence[Any], exclusions: Sequence[Any] = ()) -> str:
    made = {"inclusions": {"operator": "or", "rules": list(inclusions)}}
    if exclusions:
        made["exclusions"] = {"operator": "or", "rules": list(exclusions)}
    return json.dumps(made)


def definition(number: int, text: str) -> Definition:
    """One audience as the worker has it."""
    rule = parse_audience_rule(text)

    def sql(events: str) -> tuple[str, dict[str, Any]]:
        select, parameters = evaluation(rule, events)
        return select, {**parameters, "since_s": 0}

    return Definition(ACCOUNT, str(number), text, sql)


def write_apart(*arguments: Any) -> None:
    """`fill` in another process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        apart.submit(fill, *arguments).result()


def timed(work: Any) -> tuple[float, Any]:
    """Seconds and result."""
    begun = time.perf_counter()
    done = work()
    return time.perf_counter() - begun, done


def look_up(engine: DuckDBEngine, folder: Path, audiences: int) -> float:
    """Microseconds per question for one person by a cookie, in a process that maps the files."""
    snapshot = Snapshot(folder)
    assert snapshot.refresh()
    luck = random.Random(1)
    persons = len(engine.columns("select person_id from persons")["person_id"])
    asked = [luck.randrange(persons) for _ in range(LOOKUPS)]
    names = [f"fbp=fb.1.{1760000000000 + n}.{n * 7919 % 10000000000}" for n in asked]
    begun = time.perf_counter()
    found = sum(len(snapshot.audiences_of(ACCOUNT, (name,))) for name in names)
    seconds = time.perf_counter() - begun
    assert 0 < found < LOOKUPS * audiences
    return seconds / LOOKUPS * 1e6


def run(folder: Path, events: int) -> dict[str, Any]:
    """Fill, model, make, refresh, publish, ask, find who is alike."""
    settings = Settings(data=folder)
    now_s = int(time.time())
    engine = DuckDBEngine(
        settings.warehouse_file,
        settings.tmp_folder / "duckdb",
        memory_limit_mib=settings.engine_memory_limit_mib,
        threads=settings.engine_threads,
    )
    lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
    write_apart(settings, 0, events, events, now_s)
    rules_ = models.Rules()
    models.prepare(engine, rules_)
    say(f"  {events:,} events are in the lake")
    figures: dict[str, Any] = {"events": events}
    seconds, _ = timed(lambda: models.refresh(engine, lake, rules_, 500_000))
    figures["models_s"] = round(seconds, 1)
    definitions = [definition(n, text) for n, text in enumerate(rules())]
    assert 100 == len(definitions)
    say("  they are modelled")
    reset_peak()
    seconds, _ = timed(lambda: refresh(engine, definitions, now_s))
    figures["build_s"] = round(seconds, 1)
    figures["build_peak_mib"] = peak_bytes() // MIB
    figures["members"] = sum(sizes(engine).values())
    say(f"  the audiences are made: {figures}")
    publisher = Publisher(engine, folder / "published")
    names = [(each.account_id, each.audience_id) for each in definitions]
    seconds, _ = timed(lambda: publisher.publish(names, now_s))
    figures["base_s"] = round(seconds, 2)
    both: list[tuple[float, float, float]] = []
    for number in range(REFRESHES):
        first = events + number * NEW_EVENTS
        write_apart(settings, first, first + NEW_EVENTS, events, now_s)
        modelled_s, done = timed(
            lambda: models.refresh(engine, lake, rules_, settings.load_rows_max)
        )
        assert NEW_EVENTS == done.copies
        made_s, moved = timed(lambda: refresh(engine, definitions, now_s + 60))
        assert moved.persons
        assert not moved.built
        published_s, _ = timed(lambda: publisher.publish(names, now_s + 60))
        both.append((modelled_s, made_s, published_s))
    for name, column in zip(("models", "audiences", "delta"), zip(*both, strict=True), strict=True):
        figures[f"refresh_{name}_s"] = round(statistics.median(column), 2)
        figures[f"refresh_{name}_max_s"] = round(max(column), 2)
    figures["persons_looked_at"] = moved.persons
    figures["lookup_us"] = round(look_up(engine, folder / "published", len(definitions)), 1)
    say(f"  they follow the events: {figures}")
    seed = engine.columns(
        "select distinct person_id from behaviours where event_name = 'Purchase' "
        "and person_id is not null order by hash(person_id) limit 5000"
    )["person_id"].tolist()
    spec = parse_spec('{"country": "DE", "ratio": 0.01}')
    reset_peak()
    seconds, made = timed(lambda: make_lookalike(engine, ACCOUNT, seed, None, spec, now_s))
    figures["lookalike_s"] = round(seconds, 1)
    figures["lookalike_peak_mib"] = peak_bytes() // MIB
    figures["lookalike_members"] = len(made.members)
    engine.close()
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = []
    for events in chosen.events:
        say(f"{events:,} events of {events // EVENTS_PER_PERSON:,} persons …")
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(Path(folder), events))
    if chosen.json:
        print(json.dumps(rows))
    else:
        print_table(list(rows[0]), [[str(v) for v in row.values()] for row in rows])


if __name__ == "__main__":
    main()
