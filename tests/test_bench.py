"""The benchmarks run, and their counts add up; what they measure is not judged here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench"

pytestmark = pytest.mark.slow


def run_bench(
    script: str, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A benchmark as a person runs it; `path` replaces the folders that hold programs."""
    environment = {**os.environ, "PATH": os.environ["PATH"] if path is None else path}
    return subprocess.run(
        [sys.executable, str(BENCH / script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


def read_result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a successful run with --json printed."""
    assert 0 == done.returncode, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def read_result_rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The same of one that prints rows."""
    assert 0 == done.returncode, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_the_payload_is_what_its_script_makes() -> None:
    lines = (BENCH / "events.jsonl").read_text("utf-8").splitlines()
    code = "import make_events, sys; sys.stdout.write(make_events.make_lines())"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCH, capture_output=True, text=True, check=True
    )
    assert made.stdout.splitlines() == lines
    for line in lines:
        event = json.loads(line)
        hashed = [value for value in event["user_data"].values() if isinstance(value, list)]
        assert (7, 2) == (len(hashed), len(event["custom_data"]["contents"]))
        assert "event_time" not in event
    assert 1150 < sum(map(len, lines)) / len(lines) < 1300


def test_collect_answers_only_200_and_logs_every_answered_event() -> None:
    if not shutil.which("wrk") or not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        # Only this benchmark needs them, so not even a full check installs them.
        pytest.skip("wrk or nginx is not installed: apt-get install wrk nginx-light")
    cases = ("--case=0", "--case=2")
    done = run_bench("collect.py", "--seconds=0.5", "--rounds=1", "--json", *cases)
    rows = read_result(done)["rows"]
    servers = [row["server"] for row in rows]
    assert ["doublet", "nginx", "empty granian", "doublet", "nginx"] == servers
    for row in rows:
        assert row["requests_per_s"] * row["events_per_request"] == pytest.approx(
            row["events_per_s"]
        )
        assert row["cpu_us_per_event"] > 0
        assert row["pss_peak_bytes"] > 0
    for row in (rows[0], rows[3]):
        spare = row["connections"] * row["events_per_request"]
        assert 0 < row["answered_events"] <= row["logged_events"] <= row["answered_events"] + spare


def test_collect_says_what_to_install_when_wrk_is_missing(tmp_path: Path) -> None:
    done = run_bench("collect.py", path=str(tmp_path))
    assert 3 == done.returncode
    assert "apt-get install wrk" in done.stderr


def test_load_loads_and_models_every_record() -> None:
    result = read_result(run_bench("load.py", "--events=3000", "--json"))
    rows = {step["step"]: step["rows"] for step in result["steps"]}
    assert {
        "accept and append": 3000,
        "read bare": 3000,
        "load": 3000,
        "model": 3000,
        "load late copies": 1500,
        "model late copies": 1500,
    } == rows
    assert (1500, 4500) == (result["events_deduplicated"], result["copies_deduplicated"])
    assert result["lake_bytes_per_record"] > 0
    assert all(step["rows_per_s"] > 0 for step in result["steps"])


def test_userdata_accepts_every_raw_event_in_both_forms() -> None:
    done = run_bench("userdata.py", "--seconds=0.2", "--no-collectors", "--json")
    assert 0 == done.returncode, done.stderr
    rows = json.loads(done.stdout)
    cases = ["Meta's SDK, built and hashed", "accepted, E.164", "accepted, national"]
    assert cases == [row["case"] for row in rows]
    assert all(row["events_per_s"] > 0 < row["ratio_to_sdk"] for row in rows)


def test_memory_sums_over_all_processes_of_a_server() -> None:
    result = read_result(run_bench("memory.py", "--workers=1", "--seconds=1", "--json"))
    parts = sorted(row["part"] for row in result["processes"])
    assert ["collect", "collect", "serve", "work"] == parts
    assert sum(row["pss_bytes"] for row in result["processes"]) == result["pss_bytes"]


def test_models_prints_what_a_refresh_and_a_rebuild_cost() -> None:
    done = run_bench("models.py", "--copies=40000", "--json")
    assert 0 == done.returncode, done.stderr
    rows = json.loads(done.stdout)
    assert ["48 hours", "28 days"] == [row["spread"] for row in rows]
    for row in rows:
        assert 0 < row["refresh_s"] <= row["refresh_max_s"]
        assert 0 < row["rebuild_s"]
        assert 0 < row["page_max_s"]


def test_web_asks_every_page_of_a_shop_that_it_keeps(tmp_path: Path) -> None:
    arguments = ("--events=20000", "--times=1", "--keep", str(tmp_path / "kept"), "--json")
    result = read_result(run_bench("web.py", *arguments))
    assert 20_000 == result["events"] < result["copies"] == result["modelled"]
    for row in result["pages"]:
        assert 0 < max(row["medians_ms"].values()) <= row["slowest_ms"]
        assert row["is_slow"] == (max(row["medians_ms"].values()) > 300)
    pages = {row["page"] for row in result["pages"]}
    assert {"/overview", "/quality", "/diagnostics.json", "/campaigns.json"} < pages
    again = read_result(run_bench("web.py", *arguments, "--page", "/overview.json"))
    assert (0, ["/overview.json"]) == (again["modelled"], [row["page"] for row in again["pages"]])


def test_market_prints_each_way_of_counting_beside_the_truth() -> None:
    done = run_bench("market.py", "--persons=300", "--seeds=1", "--json")
    assert 0 == done.returncode, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["truth, with ids"] == row["doublet, with ids"]
    assert row["pixel alone"] < row["doublet"] <= row["truth"] < row["both, not deduplicated"]


def test_lift_holds_the_truth() -> None:
    rows = read_result_rows(run_bench("lift.py", "--trials=1", "--seeds=60", "--others", "--json"))
    assert 18 == len(rows)
    assert all(0.85 < row["coverage"] <= 1 for row in rows)
    rows = read_result_rows(run_bench("lift.py", "--market", "--persons=300", "--json"))
    assert ["prospecting", "retargeting", "brand"] == [row["campaign"] for row in rows]
    assert all(row["truth"] >= row["of it arrived"] for row in rows)
    assert all(row["shown"] > row["held out"] > 0 for row in rows)
    for row in read_result_rows(run_bench("lift.py", "--known", "--persons=2000", "--json")):
        assert row["known lift, low"] < row["known lift"] < row["known lift, high"]


def test_lookalikes_finds_tastes_in_the_market_and_measures_its_speed() -> None:
    chosen = ("--only=market", "--settings=0", "--persons=1500", "--seeds=1", "--json")
    rows = read_result_rows(run_bench("lookalikes.py", *chosen))
    ways = [row["way"] for row in rows]
    assert ["Doublet", "random", "popularity", "rfm", "neighbours", "logistic"] == ways[:6]
    assert all(0 < row["found among"] < 1500 for row in rows)
    gains = {row["way"]: row["gain"] for row in rows}
    assert gains["random"] < gains["Doublet"]
    result = read_result(run_bench("lookalikes.py", "--speed", "--behaviours=60000", "--json"))
    assert result["members"] == pytest.approx(result["persons"] / 100, abs=1)
    assert 0 < result["seconds"]


def test_pacing_keeps_to_the_plan_where_no_cap_binds() -> None:
    rows = read_result_rows(run_bench("pacing.py", "--seeds=1", "--scale=0.01", "--json"))
    assert [1.0, 1.3, 0.7] == sorted({row["traffic"] for row in rows}, key=[1.0, 1.3, 0.7].index)
    for row in rows:
        assert 0 < row["error"] == row["worst"] <= 1
        assert row["spent"] <= 1
        if row["ad set"] == "lowest cost, large":
            assert row["error"] < row["linkedin"]
            assert 0.95 < row["spent"]


def test_alerts_counts_what_is_found() -> None:
    rows = json.loads(run_bench("alerts.py", "--json", "--sites", "1", "--faults", "2").stdout)
    assert ["small", "medium", "large"] == [row["site"] for row in rows]
    assert all(0 <= row["silent_in_30_min"] <= 1 for row in rows)


def test_pixel_measures_each_script_beside_the_references() -> None:
    if not shutil.which("chromium") and not shutil.which("chromium-browser"):
        pytest.skip("Chromium is not installed: apt-get install chromium")
    result = read_result(run_bench("pixel.py", "--rounds=1", "--json"))
    rows = {row["script"]: row for row in result["rows"]}
    assert ["empty", "bare fetch", "/px-core.js", "/px.js"] == list(rows)
    for name, row in rows.items():
        assert 0 < row["load_ms"] < row["task_ms"], name
        assert 0 < row["script_ms"] < row["task_ms"], name
    for name in ("/px-core.js", "/px.js"):
        row = rows[name]
        assert row["raw"] > row["minified"] > row["gzip"] > 0
        assert row["task_ms"] > rows["empty"]["task_ms"]


def test_relay_compares_senders_and_catches_up() -> None:
    arguments = ("--events=300", "--waiting=2000", "--quiet=1.5")
    result = read_result(run_bench("relay.py", *arguments, "--json"))
    requests = {row["sender"]: row["requests"] for row in result["senders"]}
    assert {"doublet relay": 1, "SDK batch processor": 6, "one call per event": 300} == requests
    assert 0 < result["catch_up"]["events_per_s"]
    assert 0 < result["catch_up"]["hits_meanwhile"]["p50_ms"]


def test_reconcile_finds_what_it_planted() -> None:
    result = read_result(run_bench("reconcile.py", "--orders=500", "--json"))
    assert 500 == result["orders"]
    assert 0 < result["compare_s"]


def test_insights_answers_every_question_from_both_sources() -> None:
    sizes = ("--conversions=2000", "--touches=20000", "--times=1")
    result = read_result(run_bench("insights.py", *sizes, "--json"))
    rows = {row["question"]: row for row in result["questions"]}
    assert (30, 50) == (
        rows["account, by day, 30 days"]["rows"],
        rows["campaigns, 30 days"]["rows"],
    )
    for row in rows.values():
        assert 0 < row["rows"] <= 100
        assert 0 < min(row["platform_ms"], row["log_ms"])
    assert 0 < min(result["median_platform_ms"], result["median_log_ms"])


def test_attribution_shares_all_conversions_out_under_any_window() -> None:
    arguments = ("--conversions=2000", "--touches=20000")
    result = read_result(run_bench("attribution.py", *arguments, "--json"))
    assert 8 == len(result["models"])
    assert all(float(ours_ms) > 0 < float(mta_ms) for _, ours_ms, mta_ms, _ in result["models"])
    claimed = [int(row[2].replace(",", "")) for row in result["windows"]]
    assert 0 < claimed[0] < claimed[1] < 2000


def test_offpolicy_tells_each_policy_from_the_log_of_the_other() -> None:
    data = BENCH.parent / "tests" / "data" / "open_bandit"
    logs = [str(data / f"men-{name}.csv.gz") for name in ("random", "bts")]
    items = f"--items={data / 'item_context.csv'}"
    result = read_result(run_bench("offpolicy.py", *logs, items, "--json"))
    told = [(row["policy"], row["from the log of"], row["estimate"]) for row in result["policies"]]
    policies = (("men-random", "men-bts"), ("men-bts", "men-random"))
    assert [(*pair, name) for pair in policies for name in ("ips", "snips", "dr")] == told
    assert all(0 < row["effective"] <= 1_275 for row in result["policies"])
    assert {"base rate", "logistic, C = 1", "Doublet"} == {
        row["model"] for row in result["click models"]
    }


def test_rates_tells_predicted_from_observed() -> None:
    small = ("--impressions=4000", "--seeds=1", "--json")
    rows = read_result_rows(run_bench("rates.py", *small))
    assert {"clicks", "actions"} == {row["of"] for row in rows}
    for row in rows:
        # Nobody does better than who knows the true rates, but by chance.
        assert row["truth"] < row["log loss"] + 0.002
        assert 0.3 < row["÷ truth"] < 3
    costs = read_result_rows(run_bench("rates.py", "--speed", *small))
    assert all(row["cost"] > 0 for row in costs)


def test_decide_does_every_part_of_a_decision() -> None:
    done = run_bench("decide.py", "--parts-only", "--decisions=50", "--json")
    parts = json.loads(done.stdout)["parts"]
    assert {"1", "3"} == parts.keys()
    for micros in parts.values():
        assert {"who it is", "decide", "links and records"} <= micros.keys()
        assert all(each > 0 for each in micros.values())
