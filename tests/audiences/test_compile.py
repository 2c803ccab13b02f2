"""Audience rules as SQL: the same persons as the slow, obvious reading, and moments in time."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doublet.audiences.compile import SKEW_S
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


many = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


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
