"""Rules: their two forms, and conditions in SQL that choose what the rule says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doublet.errors import SenderError
from doublet.rules import (
    FIELDS,
    LEAVES_MAX,
    OPERATORS,
    Branch,
    Leaf,
    Rule,
    condition,
    named_events,
    parse_rule,
)

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile"
THANKS = "https://Shop.example/de/Thanks?order=7#top"


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            "create table events (event_name varchar, event_source_url varchar, "
            "value decimal(18, 4), currency varchar, order_id varchar, custom_data varchar, "
            "user_data struct(client_user_agent varchar))"
        )
        yield connection


def chosen(
    engine: duckdb.DuckDBPyConnection, rule: Rule, events: list[dict[str, Any]]
) -> list[bool]:
    """For each event whether the rule chooses it, by the engine."""
    engine.execute("delete from events")
    sql, parameters = condition(rule, "r")
    found = []
    for event in events:
        engine.execute("delete from events")
        engine.execute(
            "insert into events values (?, ?, ?, ?, ?, ?, {'client_user_agent': ?})",
            [
                event.get("event"),
                event.get("url"),
                event.get("value"),
                event.get("currency"),
                event.get("order_id"),
                None if "custom" not in event else json.dumps(event["custom"]),
                event.get("agent"),
            ],
        )
        found += engine.execute(f"select {sql} from events", parameters).fetchall()
    return [bool(each) for (each,) in found if each is not None]


EVENT = {
    "event": "Lead",
    "url": THANKS,
    "value": Decimal("12.5"),
    "currency": "EUR",
    "agent": PHONE,
    "custom": {"content_ids": ["a", 3, None], "plan": "Gold", "seats": 5, "trial": True},
}


@pytest.mark.parametrize(
    ("rule", "is_chosen"),
    [
        ({"event": {"eq": "Lead"}}, True),
        ({"event": {"not_eq": "Lead"}}, False),
        ({"url": {"i_contains": "thanks"}}, True),
        ({"url": {"contains": "thanks"}}, False),
        ({"url": {"regex_match": "order=[0-9]+#"}}, True),
        ({"domain": {"eq": "shop.example"}}, True),
        ({"path": {"starts_with": "/de/"}}, True),
        ({"path": {"i_starts_with": "/DE/"}}, True),
        ({"device_type": {"eq": "mobile_iphone"}}, True),
        ({"value": {"gt": 12}}, True),
        ({"value": {"gte": "12.5", "lt": 13}}, True),
        ({"value": {"eq": 12.50}}, True),
        ({"value": {"lte": 12}}, False),
        ({"currency": {"is_any": ["USD", "EUR"]}}, True),
        ({"currency": {"i_is_any": ["usd", "eur"]}}, True),
        ({"currency": {"is_not_any": ["USD", "EUR"]}}, False),
        ({"content_ids": {"eq": 3}}, True),
        ({"content_ids": {"eq": "b"}}, False),
        ({"content_ids": {"neq": "b"}}, True),
        ({"seats": {"eq": "5.0"}}, True),
        ({"trial": {"eq": True}}, True),
        ({"plan": {"gt": 1}}, False),
        ({"coupon": {"contains": "x"}}, False),
        ({"coupon": {"not_contains": "x"}}, True),
        ({"event": {"eq": "Lead"}, "plan": {"eq": "Silver"}}, False),
        ({"or": [{"event": {"eq": "Purchase"}}, {"plan": {"i_contains": "GOL"}}]}, True),
        ({"and": [{"event": {"eq": "Lead"}}, {"or": [{"seats": {"lt": 6}}]}]}, True),
        (
            {
                "operator": "or",
                "filters": [
                    {"field": "event", "operator": "=", "value": "Purchase"},
                    {"field": "seats", "operator": ">=", "value": "5"},
                ],
            },
            True,
        ),
    ],
)
def test_a_rule_chooses_what_it_says(
    engine: duckdb.DuckDBPyConnection, rule: dict[str, Any], is_chosen: bool
) -> None:
    assert [is_chosen] == chosen(engine, parse_rule(json.dumps(rule)), [EVENT])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "JSON object"),
        ("{}", "JSON object"),
        ('{"and": []}', "list of at least one rule"),
        ('{"url": "thanks"}', "url needs an operator"),
        ('{"url": {"like": "x"}}', "operator of url must be one of"),
        ('{"value": {"gt": "much"}}', "value is compared with what is no number"),
        ('{"value": {"gt": 1e400}}', "no"),
        ('{"url": {"eq": null}}', "neither a text"),
        ('{"a\\"b": {"eq": 1}}', "no name of a field"),
        ('{"operator": "xor", "filters": [{"url": {"eq": 1}}]}', "list of at least one rule"),
        ('{"or": ' * 12 + '{"url": {"eq": 1}}' + "}" * 12, "list of at least one rule"),
        ('{"or": [' * 12 + '{"url": {"eq": 1}}' + "]}" * 12, "nested more than"),
        (json.dumps({"or": [{"url": {"eq": 1}}] * (LEAVES_MAX + 1)}), "more than 100 comparisons"),
        (json.dumps({"url": {"eq": "x" * 3000}}), "at most 2000"),
        ("[" * 30_000, "longer than"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(SenderError, match=message):
        parse_rule(text)


def test_a_rule_tells_the_events_that_it_can_choose() -> None:
    def names(rule: dict[str, Any]) -> set[str] | None:
        found = named_events(parse_rule(json.dumps(rule)))
        return None if found is None else set(found)

    lead, view = {"event": {"eq": "Lead"}}, {"event": {"is_any": ["PageView", "Lead"]}}
    url = {"url": {"contains": "x"}}
    assert {"Lead"} == names(lead)
    assert {"Lead"} == names({"and": [lead, view, url]})
    assert {"Lead", "PageView"} == names({"or": [lead, view]})
    assert names({"or": [lead, url]}) is None
    assert names({"event": {"neq": "Lead"}}) is None


# --- any rule on any event -------------------------------------------------------------------

HOSTILE = ["'; drop table events; --", "%", "_", "a'b", '"', "\\", "$r_0", "ß", "É", "*", "[*]"]
texts = st.one_of(
    st.sampled_from(["a", "ab", "A", "10", "10.0", "-3", "1e3", "", "nan", *HOSTILE]),
    st.text("aAbB1.0é$'\"\\%", max_size=4),
)
keys = st.sampled_from(["plan", "seats", "a b", "x.y", "$k", "content_ids"])
scalars = st.one_of(texts, st.integers(-5, 12), st.booleans(), st.none(), st.just(10.5))
events = st.fixed_dictionaries(
    {"event": st.sampled_from(["Lead", "Purchase", "a"]) | texts},
    optional={
        "url": texts | st.just(THANKS),
        "value": st.decimals(-20, 20, places=2),
        "currency": texts,
        "order_id": texts,
        "custom": st.dictionaries(keys, scalars | st.lists(scalars, max_size=3), max_size=4),
        "agent": st.sampled_from([PHONE, "curl/8"]),
    },
)
operators = st.sampled_from([each for each in OPERATORS if each != "regex_match"])
NUMBERS = {"gt", "gte", "lt", "lte", ">", ">=", "<", "<="}


@st.composite
def leaf_rules(draw: st.DrawFn) -> dict[str, Any]:
    """A comparison in either form."""
    field = draw(st.sampled_from(["event", "url", "value", "currency", "order_id"]) | keys)
    operator = draw(operators)
    if operator in NUMBERS:
        value: Any = draw(st.integers(-20, 20) | st.sampled_from(["3", "10.50"]))
    elif "any" in operator:
        value = draw(st.lists(texts | st.integers(0, 12), max_size=3))
    else:
        value = draw(texts | st.integers(0, 12) | st.booleans())
    if draw(st.booleans()):
        return {field: {operator: value}}
    return {"field": field, "operator": operator, "value": value}


rules = st.recursive(
    leaf_rules(),
    lambda inner: st.one_of(
        st.dictionaries(
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=1, max_size=3),
            min_size=1,
            max_size=1,
        ),
        st.builds(
            lambda operator, filters: {"operator": operator, "filters": filters},
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=6,
)


def is_fit(rule: Rule, event: dict[str, Any]) -> bool:
    """Whether an event is chosen, as the definitions say it."""
    if isinstance(rule, Branch):
        fits = (is_fit(part, event) for part in rule.parts)
        return all(fits) if rule.operator == "and" else any(fits)
    return any(_holds(rule, value) for value in _values(rule.field, event)) != rule.negated


def _values(field: str, event: dict[str, Any]) -> list[str]:
    if field == "value":
        return [f"{event['value']:.4f}"] if "value" in event else []
    if field in FIELDS:
        return [event[field]] if event.get(field) is not None else []
    value = event.get("custom", {}).get(field)
    values = value if isinstance(value, list) else [value]
    return [
        each if isinstance(each, str) else json.dumps(each) for each in values if each is not None
    ]


def _number(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"-?[0-9]{1,15}([.][0-9]{1,15})?", text) else None


def _holds(leaf: Leaf, value: str) -> bool:
    first = leaf.values[0] if leaf.values else ""
    ours, theirs = _number(value), _number(first)
    if leaf.operator in ("gt", "gte", "lt", "lte"):
        assert theirs is not None
        if ours is None:
            return False
        return {
            "gt": ours > theirs,
            "gte": ours >= theirs,
            "lt": ours < theirs,
            "lte": ours <= theirs,
        }[leaf.operator]
    if leaf.operator == "eq":
        return value == first or (ours is not None and ours == theirs)
    return {
        "contains": first in value,
        "i_contains": first.lower() in value.lower(),
        "starts_with": value.startswith(first),
        "i_starts_with": value.lower().startswith(first.lower()),
        "is_any": value in leaf.values,
        "i_is_any": value.lower() in [each.lower() for each in leaf.values],
    }[leaf.operator]


@settings(max_examples=300, deadline=None)
@given(rules, events)
@example({"plan": {"eq": "'; drop table events; --"}}, {"event": "a"})
@example({"plan": {"is_not_any": []}}, {"event": "a", "custom": {"plan": [None]}})
def test_the_engine_chooses_what_the_definitions_say(
    engine: duckdb.DuckDBPyConnection, rule: dict[str, Any], event: dict[str, Any]
) -> None:
    parsed = parse_rule(json.dumps(rule))
    assert [is_fit(parsed, event)] == chosen(engine, parsed, [event])


@given(rules)
def test_no_word_of_a_rule_is_part_of_the_text(rule: dict[str, Any]) -> None:
    parsed = parse_rule(json.dumps(rule))
    sql, parameters = condition(parsed, "r")
    assert not re.search(r"--|;|drop|ß|É", sql)
    assert set(re.findall(r"[$](r_\d+)", sql)) == set(parameters)
