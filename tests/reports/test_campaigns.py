"""What campaigns cost and brought: by hand, and sums that hold on whatever there is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.cli.attribution_tables import print_answer
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import SenderError
from doublet.reports.campaigns import (
    CampaignRow,
    CampaignsAsked,
    CampaignsReport,
    campaigns,
    result_rows,
)
from doublet.reports.credit import LEVELS, Level
from doublet.reports.new_returning import NewReturningAsked, new_returning
from doublet.reports.refunds import RefundsAsked, refunds
from tests.reports.tables import COUNTED, UNCOUNTED, insert
from tests.reports.world import DAY_S, RATES, SHOP, START, WORLDS, World, fill, random_world

ZERO = Decimal(0)
ACCOUNT = {"account_id": SHOP.account_id, "platform": "meta"}


def by_window(row: CampaignRow) -> dict[str, Any]:
    return {result.window: result.conversions for result in row.results}


def advertised() -> World:
    """A campaign with an ad, by whose click and view persons came, and a click that names none."""
    world = World()
    ids = {"campaign_id": "7", "adset_id": "70", "ad_id": "700"}
    names = {"campaign_name": "Spring", "adset_name": "All", "ad_name": "Red"}
    world.ads += [
        {**ACCOUNT, "level": "campaign", "campaign_id": "7", "campaign_name": "Spring"},
        {**ACCOUNT, "level": "ad", **ids, **names},
    ]
    world.ad_days += [
        {
            **ACCOUNT,
            "level": "ad",
            **ids,
            "date": date(2026, 5, 29),
            "impressions": 1000,
            "clicks": 20,
            "spend": Decimal(12),
            "currency": "EUR",
            **COUNTED,
        },
        {
            **ACCOUNT,
            "level": "campaign",
            "campaign_id": "7",
            "date": date(2026, 5, 29),
            "spend": Decimal(12),
            "currency": "EUR",
            **UNCOUNTED,
        },
    ]
    # An address names the ad alone; a log names all. The third click names nothing.
    world.touch(1, 0, "facebook / cpc", platform=None, ad_id="700")
    world.touch(2, 0, "meta", kind="view", **ids)
    world.touch(3, 0, "meta")
    world.convert(1, 60, "30")
    world.convert(1, 10 * DAY_S, "10")
    world.convert(2, 120, "20")
    world.convert(3, 180, "40")
    world.convert(4, 240, "50")
    return world


def test_a_campaign_has_spend_and_results_side_by_side(engine: DuckDBEngine) -> None:
    fill(engine, advertised())
    report = campaigns(engine, SHOP, RATES, CampaignsAsked())
    spring, unnamed, nobody = report.rows
    assert ("meta", "7", "Spring", Decimal(12), 1000, 20) == (
        spring.channel,
        spring.campaign_id,
        spring.campaign_name,
        spring.spend,
        spring.impressions,
        spring.clicks,
    )
    assert {
        "default": 2,
        "1d_click": 1,
        "7d_click": 1,
        "28d_click": 2,
        "1d_ev": 0,
        "1d_view": 1,
    } == by_window(spring)
    whole = spring.results[0]
    assert (Decimal(50), Decimal(6), 4.1667) == (whole.value, whole.cost_per_action, whole.roas)
    assert ("meta", None, 1) == (
        unnamed.channel,
        unnamed.campaign_id,
        by_window(unnamed)["default"],
    )
    assert (False, None, 2) == (nobody.is_attributed, nobody.channel, by_window(nobody)["default"])
    assert nobody.results[0].cost_per_action is None
    assert 5 == by_window(report.total)["default"]
    assert [Decimal(3), Decimal(2)] == [report.attributed, report.with_ad]
    assert 0.666667 == report.with_ad_share
    (ad,) = [
        row for row in campaigns(engine, SHOP, RATES, CampaignsAsked(level="ad")).rows if row.ad_id
    ]
    assert ("7", "70", "700", "Red", 2) == (
        ad.campaign_id,
        ad.adset_id,
        ad.ad_id,
        ad.ad_name,
        by_window(ad)["default"],
    )


def test_what_only_an_ad_log_tells_was_delivered_too(engine: DuckDBEngine) -> None:
    world = advertised()
    fill(engine, world)
    log = {"account_id": SHOP.account_id, "origin": "ad_log", "platform": "meta"}
    shown = {**log, "kind": "view", "touched_time": START}
    views = [{**shown, "campaign_id": "9", "ad_id": "900", "event_key": n} for n in range(3)]
    clicks = [{**views[0], "kind": "click", "event_key": 7}]
    # Of this ad the platform reports the day itself.
    day_s = START + DAY_S // 2
    reported = [{**shown, "ad_id": "700", "event_key": 8, "touched_time": day_s}]
    insert(engine, "touches", [*views, *clicks, *reported])
    levels: list[tuple[Level, Any]] = [
        ("ad", ("9", "900")),
        ("campaign", ("9", None)),
        ("channel", (None, None)),
    ]
    for level, ids in levels:
        report = campaigns(engine, SHOP, RATES, CampaignsAsked(level=level))
        assert (1003, 21, Decimal(12)) == totals(report)[0]
        logged = [row for row in report.rows if (row.campaign_id, row.ad_id) == ids]
        if level != "channel":
            assert [(3, 1)] == [(row.impressions, row.clicks) for row in logged]
    with engine.transaction() as tx:
        tx.run("delete from touches")


def test_what_nobody_outside_can_see_is_no_zero(engine: DuckDBEngine) -> None:
    world = advertised()
    world.touches = [touch for touch in world.touches if touch["kind"] == "click"]
    for row in world.conversions:
        row["view_time"] = None
    fill(engine, world)
    report = campaigns(engine, SHOP, RATES, CampaignsAsked())
    spring = report.rows[0]
    unseen = {result.window for result in spring.results if not result.is_observable}
    assert {"1d_view", "1d_ev"} == unseen
    assert by_window(spring)["1d_view"] is None
    assert ["meta"] == report.not_observable


@pytest.mark.parametrize("named_by", ["campaign_id", "adset_id", "ad_id"])
def test_a_log_of_one_campaign_says_nothing_of_the_others(
    engine: DuckDBEngine, named_by: str
) -> None:
    """A touch may name the campaign, or only an ad or ad set of it."""
    world = advertised()
    ids = {"campaign_id": "8", "adset_id": "80", "ad_id": "800"}
    world.ads += [
        {**ACCOUNT, "level": "adset", "campaign_id": "8", "adset_id": "80"},
        {**ACCOUNT, "level": "ad", **ids},
    ]
    world.touches = [touch for touch in world.touches if touch["kind"] == "click"]
    for row in world.conversions:
        row["view_time"] = None
    world.touch(9, 0, "meta", kind="view", **{named_by: ids[named_by]})
    world.touch(5, 0, "meta", campaign_id="8")
    world.convert(5, 60, "5")
    fill(engine, world)

    def observable(level: Level) -> dict[str | None, bool]:
        found = {}
        for row in campaigns(engine, SHOP, RATES, CampaignsAsked(level=level)).rows:
            if row.channel == "meta":
                (of_views,) = (r for r in row.results if r.window == "1d_view")
                found[row.campaign_id] = of_views.is_observable
        return found

    assert {"7": False, "8": True, None: False} == observable("campaign")
    assert {None: True} == observable("channel")


def test_a_narrower_setting_leaves_more_to_nobody(engine: DuckDBEngine) -> None:
    fill(engine, advertised())
    asked = CampaignsAsked(setting="1d_click", window=("default", "1d_view"))
    report = campaigns(engine, SHOP, RATES, asked)
    assert ["default", "1d_view"] == [result.window for result in report.rows[0].results]
    assert [1, 0] == [result.conversions for result in report.rows[0].results]
    assert [3, 5] == [result.conversions for result in report.rows[-1].results]


def test_money_without_a_rate_is_named_and_left_out(engine: DuckDBEngine) -> None:
    world = advertised()
    world.ad_days[0]["currency"] = "JPY"
    world.convert(1, 61, "9", currency="CHF")
    fill(engine, world)
    report = campaigns(engine, SHOP, RATES, CampaignsAsked())
    assert ["CHF", "JPY"] == report.without_rate
    assert [ZERO, Decimal(3)] == [report.rows[0].spend, report.rows[0].results[0].conversions]


@pytest.mark.parametrize(
    "asked",
    [CampaignsAsked(window=("3d_click",)), CampaignsAsked(setting="7d"), CampaignsAsked(model=())],
)
def test_what_cannot_be_meant_is_refused(asked: CampaignsAsked) -> None:
    with pytest.raises(SenderError):
        asked.check()


def totals(report: CampaignsReport) -> list[tuple[Any, ...]]:
    total = report.total
    return [(total.impressions, total.clicks, total.spend)] + [
        (result.model, result.window, result.conversions, result.value) for result in total.results
    ]


@WORLDS
@given(
    st.integers(0, 10**6),
    st.sampled_from(["7d_click,1d_ev,1d_view", "28d_click,1d_view", "1d_click", "1d_ev"]),
    st.booleans(),
)
def test_every_total_is_the_sum_of_its_rows(
    engine: DuckDBEngine, seed: int, setting: str, first: bool
) -> None:
    world = random_world(seed)
    fill(engine, world)
    found = []
    for level in LEVELS:
        asked = CampaignsAsked(level=level, setting=setting, first=first)
        report = campaigns(engine, SHOP, RATES, asked)
        found.append(totals(report))
        for n, total in enumerate(report.total.results):
            own = [row.results[n] for row in report.rows]
            assert total.conversions == sum((r.conversions or ZERO for r in own), ZERO)
            assert total.value == sum((r.value or ZERO for r in own), ZERO)
        assert report.total.spend == sum(row.spend for row in report.rows)
        assert len(report.rows) * 6 == len(result_rows(report))
        if not first:
            purchases = [e for e in world.conversions if e["event_name"] == "Purchase"]
            assert {len(purchases)} == {r.conversions for r in report.total.results}
        for row in report.rows:
            if row.is_attributed:
                _parts_are_the_whole(by_window(row), setting)
    assert all(other == found[0] for other in found)


def _parts_are_the_whole(windows: dict[str, Any], setting: str) -> None:
    """A setting is the sum of its click window and what it leaves to both kinds of views."""
    clicks = next((word for word in setting.split(",") if word.endswith("click")), "")
    parts = [windows[clicks] if clicks else ZERO, windows["1d_ev"], windows["1d_view"]]
    assert windows["default"] == sum((part or ZERO for part in parts), ZERO)


# --- refunds ---------------------------------------------------------------------------------


def test_refunds_belong_to_the_campaign_that_brought_the_order(engine: DuckDBEngine) -> None:
    world = advertised()
    for n, event in enumerate(world.conversions):
        event["order_id"] = f"o{n}" if n < 4 else None
    # 60 days later, money goes back.
    world.order("o0", "30", 60, refunds=Decimal(12))
    world.order("o1", "10", 10 * DAY_S)
    world.order("o2", "20", 120, state="cancelled", cancelled=Decimal(20))
    world.order("o3", "0", 180, state="pending")
    fill(engine, world)
    report = refunds(engine, SHOP, RATES, RefundsAsked())
    spring, nobody = report.rows
    assert ("Spring", 2, 1, 1, 0) == (
        spring.campaign_name,
        spring.orders,
        spring.refunded_orders,
        spring.cancelled_orders,
        spring.without_ledger,
    )
    assert (Decimal(50), Decimal(12), Decimal(20), Decimal(18), 0.64) == (
        spring.gross,
        spring.refunds,
        spring.cancelled,
        spring.net,
        spring.returned_share,
    )
    assert (False, 2, Decimal(60), 1) == (
        nobody.is_attributed,
        nobody.orders,
        nobody.net,
        nobody.without_ledger,
    )
    late = RefundsAsked(since=date(2026, 6, 1))
    assert [1] == [row.orders for row in refunds(engine, SHOP, RATES, late).rows]


def test_an_order_refunded_in_part_and_then_cancelled_went_back_once(
    engine: DuckDBEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.touch(1, 0, "meta", campaign_id="7")
    world.convert(1, 60, "30", order_id="a")
    world.convert(1, 90, "10", order_id="b")
    world.order("a", "30", 60, state="cancelled", refunds=Decimal(5), cancelled=Decimal(25))
    world.order("b", "10", 90)
    fill(engine, world)
    report = refunds(engine, SHOP, RATES, RefundsAsked())
    total = report.total
    assert (2, 1, 1, 1) == (
        total.orders,
        total.refunded_orders,
        total.cancelled_orders,
        total.returned_orders,
    )
    print_answer("refunds", report)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "total" in line)
    assert ["2", "1"] == line.replace("│", " ").split()[1:3]


@WORLDS
@given(st.integers(0, 10**6), st.sampled_from(["7d_click,1d_ev,1d_view", "1d_click"]))
def test_refunds_add_up_at_every_level(engine: DuckDBEngine, seed: int, setting: str) -> None:
    world = random_world(seed, events=120)
    fill(engine, world)
    found = []
    for level in LEVELS:
        report = refunds(engine, SHOP, RATES, RefundsAsked(level=level, setting=setting))
        for name in ("orders", "refunded_orders", "gross", "refunds", "cancelled", "net"):
            assert getattr(report.total, name) == sum(getattr(row, name) for row in report.rows)
        total = report.total
        assert total.net == total.gross - total.refunds - total.cancelled
        found.append((total.orders, total.gross, total.refunds, total.cancelled, total.net))
    assert all(other == found[0] for other in found)
    known = new_returning(engine, SHOP, RATES, NewReturningAsked())
    orders = known.new_orders + known.returning_orders + known.unknown_orders
    assert (orders, known.new_value + known.returning_value + known.unknown_value) == (
        found[0][0],
        found[0][-1],
    )


def test_rows_beneath_one_campaign_are_those_of_the_whole_report(engine: DuckDBEngine) -> None:
    fill(engine, random_world(5, events=200))
    models: dict[str, Any] = {"window": ("default",), "model": ("last_touch", "markov")}
    whole = campaigns(engine, SHOP, RATES, CampaignsAsked(level="ad", **models))
    one = CampaignsAsked(level="ad", campaign_id="c1", **models)
    report = campaigns(engine, SHOP, RATES, one)
    assert [row for row in whole.rows if row.campaign_id == "c1"] == report.rows
    assert len(report.rows) > 1
    assert all(row.is_attributed for row in report.rows)
    assert sum(row.spend for row in report.rows) == report.total.spend
    assert report.attributed == sum(row.results[0].conversions or 0 for row in report.rows)
    assert report.attributed == report.total.results[0].conversions
    channel = campaigns(engine, SHOP, RATES, CampaignsAsked(channel="meta", **models))
    assert {"meta"} == {row.channel for row in channel.rows}


@pytest.mark.parametrize(
    ("level", "beneath"),
    [("account", "channel"), ("channel", "campaign_id"), ("campaign", "adset_id")],
)
def test_what_a_level_does_not_know_cannot_be_asked_of_it(level: Level, beneath: str) -> None:
    asked = msgspec.structs.replace(CampaignsAsked(level=level), **{beneath: "1"})
    with pytest.raises(SenderError, match=f"have no {beneath}"):
        asked.check()
