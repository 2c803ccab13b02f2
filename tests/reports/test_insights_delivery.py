"""What insights say was delivered: a platform's own figures, and an ad log's where it has none."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from doublet.engine.duckdb import DuckDBEngine
from doublet.reports.periods import Period
from tests.reports.tables import COUNTED, UNCOUNTED, clear, insert
from tests.reports.test_insights import DAY_S, FIRST_DAY, NOON_S, ad, ask, engine

__all__ = ["engine"]


@pytest.fixture(autouse=True)
def _empty(engine: DuckDBEngine) -> None:
    clear(engine)


def test_an_imported_day_stands_in_place_of_the_log(engine: DuckDBEngine) -> None:
    logged = {"origin": "ad_log", "platform": "meta", "touched_time": NOON_S, "is_ad": True}
    insert(
        engine,
        "touches",
        [{**logged, "kind": kind, **ad(n)} for n in (0, 1) for kind in ("view", "view", "click")],
    )
    day: dict[str, Any] = {"platform": "meta", "level": "ad", "date": FIRST_DAY, "currency": "USD"}
    day |= COUNTED
    insert(
        engine,
        "ad_days",
        [{**day, "impressions": 100, "clicks": 5, "reach": 80, "spend": 3, **ad(0)}],
    )
    found = {row.place.ad_id: row for row in ask(engine, level="ad", reach=True)}
    one, other = found[ad(0)["ad_id"]], found[ad(1)["ad_id"]]
    assert (100, 5, Decimal("1.5")) == (one.impressions, one.clicks, one.spend)
    assert (2, 1, None) == (other.impressions, other.clicks, other.spend)
    (row,) = ask(
        engine, periods=[Period(FIRST_DAY, FIRST_DAY)], ad_id=ad(0)["ad_id"], reach=True, level="ad"
    )
    assert 80 == row.reach
    (row,) = ask(engine)
    assert (102, 6, Decimal("1.5")) == (row.impressions, row.clicks, row.spend)
    # A campaign's own row says nothing new where its ads have rows, and all where they have none.
    whole = {**day, "level": "campaign", "impressions": 1000, "clicks": 50, "spend": 30}
    insert(
        engine,
        "ad_days",
        [{**whole, "campaign_id": ad(0)["campaign_id"], **UNCOUNTED}],
    )
    (row,) = ask(engine)
    assert 102 == row.impressions
    insert(
        engine,
        "ad_days",
        [{**whole, "date": FIRST_DAY + timedelta(1), "campaign_id": ad(0)["campaign_id"]}],
    )
    insert(
        engine,
        "touches",
        [{**logged, "touched_time": NOON_S + DAY_S, "kind": "view", **ad(1)}],
    )
    (row,) = ask(engine)
    assert (1102, 56) == (row.impressions, row.clicks)


def test_what_a_platform_does_not_report_of_a_day_is_the_logs(engine: DuckDBEngine) -> None:
    """Spend by hand beside an ad log: of the ad that it is of, or of its campaign."""
    logged = {"origin": "ad_log", "platform": "meta", "touched_time": NOON_S, "is_ad": True}
    insert(
        engine,
        "touches",
        [{**logged, "kind": kind, **ad(0)} for kind in ("view", "view", "click")],
    )
    day = {"platform": "meta", "date": FIRST_DAY, "currency": "USD", "spend": 3, **COUNTED}
    whole = {**day, "level": "campaign", "campaign_id": ad(0)["campaign_id"]}
    for mine in ({**day, "level": "ad", **ad(0)}, whole):
        with engine.transaction() as tx:
            tx.run("delete from ad_days")
        insert(engine, "ad_days", [mine])
        (row,) = ask(engine, reach=True)
        assert (2, 1, Decimal("1.5")) == (row.impressions, row.clicks, row.spend)
        assert row.reach is not None
        # What is said stands in place of the log, what is not does not.
        with engine.transaction() as tx:
            tx.run("update ad_days set clicks = 5")
        (row,) = ask(engine)
        assert (2, 5) == (row.impressions, row.clicks)


def test_reach_is_of_persons_and_unknown_where_it_would_be_a_sum(engine: DuckDBEngine) -> None:
    logged = {"origin": "ad_log", "platform": "meta", "is_ad": True, "kind": "view"}
    views = [(1, NOON_S), (1, NOON_S + DAY_S), (2, NOON_S), (3, NOON_S)]
    insert(
        engine,
        "touches",
        [{**logged, "profile_key": key, "touched_time": at, **ad(0)} for key, at in views],
    )
    people = [(1, 1), (2, 1), (3, 3)]
    insert(engine, "profiles", [{"profile_key": key, "root_id": root} for key, root in people])
    (row,) = ask(engine, reach=True)
    assert (4, 2) == (row.impressions, row.reach)
    day: dict[str, Any] = {"platform": "meta", "level": "ad", "date": FIRST_DAY + timedelta(3)}
    day |= COUNTED
    insert(engine, "ad_days", [{**day, "impressions": 7, "clicks": 0, "reach": 5, **ad(0)}])
    (row,) = ask(engine, reach=True)
    assert (11, None) == (row.impressions, row.reach)


def test_what_views_and_clicks_cost_is_spend_where_no_day_tells_any(engine: DuckDBEngine) -> None:
    logged = {"origin": "ad_log", "platform": "doublet", "touched_time": NOON_S, "is_ad": True}
    paid = {"cost": Decimal("0.0030"), "currency": "USD"}
    insert(
        engine,
        "touches",
        [
            {**logged, **paid, "kind": "view", "placement": "feed", **ad(0)},
            {**logged, **paid, "kind": "view", "touched_time": NOON_S + DAY_S, **ad(0)},
            {**logged, "kind": "click", "cost": Decimal(2), "currency": "USD", **ad(1)},
            {**logged, "kind": "view", "cost": Decimal(9), "currency": "XXX", **ad(1)},
            {**logged, "kind": "view", **ad(2)},
        ],
    )

    def spend(**asked: Any) -> dict[str | None, Decimal | None]:
        return {row.place.ad_id: row.spend for row in ask(engine, level="ad", **asked)}

    expected = {
        ad(0)["ad_id"]: Decimal("0.0030"),
        ad(1)["ad_id"]: Decimal(1),
        ad(2)["ad_id"]: None,
    }
    assert expected == spend()
    (row,) = ask(engine, periods=[Period(FIRST_DAY, FIRST_DAY)])
    assert Decimal("1.0015") == row.spend
    by_place = {row.place.placement: row.spend for row in ask(engine, by_placement=True)}
    assert Decimal("0.0015") == by_place["feed"]
    # Spend that a platform tells of a day, by ad or as a whole, stands in place of the log's.
    day = {"platform": "doublet", "date": FIRST_DAY, "currency": "USD", "spend": 3, **COUNTED}
    insert(engine, "ad_days", [{**day, "level": "ad", **ad(0)}])
    assert expected | {ad(0)["ad_id"]: Decimal("1.5015")} == spend()
    with engine.transaction() as tx:
        tx.run("delete from ad_days")
    whole = {**day, "level": "campaign", "campaign_id": ad(0)["campaign_id"]}
    insert(engine, "ad_days", [whole])
    (row,) = ask(engine)
    assert (4, 1, Decimal("1.5015")) == (row.impressions, row.clicks, row.spend)
