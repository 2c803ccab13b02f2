"""Insights: every figure as an oracle counts it, and every total the sum of its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet.catalog import Account, ReportRules
from doublet.engine.duckdb import DuckDBEngine
from doublet.rates import Rate, Rates
from doublet.reports.ad_objects import ad_names, ad_objects
from doublet.reports.insights import earliest_day, insights
from doublet.reports.insights_rows import (
    ALL,
    FIRST,
    LEVELS,
    WINDOWS,
    InsightsRow,
    Kind,
    Place,
    Question,
    Tally,
)
from doublet.reports.periods import Period, midnight_s, steps
from tests.factories import ACCOUNT, Pipeline
from tests.reports.tables import COUNTED, clear, conversion, insert

ZONE = ZoneInfo("Europe/Berlin")
SHOP = Account(ACCOUNT, "Shop", "Europe/Berlin", "EUR")
USUAL = ReportRules()
DAY_S = 86_400
FIRST_DAY = date(2026, 3, 26)
"""The clocks change three days later."""
RATES = Rates(
    "EUR",
    [
        Rate(FIRST_DAY, "USD", Decimal("0.5")),
        Rate(FIRST_DAY + timedelta(4), "USD", Decimal("0.3")),
    ],
)
PERIOD = Period(FIRST_DAY, FIRST_DAY + timedelta(9))
NOON_S = midnight_s(FIRST_DAY, ZONE) + 12 * 3600
PURCHASE = Kind("Purchase", None, "web")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    made = Pipeline(tmp_path_factory.mktemp("insights"))
    yield made.engine
    made.close()


@pytest.fixture(autouse=True)
def _empty(engine: DuckDBEngine) -> None:
    clear(engine)


def ad(number: int) -> dict[str, str]:
    """The ids of an ad: three to an ad set, six to a campaign."""
    return {
        "campaign_id": f"1{number // 6:05}",
        "adset_id": f"2{number // 3:05}",
        "ad_id": f"3{number:05}",
    }


def touch(kind: str, number: int, touched_time: int, key: int = 1) -> dict[str, Any]:
    """The columns of a conversion that tell of its last touch of a kind."""
    ids = {f"{kind}_{name}": value for name, value in ad(number).items()}
    return {f"{kind}_time": touched_time, f"{kind}_key": key, f"{kind}_platform": "meta", **ids}


def ask(engine: DuckDBEngine, rules: ReportRules = USUAL, **more: Any) -> list[InsightsRow]:
    """The rows of the ten days."""
    question = Question(**{"periods": [PERIOD], **more})
    return insights(engine, SHOP, rules, RATES, question)


# --- by example ------------------------------------------------------------------------------


def test_a_click_beats_an_engaged_view_which_beats_a_view(engine: DuckDBEngine) -> None:
    shown = touch("view", 1, NOON_S - 60)
    engaged = touch("ev", 2, NOON_S - 3600)
    rows = [
        conversion(1, NOON_S, **shown),
        conversion(2, NOON_S, **shown, **engaged),
        conversion(3, NOON_S, **shown, **engaged, **touch("click", 3, NOON_S - 6 * DAY_S)),
        conversion(4, NOON_S, **shown, **touch("click", 3, NOON_S - 8 * DAY_S)),
        conversion(5, NOON_S),
    ]
    insert(engine, "conversions", rows)
    found = {row.place.ad_id: row.results[PURCHASE] for row in ask(engine, level="ad")}
    five = Decimal(5)
    assert found == {
        ad(1)["ad_id"]: {"value": Tally(2, 2 * five), "1d_view": Tally(2, 2 * five)},
        ad(2)["ad_id"]: {"value": Tally(1, five), "1d_ev": Tally(1, five)},
        ad(3)["ad_id"]: {
            "value": Tally(1, five),
            "7d_click": Tally(1, five),
            "28d_click": Tally(2, 2 * five),
        },
    }


def test_a_window_ends_to_the_second(engine: DuckDBEngine) -> None:
    ages = [0, DAY_S - 1, DAY_S, 7 * DAY_S - 1, 7 * DAY_S, 28 * DAY_S - 1, 28 * DAY_S]
    insert(
        engine,
        "conversions",
        [conversion(n, NOON_S, **touch("click", 1, NOON_S - age)) for n, age in enumerate(ages)],
    )
    (row,) = ask(engine)
    counts = {key: tally.conversions for key, tally in row.results[PURCHASE].items()}
    assert {"1d_click": 2, "7d_click": 4, "28d_click": 6, "value": 4} == counts


def test_the_setting_changes_all_of_the_past(engine: DuckDBEngine) -> None:
    row = conversion(
        1,
        NOON_S,
        **touch("click", 1, NOON_S - 3 * DAY_S),
        **touch("ev", 2, NOON_S - 60),
        **touch("view", 3, NOON_S - 60),
    )
    insert(engine, "conversions", [row])

    def credited(rules: ReportRules) -> list[str | None]:
        rows = ask(engine, rules, level="ad")
        return [r.place.ad_id for r in rows if "value" in r.results.get(PURCHASE, {})]

    assert [ad(1)["ad_id"]] == credited(ReportRules())
    assert [ad(2)["ad_id"]] == credited(ReportRules(click_days=1))
    assert [ad(3)["ad_id"]] == credited(ReportRules(click_days=1, engaged_view_days=0))
    assert [] == credited(ReportRules(click_days=0, engaged_view_days=0, view_days=0))
    assert [] == credited(ReportRules(conversions=("Lead",)))


def test_only_the_first_after_a_touch_may_count(engine: DuckDBEngine) -> None:
    before = midnight_s(FIRST_DAY, ZONE) - 3600
    clicked = touch("click", 1, before - DAY_S, key=7)
    rows = [
        conversion(1, before, **clicked),
        conversion(2, NOON_S, **clicked),
        conversion(3, NOON_S, event_name="Lead", **clicked),
        conversion(4, NOON_S + 1, event_name="Lead", **clicked),
        conversion(5, NOON_S + 1, **touch("click", 1, NOON_S, key=8)),
    ]
    insert(engine, "conversions", rows)
    lead = Kind("Lead", None, "web")
    (row,) = ask(engine, windows=(f"value{FIRST}",))
    # The first purchase after click 7 was a day before the period.
    assert (2, 1) == tuple(row.results[PURCHASE][f"value{end}"].conversions for end in ("", FIRST))
    assert (2, 1) == tuple(row.results[lead][f"value{end}"].conversions for end in ("", FIRST))
    (row,) = ask(engine, ReportRules(count="first"), windows=(f"value{ALL}",))
    assert (1, 2) == tuple(row.results[lead][f"value{end}"].conversions for end in ("", ALL))


def test_money_without_a_rate_counts_no_value(engine: DuckDBEngine) -> None:
    clicked = touch("click", 1, NOON_S)
    rows = [
        conversion(1, NOON_S, currency="USD", value=Decimal("3.33"), **clicked),
        conversion(2, NOON_S, currency="EUR", value=4, **clicked),
        conversion(3, NOON_S, currency=None, value=2, **clicked),
        conversion(4, NOON_S, currency="JPY", value=1000, **clicked),
        conversion(5, NOON_S, value=None, **clicked),
    ]
    insert(engine, "conversions", rows)
    (row,) = ask(engine)
    assert Tally(5, Decimal("5.665")) == row.results[PURCHASE]["value"]


def test_a_known_ad_tells_its_campaign_and_an_unknown_one_stays_a_row(
    engine: DuckDBEngine,
) -> None:
    insert(
        engine,
        "ads",
        [{"level": "ad", "platform": "meta", "ad_name": "Red", "campaign_name": "Spring", **ad(1)}],
    )
    ids = {"click_ad_id": ad(1)["ad_id"], "click_adset_id": None, "click_campaign_id": None}
    nobody = dict.fromkeys(ids)
    rows = [
        conversion(1, NOON_S, **{**touch("click", 1, NOON_S), **ids}),
        conversion(2, NOON_S, **{**touch("click", 1, NOON_S), **nobody}),
    ]
    insert(engine, "conversions", rows)
    places = [row.place for row in ask(engine, level="campaign")]
    assert [Place(0), Place(0, ad(1)["campaign_id"])] == places
    (row,) = ask(engine, level="ad", campaign_id=ad(1)["campaign_id"])
    assert (0, *ad(1).values()) == row.place[:4]
    names = ad_names(engine, SHOP, [*ad(1).values(), "9"])
    assert {
        ("ad", ad(1)["ad_id"]): "Red",
        ("campaign", ad(1)["campaign_id"]): "Spring",
    } == names
    (adset,) = ad_objects(engine, SHOP, level="adset")
    assert (ad(1)["adset_id"], None, ad(1)["campaign_id"]) == adset[1:4]
    parts = ad_objects(engine, SHOP, parent_id=ad(1)["campaign_id"])
    assert ["ad", "adset"] == [each.level for each in parts]


def test_hours_platforms_and_placements_divide_what_is_known(engine: DuckDBEngine) -> None:
    spring = midnight_s(date(2026, 3, 29), ZONE)
    clicked = touch("click", 1, spring)
    rows = [
        conversion(1, spring + 7199, **clicked, click_placement="feed"),
        # Two o'clock does not come.
        conversion(2, spring + 7200, **clicked, click_placement="story"),
        conversion(3, spring + 7201, **{**clicked, "click_platform": "google"}),
    ]
    insert(engine, "conversions", rows)
    found = ask(engine, by_hour=True, by_platform=True, by_placement=True)
    assert [(1, "meta", "feed"), (3, "google", None), (3, "meta", "story")] == [
        row.place[4:] for row in found
    ]


def test_the_first_day_is_that_of_the_oldest_row(engine: DuckDBEngine) -> None:
    assert date(2000, 1, 1) == earliest_day(engine, SHOP)
    insert(engine, "conversions", [conversion(1, NOON_S)])
    assert FIRST_DAY == earliest_day(engine, SHOP)
    insert(engine, "ad_days", [{"level": "ad", "date": FIRST_DAY - timedelta(1)}])
    assert FIRST_DAY - timedelta(1) == earliest_day(engine, SHOP)


def test_another_accounts_rows_are_not_seen(engine: DuckDBEngine) -> None:
    row = conversion(1, NOON_S, **touch("click", 1, NOON_S))
    insert(engine, "conversions", [{**row, "account_id": "act_2"}])
    insert(
        engine,
        "ad_days",
        [
            {
                "account_id": "act_2",
                "level": "ad",
                "date": FIRST_DAY,
                "impressions": 1,
                **COUNTED,
                **ad(1),
            }
        ],
    )
    assert [] == ask(engine)


# --- any rows --------------------------------------------------------------------------------

ages = st.one_of(
    st.integers(0, 2 * DAY_S),
    st.integers(0, 30 * DAY_S),
    st.sampled_from([0, 1, DAY_S - 1, DAY_S, 7 * DAY_S - 1, 7 * DAY_S, 28 * DAY_S - 1]),
)
rules = st.builds(
    ReportRules,
    click_days=st.sampled_from([0, 1, 7, 28]),
    engaged_view_days=st.sampled_from([0, 1]),
    view_days=st.sampled_from([0, 1]),
    count=st.sampled_from(["all", "first"]),
)


@st.composite
def conversion_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Conversions with last touches of any age and ad, some of them the same touch."""
    rows = []
    for number in range(draw(st.integers(1, 12))):
        event_time = NOON_S + draw(st.integers(-2 * DAY_S, 11 * DAY_S))
        fields: dict[str, Any] = {}
        for kind, days in (("click", 28), ("ev", 1), ("view", 7)):
            age = draw(st.none() | ages)
            if age is not None and age < days * DAY_S:
                number_of_ad = draw(st.integers(0, 8))
                key = draw(st.integers(1, 4)) * 100 + number_of_ad
                fields |= touch(kind, number_of_ad, event_time - age, key)
        rows.append(
            conversion(
                number,
                event_time,
                event_name=draw(st.sampled_from(["Purchase", "Lead", "Odd"])),
                action_source=draw(st.sampled_from([None, "website", "app", "physical_store"])),
                value=draw(st.none() | st.decimals(0, 1000, places=4)),
                currency=draw(st.sampled_from(["USD", "EUR", "JPY", None])),
                **fields,
            )
        )
    return rows


def expected(
    rows: list[dict[str, Any]], periods: list[Period], level: str, rules: ReportRules, first: bool
) -> dict[tuple[Any, ...], dict[str, list[Any]]]:
    """What an account of the definitions, row by row, arrives at."""
    found: dict[tuple[Any, ...], dict[str, list[Any]]] = defaultdict(
        lambda: defaultdict(lambda: [0, Decimal(0)])
    )
    seen: set[tuple[Any, ...]] = set()
    for row in sorted(rows, key=lambda row: (row["event_time"], row["event_key"])):
        at = row["event_time"]
        age = {
            kind: at - row[f"{kind}_time"]
            for kind in ("click", "ev", "view")
            if f"{kind}_time" in row
        }
        by_click = "click" in age and age["click"] < rules.click_days * DAY_S
        by_ev = not by_click and "ev" in age and rules.engaged_view_days > 0
        keys: dict[str, list[str]] = {"click": [], "ev": [], "view": []}
        for days in (1, 7, 28):
            if "click" in age and age["click"] < days * DAY_S:
                keys["click"].append(f"{days}d_click")
        keys["click"] += ["value"] if by_click else []
        if "ev" in age and not by_click:
            keys["ev"] += ["1d_ev", *(["value"] if by_ev else [])]
        if "view" in age and age["view"] < DAY_S and not by_click and not by_ev:
            keys["view"] += ["1d_view", *(["value"] if rules.view_days else [])]
        day = datetime.fromtimestamp(at, UTC).astimezone(ZONE).date()
        for kind, names in keys.items():
            if not names:
                continue
            mark = (kind, row[f"{kind}_key"], row["event_name"])
            if first and mark in seen:
                continue
            seen.add(mark)
            ids = [row[f"{kind}_{name}"] for name in ("campaign_id", "adset_id", "ad_id")]
            depth = LEVELS.index(level)
            source = row["action_source"]
            channel = {"app": "app", "physical_store": "store"}.get(source, "web")
            for number, period in enumerate(periods):
                if not period.since <= day <= period.until:
                    continue
                place = (number, *ids[:depth], *[None] * (3 - depth), row["event_name"], channel)
                for name in names:
                    found[place][name][0] += 1
                    value = row["value"] or Decimal(0)
                    amount = value * (RATES.rate(day, row["currency"]) or 0)
                    found[place][name][1] += amount.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return found


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    conversion_rows(),
    rules,
    st.sampled_from(["1", "3", "monthly", "all_days"]),
    st.sampled_from(LEVELS),
)
def test_figures_are_what_the_definitions_say(
    engine: DuckDBEngine,
    rows: list[dict[str, Any]],
    rules: ReportRules,
    increment: str,
    level: str,
) -> None:
    clear(engine)
    insert(engine, "conversions", rows)
    periods = steps(PERIOD, increment)
    found = {
        (*row.place[:4], kind.event_name, kind.channel): {
            key: list(tally) for key, tally in results.items()
        }
        for row in ask(engine, rules, periods=periods, level=level)
        for kind, results in row.results.items()
    }
    assert expected(rows, periods, level, rules, rules.count == "first") == found


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(conversion_rows(), rules, st.sampled_from(["1", "4", "monthly"]))
def test_totals_are_sums_at_every_level_and_value_is_its_parts(
    engine: DuckDBEngine, rows: list[dict[str, Any]], rules: ReportRules, increment: str
) -> None:
    clear(engine)
    insert(engine, "conversions", rows)
    day: dict[str, Any] = {
        "platform": "meta",
        "date": FIRST_DAY,
        "impressions": 9,
        "clicks": 2,
        "spend": 1,
    }
    day |= COUNTED
    insert(engine, "ad_days", [{**day, "level": "ad", **ad(n)} for n in range(4)])
    insert(
        engine,
        "touches",
        [
            {"origin": "ad_log", "kind": kind, "touched_time": NOON_S + n * DAY_S, **ad(n)}
            for n in range(8)
            for kind in ("view", "click")
        ],
    )

    def total(rows: list[InsightsRow]) -> dict[str, Any]:
        whole = InsightsRow(Place(0))
        for row in rows:
            whole.add(row)
        return {
            "delivery": (whole.impressions, whole.clicks, whole.spend),
            **{str(kind): results for kind, results in whole.results.items()},
        }

    ends = ("", ALL, FIRST)
    windows = [f"{name}{end}" for name in ("value", *WINDOWS) for end in ends]
    account = total(ask(engine, rules, windows=windows))
    for level in LEVELS:
        for periods in ([PERIOD], steps(PERIOD, increment)):
            found = ask(engine, rules, periods=periods, level=level, windows=windows)
            assert account == total(found)
            for row in found:
                for results in row.results.values():
                    for end in ends:
                        parts = Tally()
                        for window in _parts(rules):
                            parts = parts.plus(*results.get(f"{window}{end}", Tally()))
                        assert results.get(f"value{end}", Tally()) == parts


def _parts(rules: ReportRules) -> list[str]:
    parts = [f"{rules.click_days}d_click"] if rules.click_days else []
    return parts + ["1d_ev"] * rules.engaged_view_days + ["1d_view"] * rules.view_days
