"""Funnels, cohorts, new and returning customers, and what the server's copies brought."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.catalog import ReportRules
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import SenderError
from doublet.reports.cohorts import CohortsAsked, cohorts
from doublet.reports.funnels import STEPS, FunnelAsked, funnels
from doublet.reports.new_returning import NewReturningAsked, new_returning
from doublet.reports.server_extra import ServerExtraAsked, server_extra
from tests.reports.world import DAY_S, RATES, SHOP, WORLDS, World, fill, random_world

TODAY = date(2026, 8, 1)
ZERO = Decimal(0)


# --- funnels ---------------------------------------------------------------------------------


def depths(world: World, steps: tuple[str, ...], window_s: int) -> dict[int, int]:
    """How far each person comes, by trying every first step and taking each next one as early as
    can be."""
    events: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for event in world.conversions:
        if event["person_id"] is not None:
            events[event["person_id"]].append((event["event_time"], event["event_name"]))
    found = {}
    for person, own in events.items():
        best = 0
        for entered in (time for time, name in own if name == steps[0]):
            depth, at = 1, entered
            for step in steps[1:]:
                later = [
                    t for t, name in own if name == step and t >= at and t - entered <= window_s
                ]
                if not later:
                    break
                depth, at = depth + 1, min(later)
            best = max(best, depth)
        if best:
            found[person] = best
    return found


def test_a_funnel_counts_persons_in_order(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, "meta")
    for person, names in {1: STEPS, 2: STEPS[:2], 3: (STEPS[1], STEPS[0])}.items():
        for n, name in enumerate(names):
            world.convert(person, 60 * (n + 1), event_name=name)
    world.convert(None, 60, event_name=STEPS[0])
    fill(engine, world)
    report = funnels(engine, SHOP, RATES, FunnelAsked())
    assert [3, 2, 1, 1] == [row.persons for row in report.rows]
    assert [1, 1, 0, 0] == [row.lost for row in report.rows]
    assert [0, 60, 120, 180] == [row.median_s for row in report.rows]
    assert (3, 1, 1) == (report.persons, report.completed, report.without_person)
    by_channel = funnels(engine, SHOP, RATES, FunnelAsked(by="channel"))
    assert [(None, 2), (None, 1), (None, 0), (None, 0)] == [
        (row.channel, row.persons) for row in by_channel.rows[:4]
    ]
    assert [("meta", 1)] * 4 == [(row.channel, row.persons) for row in by_channel.rows[4:]]


def test_a_later_attempt_may_go_further(engine: DuckDBEngine) -> None:
    world = World()
    world.convert(1, 0, event_name="ViewContent")
    world.convert(1, 2 * DAY_S, event_name="ViewContent")
    world.convert(1, 2 * DAY_S + 60, event_name="AddToCart")
    fill(engine, world)
    asked = FunnelAsked(event_name=STEPS[:2], days=1)
    assert [1, 1] == [row.persons for row in funnels(engine, SHOP, RATES, asked).rows]


@WORLDS
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 7, 40]),
    st.permutations(STEPS),
    st.integers(2, 4),
)
def test_funnels_are_those_of_trying_every_start(
    engine: DuckDBEngine, seed: int, days: int, order: list[str], count: int
) -> None:
    world = random_world(seed, events=150)
    fill(engine, world)
    steps = tuple(order[:count])
    expected = list(depths(world, steps, days * DAY_S).values())
    report = funnels(engine, SHOP, RATES, FunnelAsked(event_name=steps, days=days))
    reached = [sum(depth > n for depth in expected) for n in range(count)]
    assert reached == ([row.persons for row in report.rows] or [0] * count)
    by_channel = funnels(
        engine, SHOP, RATES, FunnelAsked(event_name=steps, days=days, by="channel")
    )
    for step in range(count):
        of_step = [row.persons for row in by_channel.rows if row.step == step + 1]
        assert reached[step] == sum(of_step)
    assert (report.persons, report.completed) == (by_channel.persons, by_channel.completed)


@pytest.mark.parametrize(
    ("steps", "word"),
    [(("Purchase",), "1 steps"), (("Lead", "Lead"), "twice"), (("PageView", "Lead"), "PageView")],
)
def test_what_is_no_funnel_is_refused(steps: tuple[str, ...], word: str) -> None:
    with pytest.raises(SenderError, match=word):
        FunnelAsked(event_name=steps).check()


# --- customers -------------------------------------------------------------------------------


def bought(world: World) -> list[dict[str, Any]]:
    """The purchases of a world as the ledger counts them, oldest first."""
    ledger = {order["order_id"]: order for order in world.orders}
    found, seen = [], set()
    events = [event for event in world.conversions if event["event_name"] == "Purchase"]
    for event in sorted(events, key=lambda event: (event["event_time"], event["event_key"])):
        order_id = event.get("order_id")
        order = ledger.get(order_id)
        if order_id in seen or (order and order["state"] == "pending"):
            continue
        if order_id:
            seen.add(order_id)
        day = datetime.fromtimestamp(event["event_time"], ZoneInfo(SHOP.time_zone)).date()
        rate = RATES.rate(day, event["currency"] or "")
        own = (event["value"] or ZERO) * (rate or ZERO)
        net = order["net"] if order else own.quantize(Decimal("0.0001"))
        found.append({"person": event["person_id"], "day": day, "net": net})
    return found


def test_customers_are_followed_however_the_account_counts(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0)
    for n in range(3):
        world.convert(1, 60 + n * 40 * DAY_S)
    fill(engine, world)
    first = ReportRules(count="first")
    returning = new_returning(engine, SHOP, RATES, NewReturningAsked().under(first))
    assert (1, 2) == (returning.new_orders, returning.returning_orders)
    months = cohorts(engine, SHOP, RATES, CohortsAsked(today=date(2026, 8, 31)).under(first))
    assert 3 == months.orders
    with pytest.raises(SenderError):
        CohortsAsked(first=True).check()


def test_cohorts_follow_customers(engine: DuckDBEngine) -> None:
    world = World()
    world.convert(1, 0, "10")
    world.convert(2, 60, "20", order_id="a")
    world.convert(2, 120, "20", order_id="a")
    world.convert(1, 10 * DAY_S, "5")
    world.convert(3, 40 * DAY_S, "7")
    world.convert(None, 0, "1")
    world.order("a", "20", 60, refunds=Decimal(8))
    fill(engine, world)
    report = cohorts(engine, SHOP, RATES, CohortsAsked(today=date(2026, 7, 31)))
    assert [
        (date(2026, 5, 1), 0, 2, 2, Decimal(22), Decimal(11), True),
        (date(2026, 5, 1), 1, 1, 1, Decimal(5), Decimal("13.5"), True),
        (date(2026, 5, 1), 2, 0, 0, ZERO, Decimal("13.5"), False),
        (date(2026, 7, 1), 0, 1, 1, Decimal(7), Decimal(7), False),
    ] == [
        (r.cohort, r.period, r.retained, r.orders, r.value, r.lifetime_value, r.is_complete)
        for r in report.rows
    ]
    assert (3, 4, 1) == (report.persons, report.orders, report.purchases_without_person)
    assert date(2026, 5, 28) == report.known_since
    weeks = cohorts(engine, SHOP, RATES, CohortsAsked(by="week", today=date(2026, 6, 14)))
    assert {0} == {row.cohort.weekday() for row in weeks.rows}
    assert [(0, 2), (1, 1), (2, 0)] == [(r.period, r.retained) for r in weeks.rows[:3]]
    july = CohortsAsked(since=date(2026, 7, 1), today=date(2026, 7, 31))
    assert [date(2026, 7, 1)] == [r.cohort for r in cohorts(engine, SHOP, RATES, july).rows]


@WORLDS
@given(st.integers(0, 10**6), st.sampled_from(["week", "month"]))
def test_cohorts_add_up_to_what_customers_bought(engine: DuckDBEngine, seed: int, by: Any) -> None:
    world = random_world(seed, events=150)
    fill(engine, world)
    known = [purchase for purchase in bought(world) if purchase["person"] is not None]
    report = cohorts(engine, SHOP, RATES, CohortsAsked(by=by, today=TODAY))
    assert len({purchase["person"] for purchase in known}) == report.persons
    assert len(known) == report.orders == sum(row.orders for row in report.rows)
    assert sum((p["net"] for p in known), ZERO) == report.value
    assert all(row.retained <= row.persons and row.retained <= row.orders for row in report.rows)
    for cohort in {row.cohort for row in report.rows}:
        own = [row for row in report.rows if row.cohort == cohort]
        assert list(range(len(own))) == [row.period for row in own]
        assert own[0].retained == own[0].persons
        per_person = sum((row.value for row in own), ZERO) / own[0].persons
        assert abs(per_person - own[-1].lifetime_value) <= Decimal("0.0001")


@WORLDS
@given(st.integers(0, 10**6), st.sampled_from(["day", "week", "month"]))
def test_new_customers_are_those_not_seen_before(engine: DuckDBEngine, seed: int, by: Any) -> None:
    world = random_world(seed, events=150)
    fill(engine, world)
    known = bought(world)
    report = new_returning(engine, SHOP, RATES, NewReturningAsked(by=by))
    persons = {purchase["person"] for purchase in known} - {None}
    assert len(persons) == report.new_orders
    assert len(known) == report.new_orders + report.returning_orders + report.unknown_orders
    assert sum((p["net"] for p in known), ZERO) == (
        report.new_value + report.returning_value + report.unknown_value
    )
    for name in ("new_orders", "returning_orders", "unknown_orders", "new_value", "unknown_value"):
        assert getattr(report, name) == sum(getattr(row, name) for row in report.rows)
    # The days of a part are those of the whole, whatever came before.
    day = date(2026, 6, 10)
    part = new_returning(engine, SHOP, RATES, NewReturningAsked(since=day, until=day))
    whole = new_returning(engine, SHOP, RATES, NewReturningAsked())
    assert part.rows == [row for row in whole.rows if row.starts == day]


def test_new_and_returning_by_day(engine: DuckDBEngine) -> None:
    world = World()
    world.convert(1, 0, "10")
    world.convert(1, 60, "1", order_id="a")
    world.convert(None, 120, "3")
    world.order("a", "1", cancelled=Decimal(1))
    fill(engine, world)
    (row,) = new_returning(engine, SHOP, RATES, NewReturningAsked()).rows
    assert (date(2026, 5, 28), 1, 1, 1, 0.5) == (
        row.starts,
        row.new_orders,
        row.returning_orders,
        row.unknown_orders,
        row.new_share,
    )
    assert (Decimal(10), ZERO, Decimal(3)) == (
        row.new_value,
        row.returning_value,
        row.unknown_value,
    )


def test_persons_that_are_one_by_now_are_one_customer(engine: DuckDBEngine) -> None:
    world = World()
    world.convert(1, 0, "10")
    world.convert(2, 60, "10")
    fill(engine, world)
    assert 2 == new_returning(engine, SHOP, RATES, NewReturningAsked()).new_orders
    world.persons += [
        {"account_id": SHOP.account_id, "person_id": 2, "root_id": 1},
        {"account_id": "act_other", "person_id": 1, "root_id": 7},
    ]
    fill(engine, world)
    report = new_returning(engine, SHOP, RATES, NewReturningAsked())
    assert (1, 1) == (report.new_orders, report.returning_orders)


# --- the server's copies ---------------------------------------------------------------------


def test_what_only_the_server_saw_is_extra(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, campaign_id="7")
    world.ads.append(
        {
            "account_id": SHOP.account_id,
            "platform": "meta",
            "level": "campaign",
            "campaign_id": "7",
            "campaign_name": "X",
        }
    )
    world.convert(1, 60, "10")
    world.convert(1, 61, "20", browser_copies=0)
    world.convert(2, 62, "5", browser_copies=0)
    world.convert(2, 63, "1", server_copies=0)
    fill(engine, world)
    (row,) = server_extra(engine, SHOP, RATES, ServerExtraAsked()).rows
    assert ("Purchase", 4, 2, 0.5, 1, 1) == (
        row.event_name,
        row.conversions,
        row.extra,
        row.share,
        row.extra_attributed,
        row.extra_unattributed,
    )
    assert (Decimal(36), Decimal(25), Decimal(20), Decimal(5)) == (
        row.value,
        row.extra_value,
        row.extra_attributed_value,
        row.extra_unattributed_value,
    )
    campaigns = server_extra(engine, SHOP, RATES, ServerExtraAsked(by="campaign")).rows
    assert [("meta", "X", 2, 1), (None, None, 2, 1)] == [
        (row.channel, row.campaign_name, row.conversions, row.extra) for row in campaigns
    ]


@WORLDS
@given(st.integers(0, 10**6), st.sampled_from(["7d_click,1d_ev,1d_view", "1d_click", "1d_view"]))
def test_extra_conversions_add_up_by_whatever(
    engine: DuckDBEngine, seed: int, setting: str
) -> None:
    world = random_world(seed)
    fill(engine, world)
    reports = [
        server_extra(engine, SHOP, RATES, ServerExtraAsked(by=by, setting=setting))
        for by in ("name", "channel", "campaign")
    ]
    sums = []
    for report in reports:
        for name in ("conversions", "extra", "extra_attributed", "value", "extra_value"):
            assert getattr(report, name) == sum(getattr(row, name) for row in report.rows)
        assert report.extra == report.extra_attributed + report.extra_unattributed
        sums.append((report.conversions, report.extra, report.extra_attributed, report.value))
    assert 1 == len(set(sums))
    purchases = [e for e in world.conversions if e["event_name"] == "Purchase"]
    assert len(purchases) == sums[0][0]
    assert sums[0][1] == sum(e["browser_copies"] == 0 for e in purchases)
