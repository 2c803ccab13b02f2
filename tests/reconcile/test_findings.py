"""Each finding planted and found, with its reason, and nothing else found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from doublet.reconcile import Reconciliation
from doublet.reconcile.findings import FINDINGS, SHARES
from doublet.shops.orders import ShopOrder
from tests.factories import HOUR, NOON, SECOND, Pipeline, make_event, make_record
from tests.reconcile.world import (
    DAY,
    MARY,
    MINUTE,
    NOW_S,
    OTHER_PIXEL,
    SHOP,
    Desk,
    World,
    denial_of,
    found,
    refusal_of,
)


def plant_missing(world: World) -> None:
    world.add("m1", ("missing", "test"), there={"is_test": True})
    world.add("m2", ("missing", "unpaid"), there={"state": "pending"})
    world.add("m3", ("missing", "refused"), there={}, here=(refusal_of("#M3", world.now),))
    unnamed = world.bought(None, event_id="order.m4")
    world.add("m4", ("missing", "no_order_id"), there={}, here=unnamed)
    world.add("m5", ("missing", "before_pixel"), there={"created_at": NOON - DAY})
    world.add("m6", ("missing", "before_shop"), there={"created_at": NOON + 30 * MINUTE})
    denied = (denial_of(MARY, world.now - HOUR),)
    world.add("m7", ("missing", "consent_denied"), there={"em": MARY}, here=denied)
    just_now = (NOW_S - 60) * SECOND
    world.add("m8", ("missing", "just_made"), there={"created_at": just_now})
    world.add("m9", ("missing", "not_delivered"), there={})
    # What never became an order is not missed.
    world.add("m10", there={"state": "failed"})


def plant_extra(world: World) -> None:
    world.add("x1", ("extra", "test"), there={"is_test": True}, here=world.bought("x1"))
    world.add("x2", ("extra", "failed"), there={"state": "failed"}, here=world.bought("x2"))
    here = world.bought("order-7003")
    world.add("7003", ("extra", "spelled_otherwise"), there={}, here=here)
    draft = world.told("drafted", "x4", value=100, currency="EUR")
    world.add("x4", ("extra", "draft"), here=draft)
    elsewhere = world.bought("x5", pixel_id=OTHER_PIXEL)
    world.add("x5", ("extra", "other_pixel"), here=elsewhere)
    page = "https://staging.example/thanks"
    world.add("x6", ("extra", "other_host"), here=world.bought("x6", event_source_url=page))
    world.add("x7", ("extra", "browser_alone"), here=world.bought("x7", "browser"))
    world.add("x8", ("extra", "unknown"), here=world.bought("x8"))


def plant_doubled(world: World) -> None:
    both = world.bought("8001", "browser", event_id="a") + world.bought("#2001", "server")
    world.add("8001", ("doubled", "two_order_ids"), there={"name": "#2001"}, here=both)
    two = world.bought("d2") + world.bought("d2", pixel_id=OTHER_PIXEL)
    world.add("d2", ("doubled", "two_pixels"), there={}, here=two)
    late = world.bought("d3") + world.bought("d3", event_id="late", after=30 * DAY)
    world.add("d3", ("doubled", "beyond_28_days"), there={}, here=late)
    mary = world.bought("d4", "browser", event_id="b", user_data={"em": [MARY]})
    joe = world.bought("d4", "server", event_id="s", user_data={"em": ["0" * 64]}, after=SECOND)
    world.add("d4", ("doubled", "two_persons"), there={}, here=mary + joe)
    server = world.bought("d5", "server")
    browser = world.bought(None, "browser", event_id="random", user_data={"ct": ["1" * 64]})
    world.add("d5", ("doubled", "no_order_id"), there={}, here=server + browser)


def plant_values(world: World) -> None:
    costs = {"tax": "16", "shipping": "5", "discount": "10"}
    cases = {
        "hundredfold": (10_000, {}),
        "tax": (84, costs),
        "shipping": (95, costs),
        "tax_and_shipping": (79, costs),
        "discount": (110, costs),
        "rounding": (99.98, {}),
        "unknown": (42, costs),
        "customers_currency": (
            108,
            {"presentment_total": "108", "presentment_currency": "USD"},
        ),
    }
    for why, (value, there) in cases.items():
        here = world.bought(f"v.{why}", value=value)
        world.add(f"v.{why}", ("value_differs", why), there=there, here=here)
    here = world.seen("v.none", currency="EUR")
    world.add("v.none", ("value_differs", "no_value"), there={}, here=here)
    # Here the value was sent after the refund, and then the refund was told too.
    here = world.bought("v.refund", value=70)
    here += world.told("refunded", "v.refund", value=30, message_id="r")
    world.add("v.refund", ("value_differs", "refund"), there={"refunded": "30"}, here=here)
    here = world.bought("v.net") + world.told("refunded", "v.net", value=30, message_id="r")
    there = {"total": "70", "refunded": "30"}
    world.add("v.net", ("value_differs", "refund_in_total"), there=there, here=here)


def plant_currencies(world: World) -> None:
    presented = {"presentment_total": "108", "presentment_currency": "USD"}
    cases = {
        "customers_currency": (108, "USD", presented),
        "same_amount": (100, "USD", {}),
        "unknown": (91, "CHF", presented),
    }
    for why, (value, currency, there) in cases.items():
        here = world.bought(f"c.{why}", value=value, currency=currency)
        world.add(f"c.{why}", ("currency_differs", why), there=there, here=here)
    here = world.seen("c.none", value="100")
    world.add("c.none", ("currency_differs", "no_currency"), there={}, here=here)


def plant_states(world: World) -> None:
    here = world.bought("s.cancelled")
    there = {"state": "cancelled"}
    world.add("s.cancelled", ("status_differs", "cancelled"), there=there, here=here)
    here = world.bought("s.refunded") + world.told("refunded", "s.refunded", value=10)
    there = {"refunded": "30"}
    world.add("s.refunded", ("status_differs", "refunded"), there=there, here=here)
    here = world.told("cash_on_delivery", "s.paid", value=100, currency="EUR")
    world.add("s.paid", ("status_differs", "paid"), there={}, here=here)
    here = world.told("cash_on_delivery", "s.refused", value=100, currency="EUR")
    here += world.told("refused", "s.refused", SECOND)
    world.add("s.refused", ("status_differs", "refused_here"), there={}, here=here)
    here = world.bought("s.gone") + world.told("cancelled", "s.gone", SECOND)
    world.add("s.gone", ("status_differs", "cancelled_here"), there={}, here=here)
    here = world.bought("s.back") + world.told("refunded", "s.back", value=10)
    world.add("s.back", ("status_differs", "refunded_here"), there={}, here=here)


def plant_agreeing(world: World) -> None:
    """What differs in form only."""
    world.add("5001", there={}, here=world.bought("5001"))
    world.add("5002", there={"name": "#1002"}, here=world.bought("#1002"))
    world.add("5003", there={"name": "#1003"}, here=world.bought("1003"))
    world.add("5004", there={}, here=world.bought("gid://shopify/Order/5004"))
    gone = world.bought("5005") + world.told("cancelled", "5005", SECOND)
    world.add("5005", there={"state": "cancelled", "refunded": "100"}, here=gone)
    awaited = world.told("cash_on_delivery", "5006", value=100, currency="EUR")
    world.add("5006", there={"state": "pending"}, here=awaited)
    drafted = world.told("drafted", "5007", value=100, currency="EUR")
    world.add("5007", there={"state": "pending"}, here=drafted)
    # What the file does not say is not compared.
    unsaid = {"state": "", "refunded": None}
    back = world.bought("5008") + world.told("refunded", "5008", value=10)
    world.add("5008", there=unsaid, here=back)


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    made.records.append(make_record(NOON, event_name="PageView", event_id="first"))
    for plant in (
        *(plant_missing, plant_extra, plant_doubled, plant_values, plant_currencies),
        *(plant_states, plant_agreeing),
    ):
        plant(made)
    return made


@pytest.fixture(scope="module")
def desk(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("world")
    pipeline = Pipeline(folder)
    pipeline.append(world.records)
    pipeline.refresh()
    yield Desk(pipeline, folder / "staged")
    pipeline.close()


@pytest.fixture(scope="module")
def told(world: World, desk: Desk) -> Reconciliation:
    return desk.compare(world.shop, SHOP, is_whole=True)


def test_everything_planted_is_found_and_nothing_else(world: World, told: Reconciliation) -> None:
    expected = {key: reasons for key, reasons in world.expected.items() if reasons}
    assert expected == found(told)
    assert not told.agrees


def test_every_reason_is_planted_here_or_in_a_test_of_its_own(world: World) -> None:
    planted = {each for reasons in world.expected.values() for each in reasons}
    planted |= {("missing", "in_log"), ("extra", "outside_export")}
    known = {
        (finding, why)
        for finding, row in FINDINGS.items()
        for why in row.reasons
        if finding not in (*SHARES, "not_relayed")
    }
    assert known == planted


def test_what_agrees_and_what_it_was_found_by_is_counted(
    world: World, told: Reconciliation
) -> None:
    judged = world.shop
    assert len(judged) == told.orders
    wrong = {
        order.order_id
        for group in told.groups
        for order in group.listed
        if not group.is_expected and order.order_id
    }
    assert len(judged) - len(wrong) == told.agree
    assert {"EUR": sum(Decimal(order.total) for order in judged)} == told.total
    named = {name: count for name, count in told.matched_by.items() if name != "id"}
    assert {
        "digits": 1,
        "id, spelled otherwise": 1,
        "name": 1,
        "name, spelled otherwise": 1,
    } == named


def test_a_finding_says_how_much_is_lacking(told: Reconciliation) -> None:
    groups = {(group.finding, group.why): group for group in told.groups}
    assert {"EUR": Decimal(16)} == groups["value_differs", "tax"].money
    assert {"EUR": Decimal(-100)} == groups["extra", "browser_alone"].money
    assert {"EUR": Decimal(-100)} == groups["doubled", "two_order_ids"].money
    assert {"EUR": Decimal(-20)} == groups["status_differs", "refunded"].money
    assert {"EUR": Decimal(100)} == groups["missing", "not_delivered"].money
    assert 1 / told.orders == groups["missing", "not_delivered"].share


def test_details_tell_what_is_needed_to_look_further(told: Reconciliation) -> None:
    details = {
        (order.finding, order.why): order.detail for group in told.groups for order in group.listed
    }
    refused = details["missing", "refused"]
    assert refused.startswith("event_too_old at 2026-05-29 00:26:40 UTC, request 0-")
    assert refused.endswith(": event_time is 9 days old.")
    assert "event order.m4" == details["missing", "no_order_id"]
    assert "staging.example" == details["extra", "other_host"]
    assert "2 events, ids b and s" == details["doubled", "two_persons"]
    assert "ids e.d5 and random" == details["doubled", "no_order_id"]
    assert "refunded there 30.00, here 10.00" == details["status_differs", "refunded"]
    assert "there cancelled, here sale" == details["status_differs", "cancelled"]
    assert f"pixels 1000000000000001 and {OTHER_PIXEL}" in details["doubled", "two_pixels"]


def test_who_reported_the_orders_is_told_in_shares(told: Reconciliation) -> None:
    groups = {group.finding: group for group in told.groups if group.finding in SHARES}
    ids = {name: {order.order_id for order in row.listed} for name, row in groups.items()}
    assert {"d5"} == ids["server_only"]
    assert {"8001", "v.none", "c.none"} == ids["browser_only"]
    assert {"s.paid", "s.refused", "5006", "5007"} == ids["no_purchase"]
    assert all(group.is_expected for group in groups.values())


def test_a_log_that_cannot_be_loaded_may_hold_what_is_missing(world: World, desk: Desk) -> None:
    told = desk.compare(world.shop, SHOP, "log/0 is damaged.", is_whole=True)
    assert {("missing", "in_log")} == found(told)["m9"]


def test_what_lies_outside_of_an_export_is_not_called_extra(world: World, desk: Desk) -> None:
    """A file ends in the middle of its last day."""
    early = [order for order in world.shop if order.order_id == "5001"]
    assert {} == found(desk.compare(early))
    told = desk.compare(early, since=date(2026, 5, 20), until=date(2026, 6, 10))
    assert {("extra", "outside_export")} == found(told)["x8"]
    assert told.agrees


def test_days_are_the_accounts(world: World, desk: Desk) -> None:
    # NOON is at 22:26 in Berlin; two hours later it is the next day there.
    day = date(2026, 5, 29)
    told = desk.compare(world.shop, SHOP, is_whole=True, since=day, until=day)
    assert told.since is not None
    assert told.until is not None
    assert ("2026-05-29T00:00:00+02:00", "2026-05-30T00:00:00+02:00") == (
        told.since.isoformat(),
        told.until.isoformat(),
    )
    assert "m6" not in found(told)
    assert {("missing", "refused")} == found(told)["m3"]


def test_orders_that_agree_are_all_right(world: World, desk: Desk) -> None:
    fine = [order for order in world.shop if not world.expected[order.order_id]]
    told = desk.compare([order for order in fine if order.state != "failed"], is_whole=False)
    assert (8, 8) == (told.orders, told.agree)


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    try:
        desk = Desk(pipeline, tmp_path / "staged")
        nothing = desk.compare([])
        assert (0, None, True) == (nothing.orders, nothing.since, nothing.agrees)
        told = desk.compare([ShopOrder("1", NOON, "5", "EUR")])
        assert {"1": {("missing", "not_delivered")}} == found(told)
    finally:
        pipeline.close()


def test_numbers_that_are_ids_of_other_orders_do_not_mislead(tmp_path: Path) -> None:
    """WooCommerce with a plug-in for numbers: the site sends numbers, which are ids of others."""
    pipeline = Pipeline(tmp_path)
    try:
        world = World()
        for number in range(1001, 1013):
            here = world.bought(str(number), value=float(number))
            fields = {"name": str(number), "total": str(number)}
            world.add(str(number + 4), there=fields, here=here)
        pipeline.append(world.records)
        pipeline.refresh()
        told = Desk(pipeline, tmp_path / "staged").compare(world.shop)
        assert {} == found(told)
        assert {"name": 12} == told.matched_by
    finally:
        pipeline.close()


def test_lines_of_one_order_are_one_order(desk: Desk, world: World) -> None:
    (order,) = [order for order in world.shop if order.order_id == "5001"]
    assert 1 == desk.compare([order, order, order]).orders


def test_many_orders_are_listed_up_to_the_limit(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    try:
        pipeline.append([make_record(NOON - DAY, **make_event(event_name="PageView"))])
        pipeline.refresh()
        desk = Desk(pipeline, tmp_path / "staged")
        many = [
            ShopOrder(str(n), NOON + n * SECOND, "1.5", "EUR" if n % 2 else "USD")
            for n in range(5000)
        ]
        (group,) = desk.compare(many, limit=3).groups
        assert (5000, 3) == (group.orders, len(group.listed))
        assert {"EUR": Decimal(3750), "USD": Decimal(3750)} == group.money
        assert ["4999", "4998", "4997"] == [order.order_id for order in group.listed]
    finally:
        pipeline.close()
