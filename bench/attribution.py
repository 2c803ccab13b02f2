"""Attribution: our models beside the package mta on the same paths; windows anew on large tables.

The 10,000 paths are those that mta carries; both have them read, and run in turns in one process.
Then 200,000 conversions and 2,000,000 touches of persons are made as tables of the warehouse, and
credit under five heuristics is asked for with a window of 7 days and one of 28.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from measure import print_table, say

from doublet import models
from doublet.attribution import (
    Paths,
    first_touch,
    last_touch,
    linear,
    markov,
    position_based,
    shapley,
    time_decay,
)
from doublet.catalog import Account
from doublet.engine.duckdb import DuckDBEngine
from doublet.rates import Rates
from doublet.reports.asked import Setting
from doublet.reports.campaigns import CampaignsAsked, campaigns
from doublet.reports.credit import Model
from doublet.reports.windows import setting_window

ACCOUNT = "act_100000000000001"
HEURISTICS: tuple[Model, ...] = (
    "last_touch",
    "first_touch",
    "linear",
    "time_decay",
    "position_based",
)
START = 1_780_000_000
DAY_S = 86_400


def timed(work: Callable[[], Any], times: int) -> float:
    """The median of some runs, in milliseconds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work()
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def beside_mta() -> list[list[str]]:
    """One row per model: ours, mta's, and how many times as fast ours is."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mta import MTA

        theirs = MTA(str(files("mta") / "data" / "data.csv.gz"), add_timepoints=False)
    data = theirs.data
    ours = Paths(
        data["path"].tolist(), data["total_conversions"].tolist(), data["total_null"].tolist()
    )
    pairs: list[tuple[str, Callable[[], Any], Callable[[], Any], int]] = [
        ("first_touch", lambda: first_touch(ours), theirs.first_touch, 15),
        ("last_touch", lambda: last_touch(ours), theirs.last_touch, 15),
        ("linear", lambda: linear(ours), lambda: theirs.linear(share="proportional"), 15),
        ("linear, distinct", lambda: linear(ours, distinct=True), theirs.linear, 15),
        ("position_based", lambda: position_based(ours), theirs.position_based, 15),
        ("time_decay", lambda: time_decay(ours), theirs.time_decay, 15),
        ("markov", lambda: markov(ours), theirs.markov, 5),
        ("shapley", lambda: shapley(ours), theirs.shapley, 1),
    ]
    rows = []
    for name, mine, other, times in pairs:
        say(f"{name} …")
        own, reference = timed(mine, times), timed(other, times)
        rows.append([name, f"{own:.2f}", f"{reference:.2f}", f"{reference / own:.0f}"])
    return rows


def fill(engine: DuckDBEngine, conversions: int, touches: int) -> None:
    """Persons with ten touches each, and conversions within 60 days."""
    persons = touches // 10
    engine.connection.execute("select setseed(0.5)")
    engine.connection.execute(
        "insert into touchpoints by name select $account as account_id, n % $persons as person_id, "
        "0 as since_s, 4611686018427387904 as until_s, n as touchpoint_key, "
        f"{START} + cast(random() * {60 * DAY_S} as bigint) as touched_time, "
        "case when n % 10 < 7 then 'click' else 'view' end as kind, 'meta' as platform, "
        "'channel ' || (n % 7) as channel, true as is_ad, 'c' || (n % 13) as campaign_id, "
        "'s' || (n % 130) as adset_id, 'a' || (n % 1300) as ad_id, 'ad_log' as origin "
        f"from range({touches}) as numbers(n)",
        {"account": ACCOUNT, "persons": persons},
    )
    engine.connection.execute(
        "insert into conversions by name select $account as account_id, '1' as pixel_id, "
        "n as event_key, make_timestamptz(2026, 6, 1, 0, 0, 0) as anchor_at, "
        f"'Purchase' as event_name, {START} + cast(random() * {60 * DAY_S} as bigint) "
        "as event_time, n % $persons as person_id, 4000000000 as frozen_s, "
        "cast(round(random() * 100, 2) as decimal(18, 4)) as value, 'USD' as currency, "
        "1 as browser_copies, 1 as server_copies "
        f"from range({conversions}) as numbers(n)",
        {"account": ACCOUNT, "persons": persons},
    )


def windows_anew(conversions: int, touches: int) -> list[list[str]]:
    """Seconds that credit under all heuristics takes, for each window."""
    account = Account(ACCOUNT, "Shop", "Europe/Berlin", "USD")
    rows = []
    with tempfile.TemporaryDirectory() as made:
        engine = DuckDBEngine(Path(made) / "warehouse.duckdb", Path(made) / "tmp")
        models.prepare(engine, models.Rules())
        say("tables …")
        fill(engine, conversions, touches)
        for text in ("7d_click,1d_view", "28d_click,1d_view"):
            name = setting_window(Setting.read(text)).name
            asked = CampaignsAsked(setting=text, window=(name,), model=HEURISTICS, level="ad")
            began = time.perf_counter()
            report = campaigns(engine, account, Rates("USD", []), asked)
            seconds = time.perf_counter() - began
            assert {result.conversions for result in report.total.results} == {conversions}
            claimed = sum(row.results[1].conversions or 0 for row in report.rows[:-1])
            rows.append([text, f"{seconds:.2f}", f"{claimed:,}"])
        engine.close()
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversions", type=int, default=200_000)
    parser.add_argument("--touches", type=int, default=2_000_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    models_, windows = beside_mta(), windows_anew(chosen.conversions, chosen.touches)
    if chosen.json:
        print(json.dumps({"models": models_, "windows": windows}))
        return
    print_table(["model", "ours ms", "mta ms", "times as fast"], models_)
    print_table(["window, all heuristics", "seconds", "conversions claimed"], windows)


if __name__ == "__main__":
    main()
