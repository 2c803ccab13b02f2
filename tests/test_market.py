"""The simulated market: seeded, adding up, as its parameters say, and told as clients tell it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import sqrt
from pathlib import Path
from subprocess import run
from typing import Any

import msgspec
import pytest

from doublet import models
from doublet.catalog import Account
from doublet.demo.market import (
    Life,
    Market,
    TruthFiles,
    count,
    count_by_day,
    event_rows,
    in_order,
    into_log,
    live,
    lives,
    over_http,
    read_events,
    read_market,
    recent_start,
    records,
)
from doublet.demo.market.parameters import Campaign
from doublet.demo.market.story import DAY_US
from doublet.demo.market.truth import NAMES, Count, EventRow
from doublet.demo.products import PRODUCTS
from doublet.reports import overview
from doublet.reports.coverage import CoverageRow, coverage
from tests.collector import Collector
from tests.factories import ACCOUNT, NOON, PIXEL, Pipeline
from tests.server import RunningServer

ROOT = Path(__file__).parent.parent
SEED = 11
DAYS = 5.0


def market(**changes: Any) -> Market:
    """The market of the file, with some parameters changed."""
    return msgspec.structs.replace(read_market(), **changes)


def told(persons: int, seed: int = SEED, **changes: Any) -> list[Life]:
    """The lives of so many people."""
    return list(lives(market(**changes), seed, range(persons), NOON, DAYS))


def rows_of(people: list[Life]) -> list[EventRow]:
    """The true events of all of them."""
    return [row for life in people for row in event_rows(life)]


@pytest.fixture(scope="module")
def crowd() -> list[Life]:
    """Enough people for shares to show."""
    return told(4000)


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    first, second, other = (
        [msgspec.json.encode(life) for life in told(40, seed)] for seed in (3, 3, 4)
    )
    assert first == second
    assert not set(first) & set(other)


def test_a_small_market_is_the_beginning_of_a_large_one() -> None:
    large = told(120)
    assert told(30) == large[:30]
    later = list(lives(market(), SEED, range(90, 120), NOON, DAYS))
    assert later == large[90:]
    assert live(market(), SEED, 70, NOON, DAYS) == large[70]


def test_what_gets_lost_does_not_change_what_happens() -> None:
    usual = told(200)
    lossy = told(200, blocker_share=0.9, server_loss_share=0.5, replay_share=0.3, retry_share=0.4)
    assert [life.story for life in usual] == [life.story for life in lossy]
    lost_less = told(200, server_loss_share=0.0)
    hits = [[s for s in life.signals if s.source == "browser"] for life in usual]
    assert hits == [[s for s in life.signals if s.source == "browser"] for life in lost_less]


def test_signals_spilled_to_disk_come_in_the_same_order() -> None:
    people = told(150)
    straight, spilled = list(in_order(people)), list(in_order(people, signals_per_run=100))
    assert len(straight) > 300
    assert straight == spilled
    assert sorted(signal.send_at for signal in straight) == [s.send_at for s in straight]


def test_every_signal_belongs_to_a_true_event_and_all_add_up(crowd: list[Life]) -> None:
    for life in crowd:
        sent = Counter((signal.number, signal.source) for signal in life.signals)
        rows = list(event_rows(life))
        assert len({signal.copy for signal in life.signals if signal.number == 0}) == sum(
            signal.number == 0 for signal in life.signals
        )
        for row in rows:
            assert len(row.browser_at) == sent.pop((row.number, "browser"), 0)
            assert len(row.server_at) == sent.pop((row.number, "server"), 0)
            assert (row.browser_fate == "sent") == bool(row.browser_at)
            assert (row.server_fate == "sent") == bool(row.server_at)
        assert not sent
        purchases = [row.order_id for row in rows if row.event_name == "Purchase"]
        assert purchases == [order.order_id for order in life.story.orders]


def test_nothing_is_sent_before_it_happened_or_too_late_to_be_taken(crowd: list[Life]) -> None:
    for life in crowd:
        for signal in life.signals:
            age = signal.send_at - life.story.events[signal.number].happened_at
            assert 0 <= age < 7 * DAY_US


def assert_share(expected: float, hits: int, of: int) -> None:
    """The share is met within five standard deviations of a binomial draw."""
    assert of > 30
    bound = 5 * sqrt(max(expected * (1 - expected), 1e-9) / of)
    assert abs(hits / of - expected) <= bound, (expected, hits / of, bound)


def test_shares_of_people_and_browsers_are_as_stated(crowd: list[Life]) -> None:
    m = read_market()
    people = [life.person for life in crowd]
    browsers = [browser for person in people for browser in person.browsers]
    counted = [
        (m.second_device_share, sum(len(p.browsers) == 3 for p in people), len(people)),
        (m.login_share, sum(p.is_logged_in for p in people), len(people)),
        (m.phone_number_share, sum(p.ph is not None for p in people), len(people)),
        (m.consent_refused_share, sum(not p.has_consent for p in people), len(people)),
        (m.blocker_share, sum(b.is_blocked for b in browsers), len(browsers)),
        (m.short_cookie_share, sum(b.has_short_cookies for b in browsers), len(browsers)),
    ]
    for campaign in m.campaigns:
        held_out = sum(campaign.name in p.holdouts for p in people)
        counted.append((campaign.holdout_share, held_out, len(people)))
    for share in counted:
        assert_share(*share)


def test_shares_of_losses_and_repeats_are_as_stated(crowd: list[Life]) -> None:
    m = read_market()
    rows = rows_of(crowd)
    seen = [r for r in rows if r.browser_fate in ("sent", "lost") and r.event_name != "Purchase"]
    reported = [r for r in rows if r.server_fate in ("sent", "lost")]
    delivered = [r for r in reported if r.server_at]
    purchases = [r for r in rows if r.event_name == "Purchase"]
    thanked = [r for r in purchases if r.browser_fate in ("sent", "lost", "redirected")]
    shown = [r for r in purchases if r.browser_at]
    twice = 1 - (1 - m.redirect_double_share) * (1 - m.reload_share)
    orders = [order for life in crowd for order in life.story.orders]
    refunded = sum(any(c.kind == "refund" for c in order.changes) for order in orders)
    again = 1 - (1 - m.retry_share) * (1 - m.replay_share)
    counted = [
        (m.hit_loss_share, sum(r.browser_fate == "lost" for r in seen), len(seen)),
        (m.server_loss_share, sum(r.server_fate == "lost" for r in reported), len(reported)),
        (m.without_id_share, sum(r.event_id is None for r in rows), len(rows)),
        (m.redirect_loss_share, sum(r.browser_fate == "redirected" for r in thanked), len(thanked)),
        (twice, sum(len(r.browser_at) > 1 for r in shown), len(shown)),
        (again, sum(len(r.server_at) > 1 for r in delivered), len(delivered)),
        (m.refund_share, refunded, len(orders)),
    ]
    for share in counted:
        assert_share(*share)


def test_the_planted_effect_of_an_ad_is_what_the_holdout_shows() -> None:
    ad = Campaign(name="ad", impressions_per_day=6, click_share=0, effect=1.5, holdout_share=0.5)
    people = told(
        6000,
        campaigns=(ad,),
        effect_days=30.0,
        purchase_share=0.15,
        purchase_share_max=1.0,
        repeat_share=0.0,
        visits_per_day=1.0,
    )
    bought = {True: [0, 0], False: [0, 0]}
    caused = without_ads = 0
    for life in people:
        if not life.story.touches:
            continue
        is_held_out = life.person.holdouts == ("ad",)
        kinds = {touch.kind for touch in life.story.touches}
        assert {"held_out" if is_held_out else "impression"} == kinds
        for visit in life.story.visits:
            # Before the first impression there is no effect.
            if visit.began_at > life.story.touches[0].happened_at:
                bought[is_held_out][0] += visit.buys
                bought[is_held_out][1] += 1
                caused += bool(visit.caused_by)
                without_ads += visit.buys and visit.buys_without_ads
                assert visit.buys == (visit.buys_without_ads or visit.caused_by == ("ad",))
    (exposed, of_exposed), (held, of_held) = bought[False], bought[True]
    ratio = (exposed / of_exposed) / (held / of_held)
    # The relative error of a ratio of two rates; people differ, which widens it by about a third.
    bound = 4 * 1.3 * ratio * sqrt(1 / exposed + 1 / held)
    assert abs(ratio - ad.effect) < bound < 0.3
    assert_share(1 - 1 / ad.effect, caused, exposed)
    assert exposed + held == caused + without_ads


def test_an_ad_without_effect_causes_only_what_its_clicks_bring(crowd: list[Life]) -> None:
    for life in crowd:
        clicked = {touch.campaign for touch in life.story.touches if touch.kind == "click"}
        for visit in life.story.visits:
            assert "brand" not in visit.caused_by or "brand" in clicked


def test_tastes_decide_who_buys_only_where_they_are_to() -> None:
    eager = {product.slug for product in PRODUCTS[: len(PRODUCTS) // 2]}
    changes: dict[str, Any] = {"campaigns": (), "purchase_share_max": 1.0, "repeat_share": 0.0}
    people = told(3000, taste_effect=0.5, visits_per_day=0.6, **changes)
    counted = {True: [0, 0], False: [0, 0]}
    for life in people:
        for visit in life.story.visits:
            counted[life.person.taste in eager][0] += visit.buys
            counted[life.person.taste in eager][1] += 1
    (eager_buys, eager_visits), (other_buys, other_visits) = counted[True], counted[False]
    ratio = (eager_buys / eager_visits) / (other_buys / other_visits)
    # Propensities differ between persons, which widens the error of the ratio by about a third.
    assert abs(ratio - 3) < 4 * 1.3 * ratio * sqrt(1 / eager_buys + 1 / other_buys) < 1.5
    # Who has all visits to one product looks at nothing else.
    for life in told(50, taste_share=1.0, visits_per_day=0.6):
        seen = [event for event in life.story.events if event.event_name == "ViewContent"]
        assert {life.person.taste} >= {event.lines[0].product.slug for event in seen}


def test_all_is_accepted_and_nothing_is_flagged(crowd: list[Life]) -> None:
    signals = list(in_order(crowd))
    made = [msgspec.json.decode(r) for r in records(signals, ACCOUNT, PIXEL)]
    assert len(signals) == len(made)
    assert [] == [record for record in made if "flags" in record]
    times = [record["received_at"] for record in made]
    assert sorted(set(times)) == times
    purchases = 0
    for signal, record in zip(signals, made, strict=True):
        row = crowd[signal.person].story.events[signal.number]
        assert (row.event_name, row.happened_at // 1_000_000, row.order_id) == (
            record["event_name"],
            record["event_time"],
            record.get("order_id"),
        )
        purchases += row.event_name == "Purchase"
    assert purchases > 100


def test_what_is_written_down_is_read_back(tmp_path: Path) -> None:
    people = told(60)
    with TruthFiles(tmp_path) as truth:
        assert people == list(truth.recorded(people))
    rows = rows_of(people)
    assert rows == list(read_events(tmp_path))
    assert sorted(f"{name}.jsonl" for name in NAMES) == sorted(p.name for p in tmp_path.iterdir())
    counts, by_day = count(rows), count_by_day(rows)
    assert len(rows) == sum(each.events for each in counts.values())
    for name, each in counts.items():
        assert each.events == sum(c.events for (n, _), c in by_day.items() if n == name)
        assert each.with_id <= each.arrived <= each.events


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """Log, lake and models in an empty folder."""
    made = Pipeline(tmp_path)
    yield made
    made.close()


def test_events_with_ids_are_counted_as_the_truth_has_them(
    pipeline: Pipeline, crowd: list[Life]
) -> None:
    written = into_log(in_order(crowd[:1500]), pipeline.log, ACCOUNT, PIXEL)
    assert written == pipeline.refresh().copies
    expected = {name: each.with_id for name, each in count(rows_of(crowd[:1500])).items()}
    found = Counter(row["event_name"] for row in pipeline.events() if row["event_id"] is not None)
    assert expected == dict(found)


def test_without_late_copies_the_rule_of_48_hours_is_enough(tmp_path: Path) -> None:
    people = told(1500, replay_share=0.0, server_late_hours_max=40.0)
    pipeline = Pipeline(tmp_path, rules=models.Rules(late_copy=False))
    into_log(in_order(people), pipeline.log, ACCOUNT, PIXEL)
    pipeline.refresh()
    truth = count(rows_of(people))
    events = [row for row in pipeline.events() if row["event_id"] is not None]
    for name, each in truth.items():
        mine = [row for row in events if row["event_name"] == name]
        assert each.with_id == len(mine)
        if name != "Purchase":
            # Without an order id, a report may be taken for that of another page without an id.
            continue
        assert each.both_with_id == sum(
            row["browser_copies"] > 0 and row["server_copies"] > 0 for row in mine
        )
        cents = Counter[str]()
        for row in mine:
            cents[row["currency"]] += int((row["value"] or Decimal(0)) * 100)
        cents.pop(None, None)  # type: ignore[call-overload]
        assert each.cents_with_id == dict(cents)
    purchases = truth["Purchase"]
    assert purchases.pixel_alone < purchases.with_id < purchases.events < purchases.copies


def test_the_overview_counts_the_copies_that_were_sent(
    pipeline: Pipeline, crowd: list[Life]
) -> None:
    into_log(in_order(crowd[:300]), pipeline.log, ACCOUNT, PIXEL)
    pipeline.refresh()
    truth = count(rows_of(crowd[:300]))
    account = Account(ACCOUNT, "Shop", "UTC", "USD")
    for row in overview(pipeline.engine, account):
        assert (truth[row.event_name].browser, truth[row.event_name].server) == (
            row.browser,
            row.server,
        )


def test_with_ids_everywhere_coverage_equals_the_truth(pipeline: Pipeline) -> None:
    people = told(1500, replay_share=0.0, server_late_hours_max=40.0, without_id_share=0.0)
    into_log(in_order(people), pipeline.log, ACCOUNT, PIXEL)
    pipeline.refresh()
    account = Account(ACCOUNT, "Shop", "UTC", "USD")
    truth = {name: each for name, each in count(rows_of(people)).items() if each.arrived}
    rows = {row.event_name: row for row in coverage(pipeline.engine, account)}
    assert_covers(truth, rows)
    assert 0.2 < (rows["Purchase"].browser_missed_share or 0) < 0.5
    by_day = {key: each for key, each in count_by_day(rows_of(people)).items() if each.arrived}
    found = coverage(pipeline.engine, account, by_day=True)
    assert_covers(by_day, {(row.event_name, str(row.day)): row for row in found})
    worth = {"browser": Counter[str](), "server": Counter[str](), "both": Counter[str]()}
    for row in rows_of(people):
        if row.event_name == "Purchase" and row.value and row.currency:
            cents = int(row.value.replace(".", ""))
            worth["browser"][row.currency] += cents * bool(row.browser_at)
            worth["server"][row.currency] += cents * bool(row.server_at)
            worth["both"][row.currency] += cents * row.has_arrived
    for currency, value in rows["Purchase"].value.items():
        shown = (value.browser_alone, value.server_alone, value.value)
        assert [worth[side][currency] for side in worth] == [int(each * 100) for each in shown]
        assert value.added == value.browser_alone + value.server_alone


def assert_covers(truth: Mapping[Any, Count], rows: Mapping[Any, CoverageRow]) -> None:
    """Each row says of its events what the truth says."""
    assert truth.keys() == rows.keys()
    for key, each in truth.items():
        row = rows[key]
        assert (each.arrived, each.both_with_id) == (row.events, row.both)
        assert (each.pixel_alone, each.server_alone) == (row.browser_alone, row.server_alone)
        assert each.pixel_alone + each.server_alone == row.added
        assert row.events == row.both + row.browser_only + row.server_only


def test_a_log_gets_what_a_collector_would_write(tmp_path: Path) -> None:
    people = list(lives(market(), SEED, range(40), recent_start(DAYS, time.time()), DAYS))
    signals = list(in_order(people))
    collector = Collector(tmp_path)
    try:
        sending = over_http(
            signals, f"http://127.0.0.1:{collector.port}", collector.pixel.pixel_id, collector.token
        )
        delivered = asyncio.run(sending)
        assert (0, []) == (delivered.failed, delivered.problems)
        stored = collector.new_records()
        account_id, pixel_id = collector.account, collector.pixel.pixel_id
    finally:
        collector.close()
    made = [msgspec.json.decode(r) for r in records(signals, account_id, pixel_id)]
    assert len(signals) == len(stored)
    assert Counter(map(_essence, made)) == Counter(map(_essence, stored))


def _essence(record: dict[str, Any]) -> str:
    """A record without what only its receipt decides."""
    kept = {k: v for k, v in record.items() if k not in ("log_offset", "received_at")}
    if kept["source"] == "browser":
        # A hit's address is that of its connection.
        kept["user_data"] = {**kept["user_data"], "client_ip_address": ""}
    if "event_id" not in kept:
        del kept["event_key"]
    return msgspec.json.encode(kept, order="sorted").decode()


@pytest.mark.slow
def test_a_hundred_shoppers_over_http_count_as_the_truth_has_it(tmp_path: Path) -> None:
    begins_at = recent_start(DAYS, time.time())
    people = list(lives(market(without_id_share=0.0), SEED, range(100), begins_at, DAYS))
    with RunningServer(tmp_path) as server:
        delivered = asyncio.run(
            over_http(in_order(people), server.url, server.pixel_id, server.access_token)
        )
        assert (0, []) == (delivered.failed, delivered.problems)
        truth = {n: c for n, c in count(rows_of(people)).items() if c.arrived}
        copies = sum(each.copies for each in truth.values())
        assert copies == delivered.hits + delivered.reports

        def found() -> dict[str, dict[str, Any]] | None:
            seen = server.overview()
            arrived = sum(row["browser"] + row["server"] for row in seen.values())
            return seen if arrived >= copies else None

        report = server.wait_until(found, what="all copies are on the report")
        assert report is not None
        for name, each in truth.items():
            row = report[name]
            assert (each.browser, each.server) == (row["browser"], row["server"])
            assert (each.with_id, each.both_with_id) == (row["events"], row["both"])
            value = {c: f"{cents / 100:.2f}" for c, cents in each.cents_with_id.items()}
            assert value == {c: f"{amount:.2f}" for c, amount in row["value"].items()}
        assert server.stop() == 0
        server.wait_until_gone()


def test_signals_are_spread_over_the_time_that_is_given(tmp_path: Path) -> None:
    people = list(lives(market(), SEED, range(8), recent_start(DAYS, time.time()), DAYS))
    signals = list(in_order(people))
    collector = Collector(tmp_path)
    try:
        url, pixel_id = f"http://127.0.0.1:{collector.port}", collector.pixel.pixel_id
        asyncio.run(over_http(signals, url, pixel_id, collector.token, seconds=2.0))
        stored = collector.new_records()
    finally:
        collector.close()
    times = sorted(record["received_at"] for record in stored)
    assert len(signals) == len(stored)
    assert 1.5e6 < times[-1] - times[0] < 10e6


def test_the_command_fills_a_data_folder_that_a_report_then_shows(tmp_path: Path) -> None:
    data = f"--data={tmp_path}"
    filled = _python("doublet.demo.market", "write", data, "--persons=50")
    assert re.match(r"[\d,]+ records for pixel \d+", filled)
    (folder,) = (tmp_path / "demo").glob("truth-*")
    truth = count(read_events(folder))
    _python("doublet", "refresh", data)
    report = msgspec.json.decode(_python("doublet", "report", "overview", data, "--json"))
    copies = {row["event_name"]: row["browser"] + row["server"] for row in report}
    assert {name: each.copies for name, each in truth.items() if each.copies} == copies


def _python(module: str, *arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", module, *arguments]
    done = run(command, capture_output=True, text=True, check=False, timeout=120)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_every_parameter_is_explained_with_its_value() -> None:
    page = (ROOT / "docs" / "market.md").read_text("utf-8")
    toml = (ROOT / "doublet" / "demo" / "market" / "market.toml").read_text("utf-8")
    parameters = msgspec.to_builtins(read_market())
    campaigns = parameters.pop("campaigns")
    for name, value in parameters.items():
        assert f"\n| `{name}` | {_shown(value)} | " in page
        assert re.search(rf"^# .*\n{name} = ", toml, re.MULTILINE), f"{name} has no comment"
    names = " | ".join(campaign.pop("name") for campaign in campaigns)
    assert f"\n| campaigns | {names} | " in page
    for name in campaigns[0]:
        values = " | ".join(_shown(campaign[name]) for campaign in campaigns)
        assert f"\n| `{name}` | {values} | " in page


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
