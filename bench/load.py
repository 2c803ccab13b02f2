"""Log → lake → models: how many records a second one process loads and models.

A log is filled through the real accept path, one browser and one server copy for each event, then
loaded and modelled with the default settings. Reading the same staged lines bare, typed columns
and nothing else, is the reference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.resources import files as package_files
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from measure import MIB, events, hit_pairs, print_table, say

from doublet import models
from doublet.accept import Arrival, accept_events, accept_hit, read_hit, read_request
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import BusyError
from doublet.lake import Lake
from doublet.lake.columns import user_data_type
from doublet.log import Writer
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits
from doublet.refusal import Refusal
from doublet.settings import Settings

ACCOUNT = "act_100000000000001"
PIXEL = "1000000000000001"
SEED = 7
LATE_COPIES = 10_000
_BATCH = 100
_GROUP = 1_000
_SPREAD_US = 3_600_000_000
_CHUNK_BYTES = 64 * MIB


# --- records ---------------------------------------------------------------------------------


def vary(event: dict[str, Any], number: int) -> dict[str, Any]:
    """The event as that of another visitor: new ids, so that the lake compresses as in life."""
    person = number // 3
    user = {
        **event["user_data"],
        "em": [_hash(f"em{person}")],
        "ph": [_hash(f"ph{person}")],
        "external_id": [_hash(f"id{person}")],
        "fbp": f"fb.1.{1_760_000_000_000 + person}.{person * 7919 % 10**10}",
        "fbc": f"fb.1.{1_760_000_000_000 + person}.IwAR{_hash(f'click{person}')[:57]}",
        "client_ip_address": f"198.51.{person % 100}.{person // 100 % 250}",
    }
    custom = {**event["custom_data"], "order_id": f"R{number}"}
    return {**event, "event_id": f"evt.{number}", "user_data": user, "custom_data": custom}


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def server_records(batch: list[dict[str, Any]], received_at: int) -> list[bytes]:
    """The records of one Conversions API request."""
    request = read_request(msgspec.json.encode({"data": batch}))
    arrival = Arrival(ACCOUNT, PIXEL, "server", received_at, 0, suspect=False)
    assert not isinstance(request, Refusal), request
    records = accept_events(request, arrival)
    assert isinstance(records, list), records
    return records


def browser_record(event: dict[str, Any], received_at: int) -> bytes:
    """The record of one hit."""
    user = event["user_data"]
    address, agent = user["client_ip_address"], user["client_user_agent"]
    arrival = Arrival(ACCOUNT, PIXEL, "browser", received_at, 0, address, agent, suspect=False)
    record = accept_hit(read_hit(hit_pairs(event, PIXEL)), arrival)
    assert isinstance(record, bytes), record
    return record


def make_records(count: int, begin_us: int) -> Iterator[bytes]:
    """`count` records in the order of their receipt; a browser copy and, a moment later, in a
    batch, the server copy of the same event."""
    payload = events(begin_us // 1_000_000)
    step_us = max(1, _SPREAD_US // count)
    number, at = 0, begin_us
    while number * 2 < count:
        batch = []
        for _ in range(min(_BATCH, (count + 1) // 2 - number)):
            event = vary(payload[number % len(payload)], number)
            at += step_us
            yield browser_record(event, at)
            batch.append(event)
            number += 1
        at += max(len(batch) * step_us, 1)
        yield from server_records(batch, at)


# --- filling the log -------------------------------------------------------------------------


class Filler:
    """Appends records in groups and waits for the last of them."""

    def __init__(self, log: DiskLog) -> None:
        self._room = threading.Semaphore(8)
        self._error: BusyError | None = None
        self._writer: Writer = log.writer(self._on_commit)

    def _on_commit(self, tokens: list[Any], error: BusyError | None) -> None:
        self._error = self._error or error
        for _ in tokens:
            self._room.release()

    def fill(self, records: Iterator[bytes]) -> int:
        """Append all records; how many there were. Raises BusyError when the disk refuses."""
        count = 0
        while group := list(islice(records, _GROUP)):
            self._room.acquire()
            self._writer.submit(group, None)
            count += len(group)
        self._writer.close()
        if self._error is not None:
            raise self._error
        return count


def late_copies(count: int, known: int, now_us: int) -> Iterator[bytes]:
    """Second server copies of events chosen at random among the `known` ones."""
    payload = events(now_us // 1_000_000)
    chosen = sorted(random.Random(SEED).sample(range(known), count))
    for start in range(0, count, _BATCH):
        batch = [vary(payload[n % len(payload)], n) for n in chosen[start : start + _BATCH]]
        yield from server_records(batch, now_us + start)


# --- measuring -------------------------------------------------------------------------------


def reset_peak() -> None:
    """Let the kernel count this process's largest resident size anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The largest resident size since `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None, status
    return int(found[1]) * 1024


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def read_bare(log: DiskLog, scratch: Path, settings: Settings) -> float:
    """Seconds that DuckDB needs to read the log's lines into typed columns and to count them."""
    text = package_files("doublet.lake").joinpath("events.sql").read_text("utf-8")
    reader = text[text.index("read_ndjson(") : text.index("where record_type")]
    reader = reader.replace("@user_data", user_data_type())
    connection = duckdb.connect(
        config={
            "memory_limit": f"{settings.engine_memory_limit_mib}MiB",
            "threads": str(settings.engine_threads),
        }
    )
    seconds = 0.0
    for partition in log.partitions():
        position = 0
        while (chunk := log.read(partition, position, _CHUNK_BYTES)) is not None:
            position = chunk.next_position
            path = scratch / f"{partition}.jsonl"
            path.write_bytes(chunk.lines)
            begun = time.perf_counter()
            # Every column is counted; the bare count(*) would not read them.
            connection.execute(
                f"select count(columns(*)) from {reader}", {"paths": [str(path)]}
            ).fetchall()
            seconds += time.perf_counter() - begun
            path.unlink()
    connection.close()
    return seconds


class Measured:
    """Steps, each with its count, seconds, processor seconds and peak memory."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def add(self, name: str, rows: int, seconds: float, cpu_s: float) -> None:
        """Note a step that has ended; its memory counts from `reset_peak`."""
        step = {"step": name, "rows": rows, "seconds": round(seconds, 3)}
        step |= {
            "rows_per_s": round(rows / seconds),
            "cpu_us_per_row": round(cpu_s * 1e6 / rows, 2),
        }
        self.steps.append({**step, "peak_rss_bytes": peak_bytes()})

    def run(self, name: str, act: Callable[[], int]) -> int:
        """Run a step that returns how many rows it dealt with."""
        say(f"{name} …")
        reset_peak()
        begun, cpu = time.perf_counter(), time.process_time()
        rows = act()
        self.add(name, rows, time.perf_counter() - begun, time.process_time() - cpu)
        return rows


def load_all(lake: Lake, log: DiskLog) -> int:
    """Load until the log has no more; how many rows."""
    total = 0
    while rows := lake.load(log).rows:
        total += rows
    return total


def measure_bare(measured: Measured, log: DiskLog, settings: Settings, rows: int) -> float:
    """The reference step; its seconds, those for writing the staged lines left out."""
    say("read bare …")
    scratch = settings.data / "bare"
    scratch.mkdir()
    reset_peak()
    cpu = time.process_time()
    seconds = read_bare(log, scratch, settings)
    measured.add("read bare", rows, seconds, time.process_time() - cpu)
    return seconds


def run(folder: Path, count: int) -> dict[str, Any]:
    """Fill, load, model; then late copies. Raises AssertionError when counts do not add up."""
    settings = Settings(data=folder)
    measured = Measured()
    now_us = time.time_ns() // 1000
    log = DiskLog(settings.log_folder, Limits(queue_size_bytes_max=1 << 30))
    records = make_records(count, now_us - 3 * _SPREAD_US)
    filled = measured.run("accept and append", lambda: Filler(log).fill(records))
    log_bytes = folder_bytes(settings.log_folder)
    bare_s = measure_bare(measured, log, settings, filled)
    engine = DuckDBEngine(
        settings.warehouse_file,
        settings.tmp_folder / "duckdb",
        memory_limit_mib=settings.engine_memory_limit_mib,
        threads=settings.engine_threads,
    )
    lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
    models.prepare(engine, models.Rules())

    def refresh() -> int:
        return models.refresh(engine, lake, models.Rules(), settings.load_rows_max).copies

    loaded = measured.run("load", lambda: load_all(lake, log))
    load_s = measured.steps[-1]["seconds"]
    lake_bytes = folder_bytes(settings.lake_folder)
    modelled = measured.run("model", refresh)
    assert filled == loaded == modelled, (filled, loaded, modelled)
    known = filled // 2
    late = min(LATE_COPIES, known)
    Filler(log).fill(late_copies(late, known, now_us))
    assert late == measured.run("load late copies", lambda: load_all(lake, log))
    assert late == measured.run("model late copies", refresh)
    ((merged, copies),) = engine.connection.execute(
        "select count(*), sum(browser_copies + server_copies) from events_deduplicated"
    ).fetchall()
    engine.close()
    assert (known, filled + late) == (merged, copies), (merged, copies)
    return {
        "parameters": {
            "records": filled,
            "events": known,
            "late_copies": late,
            "processes": 1,
            "duckdb_threads": settings.engine_threads,
            "duckdb_memory_limit_mib": settings.engine_memory_limit_mib,
            "rows_per_refresh": settings.load_rows_max,
            "cores": os.cpu_count(),
        },
        "steps": measured.steps,
        "events_deduplicated": merged,
        "copies_deduplicated": int(copies),
        "log_bytes_per_record": round(log_bytes / filled, 1),
        "lake_bytes_per_record": round(lake_bytes / filled, 1),
        "warehouse_bytes": settings.warehouse_file.stat().st_size,
        "load_to_bare_ratio": round(bare_s / load_s, 3),
    }


def print_result(result: dict[str, Any]) -> None:
    """For people."""
    for name, value in result["parameters"].items():
        print(f"{name}: {value:,}")
    print()
    rows = [
        (
            step["step"],
            "",
            f"{step['rows']:,}",
            f"{step['seconds']:.2f}",
            f"{step['rows_per_s']:,}",
            f"{step['cpu_us_per_row']:.1f}",
            f"{step['peak_rss_bytes'] / MIB:.0f}",
        )
        for step in result["steps"]
    ]
    print_table(("step", "", "rows", "seconds", "rows/s", "cpu µs/row", "peak MiB"), rows)
    print()
    print(f"loading reaches {result['load_to_bare_ratio']:.2f} of the bare read")
    print(f"log {result['log_bytes_per_record']:,} bytes per record")
    print(f"lake {result['lake_bytes_per_record']:,} bytes per record")
    print(f"warehouse {result['warehouse_bytes'] / MIB:,.0f} MiB")
    print(
        f"{result['copies_deduplicated']:,} copies are {result['events_deduplicated']:,} events, "
        "as they should be"
    )


def main() -> None:
    """Run everything in a temporary folder and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="records (default 1,000,000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="doublet-bench-") as folder:
        result = run(Path(folder), max(2, given.events))
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result)


if __name__ == "__main__":
    main()
