"""What changes with the window: by hand, and the same as the report of campaigns."""

from __future__ import annotations

from decimal import Decimal

from doublet.engine.duckdb import DuckDBEngine
from doublet.reports.campaigns import CampaignsAsked, campaigns
from doublet.reports.window_changes import WindowsAsked, window_changes
from tests.reports.world import DAY_S, RATES, SHOP, World, fill, random_world


def told(engine: DuckDBEngine, world: World) -> list[tuple[str, str, object, str]]:
    fill(engine, world)
    report = window_changes(engine, SHOP, RATES, WindowsAsked())
    return [
        (change.before, change.after, change.conversions, change.meaning)
        for change in report.changes
    ]


def test_each_wider_window_says_what_it_adds(engine: DuckDBEngine) -> None:
    world = World()
    for person, days in ((1, 0), (2, 0), (3, 3), (4, 10)):
        world.touch(person, 0, campaign_id="7")
        world.convert(person, days * DAY_S + 60, "30")
    world.touch(5, 0, campaign_id="7", kind="view")
    world.convert(5, 60, "8")
    one_to_seven, seven_to_28, views = told(engine, world)
    assert ("1d_click", "7d_click", 1) == one_to_seven[:3]
    assert (
        "Clicks claim 1 more (+50 %) when they count for 7 days in place of one day, worth 30.00 "
        "EUR: so many came between one day and 7 days after the last click on an ad."
    ) == one_to_seven[3]
    assert ("7d_click", "28d_click", 1) == seven_to_28[:3]
    assert ("clicks", "1d_view", 1) == views[:3]
    assert "Views of the last day add 1 (+33 %), worth 8.00 EUR" in views[3]


def test_nothing_more_is_said_as_such(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, campaign_id="7", kind="view")
    world.touch(1, 10, campaign_id="7")
    world.convert(1, 60, "30")
    changes = told(engine, world)
    assert [0, 0, 0] == [change[2] for change in changes]
    assert "Nothing changes between one day and 7 days" in changes[0][3]
    assert "Views add nothing" in changes[2][3]


def test_views_that_nobody_saw_are_not_counted_as_none(engine: DuckDBEngine) -> None:
    world = World()
    world.touch(1, 0, campaign_id="7")
    world.convert(1, 60, "30")
    changes = told(engine, world)
    assert changes[2][2] is None
    assert "not known here" in changes[2][3]
    report = window_changes(engine, SHOP, RATES, WindowsAsked())
    by_window = {result.window: result for result in report.claimed.results}
    assert not by_window["1d_view"].is_observable
    assert by_window["1d_view"].conversions is None
    assert Decimal(1) == by_window["7d_click"].conversions


def test_figures_are_those_of_the_report_of_campaigns(engine: DuckDBEngine) -> None:
    fill(engine, random_world(9, events=150))
    report = window_changes(engine, SHOP, RATES, WindowsAsked(level="adset"))
    same = campaigns(engine, SHOP, RATES, CampaignsAsked(level="adset"))
    assert same.rows == report.rows
    for n, claimed in enumerate(report.claimed.results):
        unclaimed = [row.results[n].conversions for row in same.rows if not row.is_attributed]
        expected = (same.total.results[n].conversions or 0) - sum(filter(None, unclaimed))
        assert (claimed.conversions or Decimal(0)) == expected


def test_an_empty_account_has_no_changes(engine: DuckDBEngine) -> None:
    assert [] == told(engine, World())
