"""Match quality and diagnostics: planted faults are found at their rate, clean data raise none."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.catalog import Account
from doublet.reports import report_sql
from doublet.reports.diagnostics import DIAGNOSTICS, diagnostics
from doublet.reports.quality import WEIGHTS, DedupeKey, Freshness, QualityDay, quality
from tests.factories import ACCOUNT, HOUR, NOON, SECOND, Pipeline, make_order, make_record, sha256

OWNER = Account(ACCOUNT, "Shop", "UTC", "USD")
WINDOW: dict[str, Any] = {"since": date(2026, 5, 20), "until": date(2026, 5, 30)}
EVENTS = 200
FAULTY = 20
"""So many events in a row bear the fault that is planted: a tenth."""


class Fault(msgspec.Struct):
    """What is wrong, in the fields of a copy or in its user data, and on which copies."""

    fields: dict[str, Any] = {}
    user_data: dict[str, Any] = {}
    on: tuple[str, ...] = ("browser", "server")


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipe = Pipeline(tmp_path)
    yield pipe
    pipe.close()


def clean(n: int) -> dict[str, Any]:
    """The fields of a copy that nothing is wrong with."""
    return {
        "received_at": NOON + n * SECOND,
        "event_id": f"order.{n}",
        "user_data": {
            "em": [sha256(f"p{n}@shop.example")],
            "client_ip_address": f"203.0.{n // 200}.{n % 200 + 1}",
            "client_user_agent": "Mozilla/5.0",
            "fbp": f"fb.1.{NOON // 1000}.{n + 1000}",
            "fbc": f"fb.1.{NOON // 1000 - 2 * 86_400_000}.Click{n}",
        },
    }


def send(pipeline: Pipeline, fault: Fault, faulty: int = FAULTY) -> None:
    """Both copies of every event, the server's half a second later; the fault is on those of the
    first `faulty` that it says."""
    records = []
    for n in range(EVENTS):
        for source in ("browser", "server"):
            fields = clean(n)
            if n < faulty and source in fault.on:
                fields["user_data"] = {**fields["user_data"], **fault.user_data}
                fields |= fault.fields
            if source == "server":
                fields["received_at"] += SECOND // 2
            records.append(make_record(source=source, **fields))
    pipeline.append(records)
    pipeline.refresh()


def test_clean_events_raise_nothing(pipeline: Pipeline) -> None:
    send(pipeline, Fault())
    assert [] == diagnostics(pipeline.engine, OWNER, **WINDOW)


MONEY = {"value": 10.5, "currency": "USD"}
FAULTS: dict[str, Fault] = {
    "s2s_missing_currency_for_value_or_item_price": Fault(
        {"event_name": "AddToCart", "custom_data": {"value": 1}}
    ),
    "s2s_missing_value_for_currency": Fault(
        {"event_name": "AddToCart", "custom_data": {"currency": "USD"}}
    ),
    "pixel_missing_value_parameter": Fault({"custom_data": {"currency": "USD"}}, on=("browser",)),
    "pixel_missing_currency_parameter": Fault({"custom_data": {"value": 10.5}}, on=("browser",)),
    "pixel_invalid_value_parameter": Fault(
        {"event_name": "AddToCart", "custom_data": {"value": "$10.50", "currency": "USD"}}
    ),
    "pixel_invalid_currency": Fault(
        {"event_name": "AddToCart", "custom_data": {"value": 10.5, "currency": "dollars"}}
    ),
    "pixel_mismatched_value_currency_parameter": Fault(
        {"custom_data": {**MONEY, "value": 11.5}}, on=("server",)
    ),
    "pixel_almost_standard_event": Fault({"event_name": "Add To Cart"}),
    "s2s_dedupe_key_low_coverage": Fault({"event_id": None}, on=("server",)),
    "s2s_event_id_in_custom_data": Fault({"custom_data": {**MONEY, "event_id": "x"}}),
    "s2s_extern_id_in_custom_data": Fault({"custom_data": {**MONEY, "external_id": "x"}}),
    "s2s_missing_pii_or_external_id": Fault(user_data={"em": None}, on=("server",)),
    "s2s_missing_ip": Fault(user_data={"client_ip_address": None}, on=("server",)),
    "s2s_missing_ua": Fault(user_data={"client_user_agent": None}, on=("server",)),
    "s2s_invalid_ip_address": Fault(
        user_data={"client_ip_address": "203.0.113.256"}, on=("server",)
    ),
    "s2s_private_ip_address": Fault(user_data={"client_ip_address": "192.168.1.7"}),
    "capi_ip_address_ip_v4": Fault(user_data={"client_ip_address": "2001:db8::7"}, on=("browser",)),
    "capi_ip_address_ip_value_mismatch": Fault(
        user_data={"client_ip_address": "198.51.100.7"}, on=("server",)
    ),
    "capi_fbc_coverage_issue": Fault(user_data={"fbc": None}, on=("server",)),
    "s2s_inconsistent_click_id": Fault(
        user_data={"fbc": f"fb.1.{NOON // 1000 - 86_400_000}.Click"}, on=("server",)
    ),
    "capi_pii_email_hot_email_fake": Fault(user_data={"em": [sha256("null")]}, on=("server",)),
    "capi_pii_phone_hot_phone_fake": Fault(
        user_data={"ph": [sha256("0000000000")]}, on=("server",)
    ),
    "capi_pii_email_invalid_email": Fault(user_data={"em": "mary at shop"}, on=("server",)),
    "capi_pii_phone_invalid_phone": Fault(user_data={"ph": "call me"}, on=("server",)),
    "s2s_invalid_fbp_cookie": Fault(user_data={"fbp": "GA1.2.3.4"}),
    "capi_fbc_invalid_click_id": Fault(user_data={"fbc": "IwAR0click"}),
    "capi_fbc_invalid_creation_time": Fault(user_data={"fbc": "fb.1.1780000000.Click"}),
    "capi_fbc_expired_click_id": Fault(user_data={"fbc": "fb.1.1700000000000.Click"}),
    "s2s_missing_action_source": Fault({"action_source": None}),
    "s2s_invalid_action_source": Fault({"action_source": "web"}),
    "s2s_missing_event_source_url": Fault({"event_source_url": None}),
    "s2s_event_time_in_future": Fault({"event_time": NOON // SECOND + 2 * 3600}),
    "s2s_delay_greater_than_two_hours": Fault({"event_time": (NOON - 3 * HOUR) // SECOND}),
    "s2s_delay_greater_than_twenty_four_hours": Fault({"event_time": (NOON - 30 * HOUR) // SECOND}),
}


@pytest.mark.parametrize("key", FAULTS)
def test_a_planted_fault_is_found_at_its_rate_and_nothing_else(
    pipeline: Pipeline, key: str
) -> None:
    fault = FAULTS[key]
    send(pipeline, fault)
    rows = diagnostics(pipeline.engine, OWNER, **WINDOW)
    name = fault.fields.get("event_name", "Purchase")
    total = EVENTS if name == "Purchase" else FAULTY
    assert [(key, name, FAULTY, total, FAULTY / total)] == [
        (row.diagnostic, row.event_name, row.affected, row.total, row.share) for row in rows
    ]
    assert all(example.startswith("order.") for example in rows[0].examples)


def test_each_diagnostic_has_a_planted_fault() -> None:
    here = {
        "pixel_unconfirmed_purchase",
        "s2s_dedupe_key_low_overlap",
        "s2s_low_event_coverage",
        "website_event_session_multiple_purchase_events_fire",
    }
    assert {diagnostic.key for diagnostic in DIAGNOSTICS} == {*FAULTS, *HOT, *here}


SEVERAL = (
    "s2s_event_id_in_custom_data",
    "s2s_missing_ua",
    "s2s_invalid_ip_address",
    "capi_pii_email_invalid_email",
    "capi_pii_phone_hot_phone_fake",
    "s2s_invalid_fbp_cookie",
    "capi_fbc_coverage_issue",
    "s2s_invalid_action_source",
    "s2s_delay_greater_than_two_hours",
)
"""Faults that hinder each other in nothing."""


def test_of_many_faults_at_once_each_is_found_as_often_as_it_was_planted(
    pipeline: Pipeline,
) -> None:
    dice = random.Random(7)
    planted: dict[str, int] = dict.fromkeys(SEVERAL, 0)
    records = []
    for n in range(EVENTS):
        faults = [key for key in SEVERAL if dice.random() < 0.3]
        fields = clean(n)
        fields["user_data"] |= {"external_id": f"customer{n}"}
        records.append(make_record(source="browser", **fields))
        for key in faults:
            planted[key] += 1
            fields["user_data"] |= FAULTS[key].user_data
            fields |= FAULTS[key].fields
        fields["received_at"] += SECOND
        records.append(make_record(source="server", **fields))
    dice.shuffle(records)
    pipeline.append(records)
    pipeline.refresh()
    found = {row.diagnostic: row.affected for row in diagnostics(pipeline.engine, OWNER, **WINDOW)}
    assert planted == found


def test_a_server_that_sends_its_own_address_is_told_so_twice(pipeline: Pipeline) -> None:
    send(pipeline, Fault(user_data=HOT["capi_ip_address_hot_ip"], on=("server",)), faulty=60)
    rows = diagnostics(pipeline.engine, OWNER, **WINDOW)
    assert [("capi_ip_address_hot_ip", 60), ("capi_ip_address_ip_value_mismatch", 60)] == [
        (row.diagnostic, row.affected) for row in rows
    ]


@pytest.mark.parametrize("apart", [100, 101])
def test_ids_that_the_sides_do_not_share_are_found_when_most_are_not(
    pipeline: Pipeline, apart: int
) -> None:
    # Only those 101 of 200 are more than half.
    send(pipeline, Fault())
    records = []
    for n in range(2 * EVENTS):
        for source in ("browser", "server"):
            fields = clean(n) | {"event_name": "Lead", "custom_data": None}
            fields["user_data"] |= {"fbp": None}
            if n % EVENTS < apart and source == "server":
                fields["event_id"] = f"other.{n}"
            records.append(make_record(source=source, **fields))
    pipeline.append(records)
    pipeline.refresh()
    rows = diagnostics(pipeline.engine, OWNER, **WINDOW)
    key = "s2s_dedupe_key_low_overlap"
    found = [(row.event_name, row.affected, row.total) for row in rows if row.diagnostic == key]
    assert found == ([("Lead", 2 * apart, 2 * EVENTS)] if apart > 100 else [])


def test_what_a_pixels_rules_mark_counts_for_nothing(pipeline: Pipeline) -> None:
    send(pipeline, Fault())
    records = []
    for n in range(EVENTS):
        record = make_record(source="browser", **clean(n) | {"event_id": f"crawled.{n}"})
        records.append(json.dumps(json.loads(record) | {"flags": ["bot"]}).encode())
    pipeline.append(records)
    pipeline.refresh()
    assert [] == diagnostics(pipeline.engine, OWNER, **WINDOW)
    (row,) = quality(pipeline.engine, OWNER, **WINDOW)
    assert (EVENTS, 1.0, 0.0) == (row.browser_events, row.event_coverage_share, row.linked_share)
    assert 1.0 == row.dedupe_keys["event_id"].covered_share


def test_purchases_that_neither_server_nor_order_confirms_are_found(pipeline: Pipeline) -> None:
    def of_browser(n: int) -> bytes:
        return make_record(
            source="browser",
            **clean(EVENTS + n) | {"custom_data": {**MONEY, "order_id": f"browser.{n}"}},
        )

    pipeline.append([of_browser(n) for n in range(10)])
    pipeline.refresh()
    key = "pixel_unconfirmed_purchase"

    def found() -> list[tuple[int, int]]:
        rows = diagnostics(pipeline.engine, OWNER, **WINDOW)
        return [(row.affected, row.total) for row in rows if row.diagnostic == key]

    # Nobody could confirm them.
    assert [] == found()
    orders = [
        make_order("placed", n, order_id=f"browser.{n}", value=10.5, currency="USD")
        for n in range(4)
    ]
    pipeline.append(orders)
    pipeline.refresh()
    assert [(6, 10)] == found()
    send(pipeline, Fault())
    assert [(6, EVENTS + 10)] == found()


def test_a_second_purchase_within_half_an_hour_is_found(pipeline: Pipeline) -> None:
    records = []
    for n in range(EVENTS):
        fields = clean(n)
        if n % 10 == 0:
            # 1,803 s after another of this browser; those below 3 s.
            fields["received_at"] += 1810 * SECOND
            fields["user_data"] |= {"fbp": clean(n + 7)["user_data"]["fbp"]}
        if n % 10 == 4:
            fields["user_data"] |= {"fbp": clean(n - 3)["user_data"]["fbp"]}
        records += [make_record(source=source, **fields) for source in ("browser", "server")]
    pipeline.append(records)
    pipeline.refresh()
    (row,) = diagnostics(pipeline.engine, OWNER, **WINDOW)
    assert "website_event_session_multiple_purchase_events_fire" == row.diagnostic
    assert (EVENTS // 10, EVENTS) == (row.affected, row.total)


HOT: dict[str, dict[str, Any]] = {
    "capi_ip_address_hot_ip": {"client_ip_address": "198.51.100.9"},
    "capi_pii_email_hot_email": {"em": [sha256("shop@shop.example")]},
    "capi_pii_phone_hot_phone": {"ph": [sha256("15550001111")]},
}


@pytest.mark.parametrize("key", HOT)
def test_a_value_that_many_events_share_is_hot(pipeline: Pipeline, key: str) -> None:
    send(pipeline, Fault(user_data=HOT[key]), faulty=60)
    rows = diagnostics(pipeline.engine, OWNER, **WINDOW)
    assert [(key, 60, EVENTS)] == [(row.diagnostic, row.affected, row.total) for row in rows]


def test_an_erased_person_is_no_fault(pipeline: Pipeline) -> None:
    send(pipeline, Fault())
    erased = {"flags": ["erased"], "user_data": None, "event_id": "erased"}
    record = json.loads(make_record(source="server", **clean(EVENTS))) | erased
    pipeline.append([json.dumps(record).encode()])
    pipeline.refresh()
    assert [] == diagnostics(pipeline.engine, OWNER, **WINDOW)
    (row,) = quality(pipeline.engine, OWNER, **WINDOW)
    assert (EVENTS + 1, EVENTS, 6.5) == (row.server_events, row.judged, row.score)


def test_a_stores_event_is_judged_though_it_came_two_months_later(pipeline: Pipeline) -> None:
    day = 24 * HOUR
    late = {"received_at": NOON + 61 * day, "event_time": NOON // SECOND}
    store = {"action_source": "physical_store", "custom_data": {**MONEY, "order_id": "s1"}}
    pipeline.append([make_record(source="server", **clean(0) | store | late)])
    pipeline.refresh()
    found = {row.diagnostic for row in diagnostics(pipeline.engine, OWNER, **WINDOW)}
    assert {"s2s_delay_greater_than_twenty_four_hours"} == found


def test_quality_scores_the_keys_of_the_servers_events(pipeline: Pipeline) -> None:
    records = [make_record(source="browser", **clean(n)) for n in range(10)]
    records += [make_record(source="server", **clean(n)) for n in range(4, 12)]
    pipeline.append(records)
    pipeline.refresh()
    (row,) = quality(pipeline.engine, OWNER, **WINDOW)
    assert (12, 10, 8, 6, 8) == (
        row.events,
        row.browser_events,
        row.server_events,
        row.both,
        row.judged,
    )
    # em 2.5, IP address and user agent 1.5, fbc 1.5, fbp 1.
    assert (6.5, 1.0, 0.6) == (row.score, row.joinable_share, row.event_coverage_share)
    assert row.gain["ph"] == 1.5
    assert row.gain["em"] == 0
    unconfirmed, low = diagnostics(pipeline.engine, OWNER, **WINDOW)
    assert ("s2s_low_event_coverage", 4, 10) == (low.diagnostic, low.affected, low.total)
    assert "pixel_unconfirmed_purchase" == unconfirmed.diagnostic


def test_the_score_is_of_what_the_server_itself_sent(pipeline: Pipeline) -> None:
    send(pipeline, Fault(user_data={"fbc": None, "fbp": None, "em": None}, on=("server",)), 150)
    (row,) = quality(pipeline.engine, OWNER, **WINDOW)
    assert {"em": 0.25, "fbc": 0.25, "fbp": 0.25, "ip_and_ua": 1.0} == {
        key: share for key, share in row.coverage.items() if share
    }
    # Once the copies are one, each event has what its browser's copy has.
    assert (2.8, 1.0) == (row.score, row.joinable_share)


def test_the_same_is_found_in_files_that_were_merged(pipeline: Pipeline) -> None:
    send(pipeline, FAULTS["s2s_missing_ip"])
    before = diagnostics(pipeline.engine, OWNER, **WINDOW)
    pipeline.append([make_record(source="browser", **clean(EVENTS))])
    pipeline.append([make_record(source="server", **clean(EVENTS))])
    pipeline.refresh()
    pipeline.compact()
    (after,) = diagnostics(pipeline.engine, OWNER, **WINDOW)
    assert [(before[0].affected, EVENTS + 1)] == [(after.affected, after.total)]


def test_each_deduplication_key_is_told_with_what_it_does(pipeline: Pipeline) -> None:
    records = []
    for n in range(20):
        fields = clean(n)
        fields["user_data"] |= {"external_id": f"customer{n}"} if n < 15 else {}
        if n >= 18:
            del fields["user_data"]["fbp"]
        records.append(make_record(source="browser", **fields))
        fields["received_at"] += HOUR
        fields["event_time"] = (NOON + n * SECOND) // SECOND
        if 10 <= n < 19:
            fields["event_id"] = None
        if n == 0:
            fields["user_data"] |= {"fbp": clean(99)["user_data"]["fbp"]}
        if n < 19:
            records.append(make_record(source="server", **fields))
    store = {"action_source": "physical_store", "custom_data": {**MONEY, "order_id": "s1"}}
    records.append(make_record(source="server", **clean(70) | store))
    pipeline.append(records)
    pipeline.refresh()
    (row,) = quality(pipeline.engine, OWNER, **WINDOW)
    # 20 of the browser, 19 of the server besides the store's. 10 pairs have one id, 5 others only
    # one customer, 3 only one fbp; nothing finds the last one. The first pair's fbp differ.
    keys = row.dedupe_keys
    assert DedupeKey(1.0, share(10, 19), share(10, 19), 0.5) == keys["event_id"]
    assert DedupeKey(0.75, share(15, 19), share(15, 19), 0.25) == keys["external_id"]
    assert DedupeKey(0.9, share(18, 19), share(17, 19), 0.15) == keys["fbp"]
    assert Freshness(0.0, 1.0, 1.0, "hourly") == row.freshness


def test_each_day_of_the_accounts_zone_has_a_score(pipeline: Pipeline) -> None:
    # NOON is 20:26 in UTC and 22:26 in Berlin: two hours later it is the next day there.
    records = [make_record(source="browser", **clean(0)), make_record(**clean(0))]
    late = clean(1) | {"received_at": NOON + 2 * HOUR}
    late["user_data"] |= {"em": None}
    records.append(make_record(**late))
    pipeline.append(records)
    pipeline.refresh()
    berlin = Account(ACCOUNT, "Shop", "Europe/Berlin", "EUR")
    (row,) = quality(pipeline.engine, berlin, **WINDOW)
    assert [
        QualityDay(date(2026, 5, 28), 1, 6.5, 1.0),
        QualityDay(date(2026, 5, 29), 1, 4.0, None),
    ] == row.days
    assert (2, 5.2) == (row.judged, row.score)


def test_what_a_key_would_link_is_judged_by_those_that_bear_it(pipeline: Pipeline) -> None:
    def fbp(n: int) -> str:
        return f"fb.1.{NOON // 1000}.{n + 1000}"

    def ids(n: int) -> dict[str, Any]:
        return {"fbp": fbp(n)} if n < 10 else {"em": sha256(f"p{max(n, 11)}@shop.example")}

    records = [make_record(event_id=f"order.{n}", user_data=ids(n)) for n in range(20)]
    for n in (*range(8), 99):
        user = {"fbp": fbp(n)}
        records.append(
            make_record(
                source="browser", event_name="PageView", event_id=f"page.{n}", user_data=user
            )
        )
    pipeline.append(records)
    pipeline.refresh()
    (row,) = quality(pipeline.engine, OWNER, **WINDOW, event_name="Purchase")
    # Of ten fbp eight were on a page, of ten em two are of one customer; eight with an em and two
    # with an fbp have no link.
    assert 0.5 == row.linked_share
    assert {"fbp": round(8 / 20 * 8 / 10, 6), "em": round(2 / 20 * 2 / 10, 6)} == row.newly_linked


def share(part: int, whole: int) -> float:
    """As reports round it."""
    return round(part / whole, 6)


def test_nothing_crosses_accounts(pipeline: Pipeline) -> None:
    send(pipeline, FAULTS["s2s_missing_ip"])
    other = Account("act_100000000000002", "Other", "UTC", "USD")
    assert [] == quality(pipeline.engine, other, **WINDOW)
    assert [] == diagnostics(pipeline.engine, other, **WINDOW)


def test_the_list_and_the_text_name_the_same_diagnostics() -> None:
    named = re.findall(r"'((?:s2s|pixel|capi|website)_\w+)'", report_sql("diagnostics"))
    assert sorted(named) == sorted(diagnostic.key for diagnostic in DIAGNOSTICS)


def test_the_weights_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
