"""What a decision costs: wrk against `doublet decide`, and the parts of one in process.

1,000 ads in 250 ad sets of 50 campaigns, a learned model with 300 features and their crosses,
100,000 persons in some of 40 audiences, frequency caps on a fifth of the ad sets and holdouts in a
tenth of the campaigns. Every decision reserves its money and is durable before it is answered. The
worker does not run: its loading is the subject of `load.py`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from collect import whole_seconds
from measure import (
    answers,
    children,
    free_port,
    print_table,
    process,
    say,
    usage,
    wait_until,
    wait_until_idle,
)

from doublet.audiences.snapshot import CURRENT, Current
from doublet.catalog import Ad, AdSet, Campaign, Catalog, Creative, FrequencyCap
from doublet.decide.answer import Writer
from doublet.decide.asked import DecideRequest, features_of, read_decide, who
from doublet.decide.desk import Desk
from doublet.delivery.book import LEDGER_FILE, AccountBook, Book, Share, model_file, publish
from doublet.delivery.decide import Asked
from doublet.delivery.ledger import Ledger
from doublet.delivery.pacing import Pace
from doublet.delivery.planning import budgets_of
from doublet.delivery.rates import Calibration, Crosses, Ladder, Model, Names, Part
from doublet.normalize import identifier_key
from doublet.settings import Settings

ADS, AD_SETS, CAMPAIGNS = 1_000, 250, 50
WORDS, CROSSES_EACH = 300, 20
PERSONS, AUDIENCES, EACH = 100_000, 40, 6
PLACEMENTS = ("home", "list", "detail", "cart")
CONNECTIONS = 8
SEED = 7

_BODIES = 5_000
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
local bodies, at = {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
function request()
  at = at %% #bodies + 1
  return wrk.format("POST", "/v1/decide", nil, bodies[at])
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests":%%d,"duration_us":%%d,"errors":%%d,' ..
    '"p50_us":%%d,"p99_us":%%d}\\n', summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99)))
end
"""


# --- a data folder ---------------------------------------------------------------------------


def _some(rng: np.random.Generator, names: Sequence[str], count: int) -> tuple[str, ...]:
    return tuple(str(each) for each in rng.choice(names, count, replace=False))


def make_book(account_id: str, rng: np.random.Generator) -> AccountBook:
    """The ads of the account."""
    now = int(time.time())
    common: dict[str, Any] = {"account_id": account_id, "status": "ACTIVE", "name": "B"}
    campaigns = tuple(
        Campaign(campaign_id=str(n), holdout_share=0.1 if n % 10 == 0 else 0.0, **common)
        for n in range(CAMPAIGNS)
    )
    audiences = [str(n) for n in range(AUDIENCES)]
    ad_sets = tuple(
        AdSet(
            adset_id=str(1_000 + n),
            campaign_id=str(n % CAMPAIGNS),
            daily_budget=10**9,
            created_at=now - 86_400,
            included=_some(rng, audiences, 3) if n % 4 == 0 else (),
            excluded=_some(rng, audiences, 1) if n % 5 == 0 else (),
            placements=_some(rng, PLACEMENTS, 2) if n % 3 == 0 else (),
            frequency=(FrequencyCap(7, 10),) if n % 5 == 1 else (),
            **common,
        )
        for n in range(AD_SETS)
    )
    ads = tuple(
        Ad(
            ad_id=str(10_000 + n),
            adset_id=str(1_000 + n % AD_SETS),
            campaign_id=str(n % AD_SETS % CAMPAIGNS),
            creative_id="1",
            **common,
        )
        for n in range(ADS)
    )
    creative = Creative(
        creative_id="1",
        account_id=account_id,
        name="B",
        title="Shoes, red",
        link_url="https://shop.example/shoes?color=red",
        image_url="https://shop.example/shoes.jpg",
    )
    learning = tuple(each.adset_id for n, each in enumerate(ad_sets) if n % 5 == 2)
    return AccountBook(
        account_id=account_id,
        time_zone="Europe/Berlin",
        currency="EUR",
        campaigns=campaigns,
        ad_sets=ad_sets,
        ads=ads,
        creatives=(creative,),
        learning=learning,
        models=(Share("bench", 1.0),),
    )


def make_model(book: AccountBook, rng: np.random.Generator) -> Model:
    """Effects as a fit would leave them, by chance."""
    words = [f"aud:{n}" for n in range(AUDIENCES)] + [f"hour:{n}" for n in range(24)]
    words += [f"place:{each}" for each in PLACEMENTS] + ["device:phone", "device:desktop"]
    words += [f"site:shop{n}.example" for n in range(WORDS - len(words))]
    adsets = tuple(each.adset_id for each in book.ad_sets)
    ads = tuple(each.ad_id for each in book.ads)
    campaigns = tuple(each.campaign_id for each in book.campaigns)

    def some(others: int) -> Crosses:
        count = WORDS * CROSSES_EACH
        return Crosses(
            rng.integers(WORDS, size=count).astype(np.int32),
            rng.integers(others, size=count).astype(np.int32),
            rng.normal(0, 0.2, count).astype(np.float32),
            np.zeros(WORDS),
        )

    def part(base: float) -> Part:
        effects = Ladder(
            base,
            rng.normal(0, 0.2, len(campaigns)),
            rng.normal(0, 0.2, len(adsets)),
            rng.normal(0, 0.2, len(ads)),
            np.zeros(3),
        )
        words_effects = rng.normal(0, 0.2, WORDS)
        return Part(effects, words_effects, some(len(adsets)), some(len(ads)), Calibration.none())

    goals = ("OFFSITE_CONVERSIONS",) * len(adsets)
    names = Names(tuple(words), campaigns, adsets, ads)
    flat = Ladder.flat(0.0)
    return Model(
        "bench", time.time(), 1, 1, 1, names, goals, part(-5.0), part(-4.0), flat, Ladder.flat(5e5)
    )


def make_audiences(folder: Path, account_id: str, rng: np.random.Generator) -> None:
    """A published snapshot."""
    folder.mkdir(parents=True)
    keys = np.array([identifier_key(account_id, f"fbp={fbp(n)}") for n in range(PERSONS)])
    order = np.argsort(keys)
    arrays = {
        "keys": keys[order],
        "rows": order.astype(np.int32),
        "persons": np.arange(PERSONS),
        "ends": np.arange(PERSONS + 1) * EACH,
        "numbers": rng.integers(AUDIENCES, size=PERSONS * EACH).astype(np.uint32),
    }
    (folder / "base-1").mkdir()
    for name, array in arrays.items():
        np.save(folder / "base-1" / f"{name}.npy", array)
    known = tuple((account_id, str(n)) for n in range(AUDIENCES))
    current = Current(1, "base-1", "", time.time(), known)
    (folder / CURRENT).write_bytes(msgspec.json.encode(current))


def fbp(person: int) -> str:
    """The cookie of a person."""
    return f"fb.1.1780000000000.{1_000_000_000 + person}"


def make_folder(settings: Settings) -> tuple[str, str]:
    """Everything that deciders map; account and token."""
    rng = np.random.default_rng(SEED)
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account_id = catalog.create_account("Bench").account_id
    _, token = catalog.create_pixel(account_id, "Bench")
    catalog.close()
    book = make_book(account_id, rng)
    folder = settings.delivery_folder
    model_file(folder, "bench").parent.mkdir(parents=True)
    make_model(book, rng).save(model_file(folder, "bench"))
    make_audiences(settings.audiences_folder, account_id, rng)
    publish(folder, Book(1, time.time(), (book,)))
    ledger = Ledger(folder / LEDGER_FILE)
    ledger.open(budgets_of(book.ad_sets, ZoneInfo(book.time_zone), time.time()))
    paces = rng.lognormal(np.log(200_000), 0.3, AD_SETS)
    ledger.keep_paces(
        {each.adset_id: Pace(float(pace)) for each, pace in zip(book.ad_sets, paces, strict=True)}
    )
    ledger.close_file()
    return account_id, token


def bodies(places: int) -> list[bytes]:
    """What is asked, by persons and places by chance."""
    rng = np.random.default_rng(SEED + 1)
    return [
        msgspec.json.encode(
            {
                "fbp": fbp(int(person)),
                "placement": str(rng.choice(PLACEMENTS)),
                "url": f"https://shop{int(person) % 200}.example/list",
                "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Mobile",
                "n": places,
            }
        )
        for person in rng.integers(PERSONS, size=_BODIES)
    ]


# --- over HTTP -------------------------------------------------------------------------------


def run_http(workers: int, places: int, seconds: int, rounds: int) -> dict[str, Any]:
    """The figures of some runs of wrk."""
    with tempfile.TemporaryDirectory(prefix="doublet-bench-") as name:
        folder = Path(name)
        port = free_port()
        settings = Settings(data=folder / "data", decide_port=port, decide_workers=workers)
        _, token = make_folder(settings)
        lines, script = folder / "bodies", folder / "wrk.lua"
        lines.write_bytes(b"\n".join(bodies(places)) + b"\n")
        script.write_text(_SCRIPT % (token, lines))
        command = [sys.executable, "-m", "doublet", "decide", f"--data={settings.data}"]
        command += [f"--port={port}", f"--workers={workers}"]
        with process(command, folder) as main:
            wait_until(lambda: answers(port, "/health"), main)
            wait_until(lambda: len(children(main.pid)) == workers, main)
            pids = children(main.pid)
            # Leases are taken while it warms up.
            _wrk(port, script, 3)
            found = []
            for _ in range(rounds):
                wait_until_idle(pids)
                before = usage(pids)
                run = _wrk(port, script, seconds)
                used = usage(pids).since(before)
                found.append({**run, "cpu_us": used.cpu_s * 1e6 / run["requests"]})
            full = _filled(port, token, places)
    per_s = [each["requests"] / each["duration_us"] * 1e6 for each in found]
    return {
        "processes": workers,
        "places": places,
        "decisions_per_s": statistics.median(per_s),
        "p50_ms": statistics.median(each["p50_us"] for each in found) / 1e3,
        "p99_ms": statistics.median(each["p99_us"] for each in found) / 1e3,
        "cpu_us": statistics.median(each["cpu_us"] for each in found),
        "errors": sum(each["errors"] for each in found),
        "filled": full,
    }


def _wrk(port: int, script: Path, seconds: int) -> dict[str, Any]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=10s", f"-s{script}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.partition("RESULT ")[2])
    return found


def _filled(port: int, token: str, places: int) -> float:
    """The share of places that 200 answers fill."""
    import httpx

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        client.headers["authorization"] = f"Bearer {token}"
        found = [client.post("/v1/decide", content=body).json() for body in bodies(places)[:200]]
    return sum(len(each["ads"]) for each in found) / (200 * places)


# --- in process ------------------------------------------------------------------------------


class Laps:
    """Seconds that parts take in all."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._at = 0.0

    def begin(self) -> None:
        """From now on."""
        self._at = time.perf_counter()

    def end(self, part: str) -> None:
        """Since the last call this part was done."""
        now = time.perf_counter()
        self.spent[part] = self.spent.get(part, 0.0) + now - self._at
        self._at = time.perf_counter()


def run_parts(count: int, places: int) -> list[tuple[str, float]]:
    """Microseconds of each part of a decision, without HTTP and log."""
    with tempfile.TemporaryDirectory(prefix="doublet-bench-") as name:
        settings = Settings(data=Path(name) / "data")
        account_id, _ = make_folder(settings)
        desk = Desk(settings)
        desk.take(desk.prepare(time.time()))
        asked = bodies(places)
        shelf = desk.shelf_of(account_id)
        assert shelf is not None
        writer = Writer(desk.links, settings.deciders_url)
        laps = Laps()
        for n in range(count + _WARM):
            if n % 500 == 0 or n == 20:
                desk.take(desk.prepare(time.time()))
            if n == _WARM:
                laps.spent.clear()
            now = time.time()
            laps.begin()
            request = read_decide(asked[n % len(asked)])
            assert isinstance(request, DecideRequest)
            laps.end("read the body")
            known = who(request, account_id, "")
            laps.end("who it is")
            audiences = desk.audiences_of(account_id, known.identifiers)
            laps.end("audiences")
            agent = request.user_agent or ""
            features = features_of(request, audiences, now, shelf.zone, agent)
            laps.end("features")
            shelf.scorer.score(features)
            laps.end("of the next: rates of all ads")
            question = Asked(request.n, request.placement, audiences, features, known.identifier)
            decision = desk.decide(shelf, question, known.person, now, explain=False)
            laps.end("decide")
            answer, _ = writer.write(shelf, request, known, features, decision, int(now * 1e6))
            laps.end("links and records")
            msgspec.json.encode(answer)
            laps.end("write the answer")
        desk.close(time.time())
    return [(part, total / count * 1e6) for part, total in laps.spent.items()]


_WARM = 300


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=whole_seconds, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decisions", type=int, default=5_000, help="in process (default 5000)")
    parser.add_argument("--parts-only", action="store_true", help="only in process")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if not given.parts_only and not shutil.which("wrk"):
        say("wrk is missing. Install with: apt-get install wrk")
        sys.exit(3)
    parts = {places: run_parts(given.decisions, places) for places in (1, 3)}
    runs = []
    if not given.parts_only:
        cases = ((1, 1), (2, 1), (2, 3))
        runs = [run_http(workers, places, given.seconds, given.rounds) for workers, places in cases]
    if given.json:
        print(json.dumps({"runs": runs, "parts": {str(k): dict(v) for k, v in parts.items()}}))
        return
    titles = (
        "processes",
        "places",
        "decisions/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "filled",
        "errors",
    )
    print_table(
        titles,
        [
            (
                str(run["processes"]),
                str(run["places"]),
                f"{run['decisions_per_s']:,.0f}",
                f"{run['p50_ms']:.1f}",
                f"{run['p99_ms']:.1f}",
                f"{run['cpu_us']:.0f}",
                f"{run['filled']:.0%}",
                str(run["errors"]),
            )
            for run in runs
        ],
    )
    rows = [(part, f"{micros:.0f}", f"{dict(parts[3])[part]:.0f}") for part, micros in parts[1]]
    print_table(("part", "µs, 1 place", "µs, 3 places"), rows)


if __name__ == "__main__":
    main()
