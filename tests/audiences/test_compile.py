"""Audience rules as SQL: the same persons as the slow, obvious reading, and moments in time."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet.audiences.compile import SKEW_S, evaluation
from doublet.audiences.rule import parse_audience_rule
from tests.audiences import made, reference
from tests.audiences.behaviours import ACCOUNT, COLUMNS, evaluated, make_table, write

NOW_S = made.NOW_S
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": "1"}) as opened:
        make_table(opened)
        yield opened


def test_the_table_of_these_tests_is_the_one_of_the_models() -> None:
    schema = tomllib.loads((ROOT / "doublet/models/schema.toml").read_text("utf-8"))
    assert list(COLUMNS) == [name for name in schema["behaviours"] if name != "about"]


def moments(rule: dict[str, Any], events: list[dict[str, Any]]) -> list[int]:
    """All seconds after now at which anything can change without a new event."""
    sides = [rule["inclusions"], *([rule["exclusions"]] if "exclusions" in rule else [])]
    stays = {each["retention_seconds"] for side in sides for each in side["rules"]}
    times = {event["event_time"] for event in events}
    found = {time + stay for time in times for stay in stays} | {time - SKEW_S for time in times}
    return sorted(each for each in found if each > NOW_S)


def check(
    connection: duckdb.DuckDBPyConnection,
    rule: dict[str, Any],
    events: list[dict[str, Any]],
    since_s: int = 0,
) -> dict[int, tuple[bool, int | None]]:
    """That the persons are those of the slow reading, now and at each later moment for which the
    rows answer. Returns the rows."""
    write(connection, events)
    found = evaluated(connection, parse_audience_rule(json.dumps(rule)), NOW_S, since_s)

    def at(now_s: int) -> set[int]:
        return reference.members(rule, events, now_s, account_id=ACCOUNT, since_s=since_s)

    assert at(NOW_S) == {person_id for person_id, (is_in, _) in found.items() if is_in}
    assert all(due_s is None or due_s > NOW_S for _, due_s in found.values())
    for moment in moments(rule, events):
        later = at(moment)
        assert not later - set(found), "comes in without a row"
        for person_id, (is_in, due_s) in found.items():
            if due_s is None or moment < due_s:
                assert is_in == (person_id in later), f"{person_id} turns at {moment - NOW_S} s"
    return found


many = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(made.filtering_rules, st.lists(made.events(), max_size=6))
def test_events_match_as_the_definition_says(
    connection: duckdb.DuckDBPyConnection, rule: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    check(connection, rule, events)


@many
@given(made.counting_rules, made.counted_events, st.sampled_from([0, 0, NOW_S - 15]))
def test_persons_are_counted_as_the_definition_says(
    connection: duckdb.DuckDBPyConnection,
    rule: dict[str, Any],
    events: list[dict[str, Any]],
    since_s: int,
) -> None:
    check(connection, rule, events, since_s)


@many
@given(made.rules, st.lists(made.events(), max_size=12), st.sampled_from([0, 0, NOW_S - 15]))
def test_any_rule_chooses_whom_the_definition_does(
    connection: duckdb.DuckDBPyConnection,
    rule: dict[str, Any],
    events: list[dict[str, Any]],
    since_s: int,
) -> None:
    check(connection, rule, events, since_s)


def is_exact(rule: dict[str, Any]) -> bool:
    """Whether the moment at which a rule turns is known, and not only that it is not before."""
    (choice,) = rule["inclusions"]["rules"]
    asked = choice.get("aggregation")
    if not asked:
        return True
    if asked["type"] == "count":
        return float(asked["value"]) < 20
    return asked["type"] in ("min", "max") and asked["operator"] not in ("=", "eq", "!=", "neq")


@many
@given(made.one_choice.filter(is_exact), made.counted_events)
def test_one_rule_turns_at_the_very_second(
    connection: duckdb.DuckDBPyConnection, rule: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    known = [each for each in events if each["event_time"] <= NOW_S]
    for person_id, (is_in, due_s) in check(connection, rule, known).items():
        assert due_s is not None
        later = reference.members(rule, known, due_s, account_id=ACCOUNT)
        assert is_in != (person_id in later)


def of_purchases(**other: Any) -> dict[str, Any]:
    """A rule of inclusions or exclusions."""
    bought = {"field": "event", "operator": "eq", "value": "Purchase"}
    return {
        "event_sources": [{"id": made.PIXELS[0], "type": "pixel"}],
        "retention_seconds": 100,
        "filter": {"operator": "and", "filters": [bought]},
        **other,
    }


def happened(event_name: str, *ages_s: int, person_id: int = 1, **told: Any) -> list[Any]:
    """Events of one person so many seconds ago."""
    known = {"account_id": ACCOUNT, "pixel_id": made.PIXELS[0], "person_id": person_id}
    return [
        {**known, "event_name": event_name, "event_time": NOW_S - age_s, **told} for age_s in ages_s
    ]


def viewers_not_buyers() -> dict[str, Any]:
    """Viewed in 50 s, bought nothing in 100 s."""
    viewed = {"field": "event", "operator": "eq", "value": "ViewContent"}
    included = of_purchases(retention_seconds=50, filter={"operator": "and", "filters": [viewed]})
    return {
        "inclusions": {"operator": "or", "rules": [included]},
        "exclusions": {"operator": "or", "rules": [of_purchases()]},
    }


def test_events_before_the_audience_do_not_include_but_still_exclude(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    events = [
        *happened("ViewContent", 10, person_id=1),
        *happened("ViewContent", 30, person_id=2),
        *happened("ViewContent", 10, person_id=3),
        *happened("Purchase", 55, person_id=3),
    ]
    found = check(connection, viewers_not_buyers(), events, since_s=NOW_S - 20)
    assert {1: (True, NOW_S + 40)} == found


def test_an_exclusion_that_expires_brings_a_person_back(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    events = [*happened("ViewContent", 10), *happened("Purchase", 70)]
    assert {1: (False, NOW_S + 30)} == check(connection, viewers_not_buyers(), events)


def test_an_exclusion_that_outlives_the_inclusion_needs_no_look(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert {} == check(
        connection, viewers_not_buyers(), [*happened("ViewContent", 10), *happened("Purchase", 20)]
    )


@pytest.mark.parametrize(
    ("operator", "value", "ages_s", "is_in", "turns_in_s"),
    [
        (">=", 3, (90, 60, 30, 5), True, 40),
        (">=", 3, (60, 30), None, None),
        ("<=", 2, (90, 60, 30, 5), False, 40),
        ("<=", 2, (90, 60), True, 40),
        ("=", 2, (90, 60, 30), False, 10),
        ("=", 2, (60, 30), True, 40),
        ("!=", 2, (90, 60, 30), True, 10),
        ("!=", 2, (60, 30), False, 40),
        ("!=", 1, (60,), None, None),
        (">=", 25, tuple(range(25)), True, 76),
    ],
)
def test_a_count_turns_when_the_event_expires_that_makes_it_up(
    connection: duckdb.DuckDBPyConnection,
    operator: str,
    value: int,
    ages_s: tuple[int, ...],
    is_in: bool | None,
    turns_in_s: int | None,
) -> None:
    asked = {"type": "count", "operator": operator, "value": value}
    rule = {"inclusions": {"operator": "or", "rules": [of_purchases(aggregation=asked)]}}
    found = check(connection, rule, happened("Purchase", *ages_s))
    assert found == ({} if turns_in_s is None else {1: (is_in, NOW_S + turns_in_s)})


@pytest.mark.parametrize(
    ("kind", "operator", "value", "amounts", "is_in", "turns_in_s"),
    [
        ("min", ">=", "10", {90: "5", 60: "20"}, False, 10),
        ("min", ">=", "10", {90: "20", 60: "5"}, None, None),
        ("min", ">=", "10", {61: "5", 60: "20"}, False, 39),
        ("min", ">=", "5", {90: "5", 60: "20"}, True, 40),
        ("min", "<", "10", {90: "5", 60: "20"}, True, 10),
        ("min", "=", "5", {90: "5", 60: "20"}, True, 10),
        ("max", "<=", "10", {90: "50", 60: "1"}, False, 10),
        ("max", "<=", "10", {90: "1", 60: "50"}, None, None),
        ("max", ">", "10", {90: "20", 60: "5"}, True, 10),
        ("max", "!=", "20", {90: "20", 60: "5"}, False, 10),
        ("sum", "<=", "10", {90: "8", 60: "5"}, False, 10),
        ("sum", "<=", "20", {90: "8", 60: "5"}, True, 40),
        ("sum", "<=", "20", {90: "-8", 60: "25"}, True, 10),
        ("sum", ">=", "10", {90: "8", 60: "5"}, True, 10),
        ("sum", ">=", "20", {90: "8", 60: "5"}, None, None),
        ("sum", ">=", "6", {90: "-3", 60: "7"}, False, 10),
        ("sum", ">=", "6", {95: None, 90: "6", 60: None}, True, 10),
        ("avg", ">", "6", {95: None, 90: "8", 60: "5"}, True, 10),
        ("avg", "<", "6", {90: "8", 60: "5"}, False, 10),
        ("avg", ">", "0", {90: None}, None, None),
    ],
)
def test_amounts_turn_when_events_expire(
    connection: duckdb.DuckDBPyConnection,
    kind: str,
    operator: str,
    value: str,
    amounts: dict[int, str | None],
    is_in: bool | None,
    turns_in_s: int | None,
) -> None:
    asked = {"type": kind, "field": "value", "operator": operator, "value": value}
    rule = {"inclusions": {"operator": "or", "rules": [of_purchases(aggregation=asked)]}}
    events = [
        event
        for age_s, amount in amounts.items()
        for event in happened("Purchase", age_s, value=amount and Decimal(amount))
    ]
    found = check(connection, rule, events)
    assert found == ({} if turns_in_s is None else {1: (is_in, NOW_S + turns_in_s)})


def test_one_of_two_inclusions_is_enough_to_come_back(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """The first ends before the exclusion does, the second after."""
    carted = {"field": "event", "operator": "eq", "value": "AddToCart"}
    other = of_purchases(filter={"operator": "and", "filters": [carted]})
    rule = viewers_not_buyers()
    rule["inclusions"]["rules"].append(other)
    events = [*happened("ViewContent", 40), *happened("AddToCart", 10), *happened("Purchase", 70)]
    assert {1: (False, NOW_S + 30)} == check(connection, rule, events)
    rule["inclusions"]["operator"] = "and"
    assert {} == check(connection, rule, events)


@pytest.mark.parametrize("key", ["content_category", "content_ids", "plan"])
def test_of_a_list_one_entry_has_to_fit(connection: duckdb.DuckDBPyConnection, key: str) -> None:
    told = [["shoes", "men"], "shoes", '["shoes"]', ["boots"], [["shoes"]], None]
    events = [
        event
        for person_id, each in enumerate(told)
        for event in happened("Purchase", 1, person_id=person_id, custom={key: each})
    ]
    fits = {"field": key, "operator": "eq", "value": "shoes"}
    chosen = of_purchases(filter={"operator": "and", "filters": [fits]})
    found = check(connection, {"inclusions": {"operator": "or", "rules": [chosen]}}, events)
    assert {0, 1} == set(found)
    fits["operator"] = "neq"
    found = check(connection, {"inclusions": {"operator": "or", "rules": [chosen]}}, events)
    assert {2, 3, 4, 5} == set(found)


def test_sums_are_exact(connection: duckdb.DuckDBPyConnection) -> None:
    """A tenth is no sum of binary fractions."""
    cents = happened("Purchase", *range(50), custom={"fee": 0.1})
    for operator, value, is_in in (("=", "5", True), (">", "5", False), ("<=", "5.0", True)):
        asked = {"type": "sum", "field": "fee", "operator": operator, "value": value}
        rule = {"inclusions": {"operator": "or", "rules": [of_purchases(aggregation=asked)]}}
        found = check(connection, rule, cents)
        assert is_in == any(is_in for is_in, _ in found.values())


def test_huge_numbers_are_compared_and_summed(connection: duckdb.DuckDBPyConnection) -> None:
    huge = happened("Purchase", *range(20), custom={"fee": "999999999999999.999999999999999"})
    for kind in ("sum", "avg", "min", "max"):
        asked = {"type": kind, "field": "fee", "operator": ">", "value": "999999999999999"}
        rule = {"inclusions": {"operator": "or", "rules": [of_purchases(aggregation=asked)]}}
        assert [1] == list(check(connection, rule, huge))


def test_an_event_ahead_of_our_clock_counts_within_a_day(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    rule = {"inclusions": {"operator": "or", "rules": [of_purchases()]}}
    near, far = NOW_S + SKEW_S + 100, NOW_S + 10
    assert {1: (True, near)} == check(connection, rule, happened("Purchase", -SKEW_S))
    assert {1: (False, far)} == check(connection, rule, happened("Purchase", -SKEW_S - 10))


def test_no_word_of_a_rule_is_part_of_the_query() -> None:
    hostile = "x'; drop table behaviours; --"
    for field in ("url", "value", "content_ids", "content_type", "plan"):
        comparison = {"field": field, "operator": "eq", "value": hostile}
        chosen = of_purchases(filter={"operator": "and", "filters": [comparison]})
        rule = {"inclusions": {"operator": "or", "rules": [chosen]}}
        sql, parameters = evaluation(parse_audience_rule(json.dumps(rule)))
        assert "drop" not in sql
        assert hostile in parameters.values()
