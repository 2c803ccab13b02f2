"""Insights: what typical readings cost on 200,000 conversions and 2 million touches.

The tables are written by SQL in the shape that the models leave: 90 days, 500 ads in 125 ad sets
and 50 campaigns, 100,000 persons. Of ten touches nine are views and one is a click, all from an ad
log. A third of the conversions come after a click within 28 days, half after a view within 7. Each
question is asked of `doublet.graph.insights`, up to the first 100 rows of the answer; once with
days that a platform reports (ad_days, 45,000 rows), once with the log alone, of which every touch
has to be counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measure import print_table, say

from doublet import models
from doublet.catalog import Account, Catalog
from doublet.engine.duckdb import DuckDBEngine
from doublet.graph.fields import parse_fields
from doublet.graph.insights import Insights, Target
from doublet.graph.question import Question
from doublet.settings import Settings

NOW_S = 1_780_000_000
_DAYS = 90
_ADS = 500
_PIXEL = "1000000000000001"

_IDS = (
    "cast(1200000 + {ad} // 10 as varchar) as {name}campaign_id, "
    "cast(1300000 + {ad} // 4 as varchar) as {name}adset_id, "
    "cast(1400000 + {ad} as varchar) as {name}ad_id"
)
_ALL_FIELDS = "spend,impressions,clicks,actions,action_values,purchase_roas,cost_per_action_type"
_WINDOWS = '["1d_click","7d_click","28d_click","1d_view","1d_ev"]'
QUESTIONS: dict[str, dict[str, str]] = {
    "account, 30 days, costs": {"fields": "spend,impressions,clicks,ctr"},
    "account, 30 days, actions": {"fields": "actions,action_values"},
    "account, by day, 30 days": {"fields": _ALL_FIELDS, "time_increment": "1"},
    "campaigns, 30 days": {"level": "campaign", "fields": f"campaign_name,{_ALL_FIELDS}"},
    "campaigns, 30 days, windows": {
        "level": "campaign",
        "fields": "campaign_id,actions,action_values",
        "action_attribution_windows": _WINDOWS,
    },
    "campaigns, by day, 7 days": {
        "level": "campaign",
        "fields": _ALL_FIELDS,
        "time_increment": "1",
        "date_preset": "last_7d",
    },
    "ads, 7 days": {"level": "ad", "fields": f"ad_name,{_ALL_FIELDS}", "date_preset": "last_7d"},
    "ads, yesterday": {"level": "ad", "fields": _ALL_FIELDS, "date_preset": "yesterday"},
    "ads, 30 days": {"level": "ad", "fields": f"ad_name,{_ALL_FIELDS}"},
    "ads, 90 days": {"level": "ad", "fields": _ALL_FIELDS, "date_preset": "last_90d"},
    "campaigns, first conversions": {
        "level": "campaign",
        "fields": "actions",
        "action_attribution_windows": '["7d_click_first_conversion"]',
    },
    "campaigns, reach, yesterday": {
        "level": "campaign",
        "fields": "reach,impressions,frequency",
        "date_preset": "yesterday",
    },
}
TYPICAL = tuple(QUESTIONS)[:9]
"""Those of which the median is told; the others are heavier and rarer."""


def _ids(ad: str, name: str = "") -> str:
    return _IDS.format(ad=ad, name=name)


def fill(engine: DuckDBEngine, account: Account, conversions: int, touches: int) -> None:
    """Write the tables; what a column is not told is null."""
    begin_s, mine = NOW_S - _DAYS * 86_400, f"'{account.account_id}' as account_id"
    spread = f"{begin_s} + {{n}} * {_DAYS * 86_400} // {{of}}"
    touched = spread.format(n="n", of=touches)
    kind = "case when n % 10 = 0 then 'click' else 'view' end as kind"
    always = "'meta' as platform, true as is_ad, 'feed' as placement, 'ad_log' as origin"
    ad = f"(n * 31 % {_ADS})"
    event_time = spread.format(n="n", of=conversions)
    last = ", ".join(
        f"case when n % {every} = 0 then event_time - n * 37 % {days * 86_400} end as {kind}_time, "
        f"n as {kind}_key, 'meta' as {kind}_platform, 'feed' as {kind}_placement, "
        f"{_ids(ad, f'{kind}_')}"
        for kind, every, days in (("click", 3, 28), ("ev", 11, 1), ("view", 2, 7))
    )
    with engine.transaction() as tx:
        tx.run(
            f"insert into touches by name select {mine}, '' as pixel_id, n as event_key, "
            f"to_timestamp({touched}) as anchor_at, n * 7919 % 100000 as profile_key, {kind}, "
            f"{touched} as touched_time, {always}, {_ids(ad)} from range({touches}) as t(n)"
        )
        tx.run(
            f"insert into touchpoints by name select {mine}, n * 7919 % 100000 as person_id, "
            f"0 as since_s, {2**62} as until_s, n as touchpoint_key, {touched} as touched_time, "
            f"{kind}, {always}, 'meta' as channel, {_ids(ad)} from range({touches}) as t(n)"
        )
        tx.run(
            f"insert into profiles by name select {mine}, n as profile_key, n as person_id, "
            "n as root_id from range(100000) as t(n)"
        )
        tx.run(
            f"insert into conversions by name select {mine}, '{_PIXEL}' as pixel_id, "
            "n as event_key, to_timestamp(event_time) as anchor_at, "
            "['Purchase', 'AddToCart', 'Lead', 'ViewContent'][1 + n % 4] as event_name, "
            "event_time, n % 100000 as person_id, event_time + 2419200 as frozen_s, "
            "(n % 1000) / 7 as value, 'EUR' as currency, 'website' as action_source, "
            f"1 as browser_copies, 1 as server_copies, {last} "
            f"from (select n, {event_time} as event_time from range({conversions}) as t(n))"
        )
        tx.run(
            f"insert into ads by name select {mine}, 'meta' as platform, 'ad' as level, "
            "'Campaign ' || n // 10 as campaign_name, 'Set ' || n // 4 as adset_name, "
            f"'Ad ' || n as ad_name, {_ids('n')}, 'EUR' as currency from range({_ADS}) as t(n)"
        )


def report_days(engine: DuckDBEngine, account: Account) -> None:
    """Every ad's days as its platform tells them."""
    first = datetime.fromtimestamp(NOW_S, UTC).date()
    with engine.transaction() as tx:
        tx.run(
            f"insert into ad_days by name select '{account.account_id}' as account_id, "
            "'meta' as platform, 'ad' as level, date - cast(day as integer) as date, "
            f"{_ids('n')}, 1000 as impressions, 20 as clicks, 900 as reach, 12.5 as spend, "
            f"'EUR' as currency, true as counts_impressions, true as counts_clicks, "
            f"true as counts_spend, true as counts_reported from range({_ADS}) as t(n), "
            f"range({_DAYS}) as u(day), (select cast('{first}' as date) as date)"
        )


def ask(
    insights: Insights, account: Account, parameters: Mapping[str, str], times: int
) -> tuple[float, int]:
    """The median seconds until the rows are there, and how many they are."""
    fields = parse_fields(parameters["fields"])
    now = datetime.fromtimestamp(NOW_S, UTC)
    question = Question(account, parameters, fields, "", now)
    seconds, rows = [], 0
    for _ in range(times):
        begun = time.perf_counter()
        rows = len(insights.page(question, Target())["data"])
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds), rows


def run(folder: Path, conversions: int, touches: int, times: int) -> dict[str, Any]:
    """All questions, of both sources of delivery."""
    settings = Settings(data=folder)
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Shop", "Europe/Berlin", "EUR")
    engine = DuckDBEngine(settings.warehouse_file, folder / "tmp")
    models.prepare(engine, models.Rules())
    say(f"{conversions:,} conversions, {touches:,} touches …")
    fill(engine, account, conversions, touches)
    engine.checkpoint()
    insights = Insights(catalog, engine, settings.rates_folder)
    found: dict[str, Any] = {"conversions": conversions, "touches": touches, "questions": []}
    figures: dict[str, list[float]] = {}
    for source in ("log", "platform"):
        if source == "platform":
            report_days(engine, account)
        for name, parameters in QUESTIONS.items():
            parameters = {"date_preset": "last_30d", "limit": "100", **parameters}
            seconds, rows = ask(insights, account, parameters, times)
            figures.setdefault(name, []).append(seconds)
            if source == "platform":
                ms = [round(each * 1000, 1) for each in figures[name]]
                found["questions"].append(
                    {"question": name, "rows": rows, "platform_ms": ms[1], "log_ms": ms[0]}
                )
    typical = [each for each in found["questions"] if each["question"] in TYPICAL]
    for source in ("platform_ms", "log_ms"):
        found[f"median_{source}"] = round(statistics.median(q[source] for q in typical), 1)
    engine.close()
    catalog.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--conversions", type=int, default=200_000)
    parser.add_argument("--touches", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), chosen.conversions, chosen.touches, chosen.times)
    if chosen.json:
        print(json.dumps(found))
        return
    rows = [[str(value) for value in each.values()] for each in found["questions"]]
    print_table(["question", "rows", "ms, days reported", "ms, log alone"], rows)
    print(
        f"median of the first {len(TYPICAL)}: {found['median_platform_ms']} ms with days that a "
        f"platform reports, {found['median_log_ms']} ms from the log alone"
    )


if __name__ == "__main__":
    main()
