"""Pages: how long the dashboard and its twins take on millions of events, over HTTP.

A shop of `--events` events after deduplication (see web_rows.py) is written into a lake and
modelled; then `doublet serve` runs on it as in production, and each of `PAGES` is asked in turns:
for all time, for the last 7 days, and for one pixel of two, once the worker has made an audience of
each preset that needs no words. A page whose median is above 300 ms with any of these is marked.
`--keep FOLDER` keeps the shop and takes it again the next time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from measure import descendants, free_port, print_table, process, say, usage, wait_until
from memory import is_ready
from web_rows import fill

from doublet import models
from doublet.audiences.presets import PRESETS
from doublet.catalog import Audience, Catalog
from doublet.engine.duckdb import DuckDBEngine
from doublet.lake import Lake
from doublet.settings import Settings

PAGES: tuple[str, ...] = (
    *("/overview", "/overview.json", "/overview.csv", "/today.json", "/status.json"),
    *("/timeline.json", "/timeline.svg", "/coverage.json", "/coverage.csv?by_day=1"),
    *("/events", "/events.json", "/events.json?odd=1", "/events.json?q=R500004"),
    *("/quality", "/quality.json", "/diagnostics.json"),
    *("/orders", "/orders.json", "/latest_orders.json", "/leads", "/leads.json"),
    *("/attribution", "/attribution.json", "/campaigns.json", "/credits.json"),
    *("/paths", "/paths.json", "/time_to_conversion", "/time_to_conversion.json"),
    *("/windows", "/windows.json", "/lift", "/differences", "/differences.json"),
    *("/cohorts.json", "/new_returning.json", "/server_extra.json", "/refunds.json"),
    *("/ads.json", "/persons", "/merges.json", "/alerts", "/relay", "/refused"),
    *("/test_events", "/setup", "/settings", "/changes", "/payload", "/reconcile"),
    *("/audiences", "/audiences.json", "/audience?id=AUDIENCE", "/audience.json?id=AUDIENCE"),
)
"""What is asked; AUDIENCE stands for the id of an audience."""

AIM_MS = 300
_BATCH_ROWS = 500_000
_MADE_WITHIN_S = 900
_WITHOUT_PIXEL = (
    *(
        "/orders",
        "/latest_orders",
        "/ads",
        "/persons",
        "/merges",
        "/refused",
        "/relay",
        "/alerts",
        "/setup",
    ),
    *("/settings", "/changes", "/payload", "/reconcile", "/lift", "/differences", "/status"),
    *("/refunds", "/audience"),
)


class Shop(NamedTuple):
    """What a made folder holds."""

    events: int
    made_s: int
    pixel_id: str
    access_token: str
    audience_ids: list[str]


def make(folder: Path, events: int) -> Shop:
    """Write the lake and the catalog, once per folder."""
    known = folder / "shop.json"
    if known.exists():
        return Shop(**json.loads(known.read_text()))
    settings = Settings(data=folder / "data")
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    pixel, access_token = catalog.create_pixel(account.account_id, "Shop")
    other, _ = catalog.create_pixel(account.account_id, "Blog")
    presets = [p for p in PRESETS if all(each.default is not None for each in p.parameters)]
    audience_ids = []
    for each in presets:
        rule = each.make([pixel.pixel_id])
        wanted = Audience("", account.account_id, each.title, "WEBSITE", rule=rule)
        audience_ids.append(catalog.audiences.create(wanted).audience_id)
    catalog.close()
    now_s = int(time.time())
    for copies in fill(
        settings, account.account_id, (pixel.pixel_id, other.pixel_id), events, now_s
    ):
        say(f"  {copies:,} copies in the lake")
    shop = Shop(events, now_s, pixel.pixel_id, access_token, audience_ids)
    known.write_text(json.dumps(shop._asdict()))
    return shop


def bring_up_to_date(folder: Path) -> dict[str, Any]:
    """Model what the tables lack, which is everything when their texts are new."""
    settings = Settings(data=folder / "data")
    engine = DuckDBEngine(
        settings.warehouse_file,
        settings.tmp_folder / "duckdb",
        memory_limit_mib=settings.engine_memory_limit_mib,
        threads=settings.engine_threads,
    )
    rules = models.Rules()
    models.prepare(engine, rules)
    lake = Lake(settings.lake_folder, settings.tmp_folder, engine.connection.cursor())
    begun = time.perf_counter()
    done = models.refresh(engine, lake, rules, _BATCH_ROWS, lambda n: say(f"  {n:,} modelled"))
    model_s = time.perf_counter() - begun
    if done.copies:
        engine.checkpoint()
    ((events, copies),) = (
        row.values()
        for row in engine.query(
            "select count(*) as events, sum(browser_copies + server_copies) as copies "
            "from events_deduplicated"
        )
    )
    lake.close()
    lake.connection.close()
    engine.close()
    return {
        "events": int(events),
        "copies": int(copies),
        "modelled": done.copies,
        "model_s": round(model_s, 1),
        "warehouse_mib": settings.warehouse_file.stat().st_size >> 20,
    }


def filters(shop: Shop) -> dict[str, dict[str, str]]:
    """The parts of the shop that are asked for."""
    day = datetime.fromtimestamp(shop.made_s, UTC).date()
    return {
        "all time": {"since": str(day - timedelta(days=60)), "until": str(day + timedelta(days=1))},
        "7 days": {"since": str(day - timedelta(days=6)), "until": str(day)},
        "one pixel": {"pixel": shop.pixel_id},
    }


def ask(
    shop: Shop, port: int, pids: list[int], pages: list[str], times: int
) -> list[dict[str, Any]]:
    """Ask all pages with all filters, in turns; one row per page. `pids` are the processes that
    answer: on a machine that others use too, their processor time says more than seconds do."""
    seconds: dict[tuple[str, str], list[float]] = {}
    cpu_s: dict[str, list[float]] = {}
    refused: set[tuple[str, str]] = set()
    cookies = {"doublet_token": shop.access_token}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=cookies, timeout=120) as client:
        for turn in range(times):
            say(f"  turn {turn + 1} of {times}")
            for name, parameters in filters(shop).items():
                for page in pages:
                    if "pixel" in parameters and page.startswith(_WITHOUT_PIXEL):
                        continue
                    path, _, more = page.partition("?")
                    more = more.replace("AUDIENCE", shop.audience_ids[0])
                    given = dict(pair.split("=") for pair in more.split("&") if pair)
                    before = usage(pids).cpu_s
                    begun = time.perf_counter()
                    answer = client.get(path, params={**parameters, **given})
                    took = time.perf_counter() - begun
                    if answer.status_code == 503:
                        # More than the engine's memory: the page says so.
                        refused.add((page, name))
                    elif answer.status_code != 200:
                        raise RuntimeError(
                            f"{answer.url}: {answer.status_code} {answer.text[:300]}"
                        )
                    seconds.setdefault((page, name), []).append(took)
                    cpu_s.setdefault(page, []).append(usage(pids).cpu_s - before)
    rows = []
    for page in pages:
        medians = {
            name: round(statistics.median(seconds[page, name]) * 1000)
            for name in filters(shop)
            if (page, name) in seconds
        }
        slowest = max(max(took) for (asked, _), took in seconds.items() if asked == page)
        rows.append(
            {
                "page": page,
                "medians_ms": medians,
                "slowest_ms": round(slowest * 1000),
                "cpu_ms": round(statistics.median(cpu_s[page]) * 1000),
                "is_slow": max(medians.values()) > AIM_MS,
                "refused": [name for name in medians if (page, name) in refused],
            }
        )
    return rows


def await_audiences(folder: Path, shop: Shop) -> float:
    """How long the worker takes until all audiences are made, in seconds."""
    catalog = Catalog(Settings(data=folder / "data").catalog_url)
    begun = time.monotonic()
    while any(catalog.audiences.state(each).get("state") != "ready" for each in shop.audience_ids):
        if time.monotonic() - begun > _MADE_WITHIN_S:
            raise TimeoutError("The audiences are not made.")
        time.sleep(1)
    catalog.close()
    return round(time.monotonic() - begun, 1)


def run(folder: Path, events: int, pages: list[str], times: int) -> dict[str, Any]:
    """Make, serve, ask."""
    folder.mkdir(parents=True, exist_ok=True)
    shop = make(folder, events)
    result = bring_up_to_date(folder)
    if not pages:
        return {**result, "pages": []}
    port = free_port()
    data = str(folder / "data")
    command = [sys.executable, "-m", "doublet", "serve", "--data", data, f"--port={port}"]
    with process(command, folder) as main:
        wait_until(lambda: is_ready(port), main)
        result["audiences_s"] = await_audiences(folder, shop)
        pids = [main.pid, *descendants(main.pid)]
        result["pages"] = ask(shop, port, pids, pages, times)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=5, help="how often each is asked (default 5)")
    parser.add_argument("--keep", type=Path, help="a folder that is kept, and taken when it exists")
    parser.add_argument("--page", nargs="+", default=list(PAGES), help="only these")
    parser.add_argument("--make-only", action="store_true", help="ask nothing")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="doublet-bench-") as made:
        folder = (chosen.keep or Path(made)).absolute()
        pages = [] if chosen.make_only else chosen.page
        result = run(folder, chosen.events, pages, chosen.times)
    if chosen.json:
        print(json.dumps(result))
        return
    print(f"{result['events']:,} events of {result['copies']:,} copies, milliseconds, medians")
    rows = []
    for row in result["pages"]:
        medians = row["medians_ms"]
        cells = [str(medians.get(name, "")) for name in ("all time", "7 days", "one pixel")]
        mark = "503" if row["refused"] else "SLOW" if row["is_slow"] else ""
        rows.append([row["page"], mark, *cells, str(row["slowest_ms"]), str(row["cpu_ms"])])
    titles = ["page", f"> {AIM_MS} ms", "all time", "7 days", "one pixel", "slowest", "CPU"]
    print_table(titles, rows)


if __name__ == "__main__":
    main()
