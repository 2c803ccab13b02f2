"""Models: what a refresh after 10,000 new copies costs, and a rebuild, as the tables grow.

The lake is written by SQL in the shape that loading and merging leave: files of a million rows, in
the order of receipt. Of ten copies four are the browser's alone (PageView, no event id) and six
make three events that both sides report (ViewContent, AddToCart, one in ten a Purchase with an
order id). Two spreads: all received within 48 hours, or over 28 days. In both, of the new copies
8,000 are new events and 2,000 are later copies of older ones, chosen at random among those that
the rules still join: the last 48 hours, or 7 days. `doublet.reports.overview` is asked all the
while a rebuild runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lake_rows import LakeWriter, user_data_sql
from load import ACCOUNT, PIXEL, folder_bytes, peak_bytes, reset_peak
from measure import MIB, print_table, say

from doublet import models
from doublet.catalog import Account
from doublet.engine.duckdb import DuckDBEngine
from doublet.lake import Lake
from doublet.lake.columns import EVENTS
from doublet.reports import overview
from doublet.reports.diagnostics import diagnostics
from doublet.reports.quality import quality
from doublet.settings import Settings

NEW_COPIES = 10_000
REFRESHES = 5
REBUILD_ROWS_MAX = 500_000
_FILE_ROWS = 1_000_000
_BLOCK = 10
_BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
_HOUR_S = 3600
SPREADS_H = {"48 hours": (48, 48), "28 days": (28 * 24, 7 * 24)}


# --- the lake --------------------------------------------------------------------------------


def copies_sql(rows: str) -> str:
    """A SELECT of the lake's columns for `rows`, a SELECT of (number, received_at, kind, event):
    kind 0 is a copy of the browser alone, 1 the browser's and 2 the server's of an event."""
    person = "(event // 3)"
    user = {
        key: f"case when kind = 2 then [sha256('{key}' || {person})] end"
        for key in ("em", "ph", "external_id")
    }
    user["fbp"] = f"'fb.1.' || (1760000000000 + {person}) || '.' || ({person} * 7919 % 10000000000)"
    user["client_ip_address"] = f"'198.51.' || ({person} % 100) || '.' || ({person} % 250)"
    user["client_user_agent"] = f"'Mozilla/5.0 (X11; Linux x86_64) Chrome/' || ({person} % 40)"
    return f"""
    select '{ACCOUNT}' as account_id, '{PIXEL}' as pixel_id, 'event' as record_type,
      case when kind = 2 then 'server' else 'browser' end as source, received_at,
      cast(received_at as date) as received_date, cast(0 as integer) as log_slot,
      number as log_offset,
      cast(hash(case when kind = 0 then -number - 1 else event end) % 9223372036854775807 as bigint)
        as event_key,
      case when kind = 0 then 'PageView' when event % 10 = 0 then 'Purchase'
        when event % 2 = 0 then 'AddToCart' else 'ViewContent' end as event_name,
      case when kind = 0 then cast(epoch(received_at) as bigint) else 1760000000 + event end
        as event_time,
      case when kind > 0 then 'evt.' || event end as event_id, 'website' as action_source,
      'https://shop.example/products/' || (event % 1000) || '?utm_source=ads' as event_source_url,
      {user_data_sql(user)} as user_data,
      case when kind > 0 then cast(event % 100 as decimal(18, 4)) end as value,
      case when kind > 0 then 'USD' end as currency,
      case when kind > 0 and event % 10 = 0 then 'R' || event end as order_id,
      case when kind > 0 then '{{"value":' || (event % 100) || ',"currency":"USD","content_ids":["'
        || (event % 1000) || '"],"contents":[{{"id":"' || (event % 1000)
        || '","quantity":1}}],"content_type":"product"}}' end as custom_data,
      '{{"sw":"1920","sh":"1080","v":"2.9.324","if":"false"}}' as extra,
      cast(null as varchar[]) as flags, false as is_test
    from ({rows})"""


def steady_rows(first: int, last: int, step_us: int) -> str:
    """Copies `first` to `last`: in each block of ten four pages, three events of the browser and
    the server's copies of the three events three blocks before."""
    return f"""
    select i as number, make_timestamptz({_BEGIN.timestamp():.0f}000000 + i * {step_us})
        as received_at,
      case when i % {_BLOCK} < 4 then 0 when i % {_BLOCK} < 7 then 1 else 2 end as kind,
      case when i % {_BLOCK} < 4 then i // {_BLOCK}
        when i % {_BLOCK} < 7 then i // {_BLOCK} * 3 + i % {_BLOCK} - 4
        else greatest(i // {_BLOCK} - 3, 0) * 3 + i % {_BLOCK} - 7 end as event
    from range({first}, {last}) as numbers(i)"""


def late_rows(first: int, count: int, events: tuple[int, int], at_us: int, seed: int) -> str:
    """Server copies of `count` events chosen at random from a half-open range."""
    low, high = events
    return f"""
    select {first} + i as number, make_timestamptz({at_us} + i) as received_at, 2 as kind,
      cast({low} + hash(i + {seed}) % {high - low} as bigint) as event
    from range({count}) as numbers(i)"""


class Source:
    """Writes copies to the table in a folder."""

    def __init__(self, folder: Path, spread_h: int, copies: int) -> None:
        self._lake = LakeWriter(folder, EVENTS)
        self._step_us = spread_h * _HOUR_S * 1_000_000 // copies

    @property
    def written(self) -> int:
        """How many records of the log the copies stand for."""
        return self._lake.written

    @written.setter
    def written(self, records: int) -> None:
        self._lake.written = records

    def write(self, sql: str, rows: int) -> None:
        """Commit the copies of a SELECT, one file per date."""
        self._lake.write(copies_sql(sql), rows)

    def fill(self, copies: int) -> None:
        """The steady stream."""
        for first in range(0, copies, _FILE_ROWS):
            last = min(first + _FILE_ROWS, copies)
            self.write(steady_rows(first, last, self._step_us), last - first)
            say(f"  {last:,} copies in the lake")

    def add_new(self, reach_h: int, seed: int) -> None:
        """10,000 new copies, a fifth of them late."""
        late = NEW_COPIES // 5
        steady = NEW_COPIES - late
        first = self.written // _BLOCK * _BLOCK + _BLOCK
        events = first // _BLOCK * 3
        reach = reach_h * _HOUR_S * 1_000_000 // self._step_us // _BLOCK * 3
        at_us = round(_BEGIN.timestamp()) * 1_000_000 + (first + steady) * self._step_us
        oldest = max(0, events - int(reach * 0.98))
        rows = steady_rows(first, first + steady, self._step_us)
        late_sql = late_rows(first + steady, late, (oldest, events - 30), at_us, seed)
        self.write(f"{rows} union all {late_sql}", NEW_COPIES)
        self.written = first + NEW_COPIES


def write(folder: Path, copies: int, spread: str, already: int, number: int) -> int:
    """Fill the lake, or add the new copies of a refresh; how many it holds. Runs in a process of
    its own, whose memory is not the worker's."""
    spread_h, reach_h = SPREADS_H[spread]
    source = Source(folder, spread_h, copies)
    source.written = already
    if already:
        source.add_new(reach_h, number * NEW_COPIES)
    else:
        source.fill(copies)
    return source.written


def write_apart(*arguments: Any) -> int:
    """`write` in another process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        return apart.submit(write, *arguments).result()


# --- measuring -------------------------------------------------------------------------------


@contextmanager
def asked_all_the_while(engine: DuckDBEngine) -> Iterator[list[float]]:
    """Ask for the overview again and again; seconds of each answer."""
    seconds: list[float] = []
    done = threading.Event()
    account = Account(ACCOUNT, "Shop", "UTC", "USD")
    day = _BEGIN.date()

    def ask() -> None:
        while not done.is_set():
            begun = time.perf_counter()
            overview(engine, account, since=day, until=day + timedelta(days=1))
            seconds.append(time.perf_counter() - begun)
            done.wait(0.5)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seconds
    finally:
        done.set()
        asking.join()


def ask_for_quality(engine: DuckDBEngine) -> tuple[float, float]:
    """Seconds of the reports on quality and on faults over everything, each the second time."""
    account = Account(ACCOUNT, "Shop", "UTC", "USD")
    since, until = _BEGIN.date() - timedelta(days=365), _BEGIN.date() + timedelta(days=90)
    seconds = []
    for report in (quality, diagnostics):
        for _ in range(2):
            begun = time.perf_counter()
            assert report(engine, account, since=since, until=until)
            took = time.perf_counter() - begun
        seconds.append(round(took, 2))
    return seconds[0], seconds[1]


def run(folder: Path, copies: int, spread: str, rebuilds: bool) -> dict[str, Any]:
    """Fill, model, refresh, rebuild."""
    settings = Settings(data=folder)
    engine = DuckDBEngine(
        settings.warehouse_file,
        settings.tmp_folder / "duckdb",
        memory_limit_mib=settings.engine_memory_limit_mib,
        threads=settings.engine_threads,
    )
    lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
    written = write_apart(lake.events.folder, copies, spread, 0, 0)
    rules = models.Rules()
    models.prepare(engine, rules)
    figures: dict[str, Any] = {"copies": copies, "spread": spread}
    reset_peak()
    begun = time.perf_counter()
    models.refresh(engine, lake, rules, REBUILD_ROWS_MAX)
    figures["first_s"] = round(time.perf_counter() - begun, 1)
    figures["first_peak_mib"] = peak_bytes() // MIB
    reset_peak()
    seconds = []
    for number in range(REFRESHES):
        written = write_apart(lake.events.folder, copies, spread, written, number)
        begun = time.perf_counter()
        done = models.refresh(engine, lake, rules, settings.load_rows_max)
        seconds.append(time.perf_counter() - begun)
        assert done.copies == NEW_COPIES
    figures["refresh_s"] = round(statistics.median(seconds), 2)
    figures["refresh_max_s"] = round(max(seconds), 2)
    figures["refresh_peak_mib"] = peak_bytes() // MIB
    if rebuilds:
        before = engine.query("select count(*) as events from events_deduplicated")
        reset_peak()
        with asked_all_the_while(engine) as asked:
            begun = time.perf_counter()
            models.rebuild(engine, lake, rules, REBUILD_ROWS_MAX)
            figures["rebuild_s"] = round(time.perf_counter() - begun, 1)
        figures["rebuild_peak_mib"] = peak_bytes() // MIB
        figures["page_median_s"] = round(statistics.median(asked), 3)
        figures["page_max_s"] = round(max(asked), 3)
        assert before == engine.query("select count(*) as events from events_deduplicated")
    figures["quality_s"], figures["diagnostics_s"] = ask_for_quality(engine)
    figures["warehouse_mib"] = settings.warehouse_file.stat().st_size // MIB
    figures["lake_mib"] = folder_bytes(settings.lake_folder) // MIB
    engine.close()
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--copies", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--spread", nargs="+", choices=SPREADS_H, default=list(SPREADS_H))
    parser.add_argument("--no-rebuild", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = []
    for copies in chosen.copies:
        for spread in chosen.spread:
            say(f"{copies:,} copies over {spread} …")
            with tempfile.TemporaryDirectory() as folder:
                rows.append(run(Path(folder), copies, spread, not chosen.no_rebuild))
    if chosen.json:
        print(json.dumps(rows))
    else:
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


if __name__ == "__main__":
    main()
