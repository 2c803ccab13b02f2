"""Rules of audiences: what is read, and what is refused with which numbers of the Graph API."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doublet.audiences.rule import (
    Aggregation,
    AudienceRuleError,
    Choice,
    Choices,
    parse_audience_rule,
)
from doublet.rules import Branch, Leaf
from tests.audiences import made
from tests.strategies import TREES

PIXEL = "1234567890123456"
PURCHASE = {"field": "event", "operator": "eq", "value": "Purchase"}
SHOES = {"field": "url", "operator": "i_contains", "value": "shoes"}
INVALID, UNSUPPORTED = (100, 1713098), (2654, 1713032)


def choice(**other: Any) -> dict[str, Any]:
    """A rule of inclusions."""
    return {
        "event_sources": [{"id": PIXEL, "type": "pixel"}],
        "retention_seconds": 3600,
        "filter": {"operator": "and", "filters": [PURCHASE]},
        **other,
    }


def rule(*choices: Any, **other: Any) -> dict[str, Any]:
    """Of these inclusions."""
    return {"inclusions": {"operator": "or", "rules": list(choices)}, **other}


def of_filter(*filters: Any) -> dict[str, Any]:
    """With one inclusion, of which all these hold."""
    return rule(choice(filter={"operator": "and", "filters": list(filters)}))


def adding(**aggregation: Any) -> dict[str, Any]:
    """With one inclusion and its aggregation."""
    return rule(choice(aggregation=aggregation))


def test_a_whole_rule_is_read() -> None:
    nested = {"operator": "or", "filters": [SHOES, {**PURCHASE, "operator": "="}]}
    asked = {"type": "sum", "method": "absolute", "field": "value", "operator": ">=", "value": "50"}
    given = {
        "inclusions": {
            "operator": "and",
            "rules": [
                choice(filter={"operator": "and", "filters": [nested]}, aggregation=asked),
                choice(event_sources=[{"id": [PIXEL, 22], "type": "pixel"}], template="ANY"),
            ],
        },
        "exclusions": {"operator": "or", "rules": [choice(retention_seconds="86400")]},
    }
    bought = Leaf("event", "eq", ("Purchase",))
    read = parse_audience_rule(json.dumps(given), pixel_ids=[PIXEL, "22"])
    both = Branch("and", (Branch("or", (Leaf("url", "i_contains", ("shoes",)), bought)),))
    assert read.inclusions == Choices(
        "and",
        (
            Choice((PIXEL,), 3600, both, Aggregation("sum", "value", ">=", Decimal(50))),
            Choice((PIXEL, "22"), 3600, Branch("and", (bought,))),
        ),
    )
    alone = Choice((PIXEL,), 86_400, Branch("and", (bought,)))
    assert read.exclusions == Choices("or", (alone,))
    assert read.retention_days == 1


def test_parts_may_be_json_texts_themselves() -> None:
    """As the tables of Meta's page call them: *JSON string*."""
    inner = choice()
    inner["filter"] = json.dumps(inner["filter"])
    given = rule(inner)
    given["inclusions"] = json.dumps(given["inclusions"])
    assert parse_audience_rule(json.dumps(given)) == parse_audience_rule(json.dumps(rule(choice())))


@pytest.mark.parametrize(
    "filters",
    [
        {"url": {"i_contains": "shoes"}},
        {"and": [{"url": {"i_contains": "shoes"}}, {"event": {"eq": "Purchase"}}]},
        {"operator": "and", "filters": [SHOES, PURCHASE]},
    ],
)
def test_the_old_form_is_one_inclusion(filters: dict[str, Any]) -> None:
    read = parse_audience_rule(json.dumps(filters), retention_days=7, pixel_ids=["22", PIXEL])
    (only,) = read.choices
    assert (PIXEL, "22") == only.pixel_ids
    assert 7 * 86_400 == only.retention_s
    assert () == parse_audience_rule(json.dumps(filters)).choices[0].pixel_ids


def test_retention_days_counts_where_a_rule_has_no_seconds() -> None:
    inner = choice()
    del inner["retention_seconds"]
    read = parse_audience_rule(json.dumps(rule(inner, choice())), retention_days=3)
    assert [3 * 86_400, 3600] == [each.retention_s for each in read.choices]


def test_no_exclusions_may_be_written_as_an_empty_list() -> None:
    given = rule(choice(), exclusions={"operator": "or", "rules": []})
    assert parse_audience_rule(json.dumps(given)).exclusions is None


def leaf(field: Any, operator: Any, value: Any = "x") -> dict[str, Any]:
    """A comparison."""
    return {"field": field, "operator": operator, "value": value}


REFUSED: list[tuple[Any, str, tuple[int, int | None]]] = [
    ([], "a JSON object", INVALID),
    ({}, "The rule has no comparison", INVALID),
    ({"inclusions": {}}, "inclusions need an operator and a list", INVALID),
    ({"inclusions": []}, "inclusions need an operator and a list", INVALID),
    ({"inclusions": "{"}, "no JSON", INVALID),
    ({"exclusions": {"operator": "or", "rules": [choice()]}}, "no inclusions", INVALID),
    (rule(), "no inclusions", INVALID),
    (rule(7), "inclusions[0] is no JSON object", INVALID),
    (rule(choice(), excludes={}), "excludes is not known here", INVALID),
    (rule(choice(agregation={})), "agregation is not known here", INVALID),
    ({"inclusions": {"operator": "xor", "rules": [choice()]}}, "must be and or or", INVALID),
    (rule(*[choice()] * 11), "more than 10 rules", INVALID),
    (
        rule(*[choice()] * 6, exclusions={"operator": "or", "rules": [choice()] * 5}),
        "have 11 rules; at most 10",
        INVALID,
    ),
    (rule(choice(event_sources=[])), "no event_sources", INVALID),
    (rule(choice(event_sources=None)), "no event_sources", INVALID),
    (rule(choice(event_sources=[PIXEL])), "no JSON object", INVALID),
    (rule(choice(event_sources=[{"type": "pixel"}])), "no pixel id", INVALID),
    (rule(choice(event_sources=[{"id": "a", "type": "pixel"}])), "no pixel id", INVALID),
    (rule(choice(event_sources=[{"id": "9", "type": "pixel"}])), "not of this account", INVALID),
    (rule(choice(event_sources=[{"id": "1", "type": "app"}])), "type app that", (2654, None)),
    (rule(choice(event_sources=[{"id": "1", "type": "pixel,app"}])), "only pixel", (2654, None)),
    (rule(choice(retention_seconds=0)), "from 1 to 15552000", INVALID),
    (rule(choice(retention_seconds=15_552_001)), "(180 days)", INVALID),
    (rule(choice(retention_seconds=1.5)), "from 1 to 15552000", INVALID),
    (rule(choice(retention_seconds=True)), "from 1 to 15552000", INVALID),
    (rule(choice(filter={"operator": "and", "filters": []})), "has no comparison", INVALID),
    (rule(choice(filter=None)), "The filter of inclusions[0] has no", INVALID),
    (of_filter(leaf("url", "like")), "must be one of", UNSUPPORTED),
    (of_filter(leaf("value", "gt", "much")), "no number", INVALID),
    (of_filter(leaf('a"b', "eq")), "no name of a field", INVALID),
    (of_filter(*[SHOES] * 101), "more than 100 comparisons", INVALID),
    (of_filter(leaf("event", "i_contains")), "only be compared with =", UNSUPPORTED),
    (of_filter(leaf("event", "neq")), "only be compared with =", UNSUPPORTED),
    (of_filter(leaf("event", "is_any", ["Purchase"])), "only be compared with =", UNSUPPORTED),
    (of_filter(leaf("userAgent", "i_contains")), "device_type", INVALID),
    (of_filter(leaf("url", "regex_match", "a(?=b)")), "look-ahead", INVALID),
    (of_filter(leaf("url", "regex_match", "(?<!b)a")), "look-ahead and look-behind", INVALID),
    (of_filter(leaf("url", "regex_match", r"(a)\1")), "references back", INVALID),
    (of_filter(leaf("url", "regex_match", "(?>a)b")), "possessive, atomic", INVALID),
    (of_filter(leaf("url", "regex_match", "a++b")), "possessive, atomic", INVALID),
    (of_filter(leaf("url", "regex_match", "(")), "cannot be read", INVALID),
    (of_filter(leaf("url", "regex_match", "(a|b){501,}")), "repeats more", INVALID),
    (of_filter(leaf("url", "regex_match", "((a?){30}b){30}")), "repeats more", INVALID),
    (of_filter(leaf("url", "regex_match", "(" * 50 + "a" + "{3})" * 50)), "repeats more", INVALID),
    (of_filter(leaf("url", "contains", "a@b.example")), "a mail address", INVALID),
    (adding(type="time_spent", method="percentile"), "Count page views instead", UNSUPPORTED),
    (adding(type="last_event_time_field"), "retention_seconds", UNSUPPORTED),
    (adding(type="median"), "must be one of count", INVALID),
    (adding(type=["sum"]), "must be one of count", INVALID),
    (adding(type="count", method="percentile", operator=">", value=1), "absolute", UNSUPPORTED),
    (adding(type="count", operator="in_range", value=1), "must be one of =", UNSUPPORTED),
    (adding(type="count", operator=[], value=1), "must be one of =", UNSUPPORTED),
    (adding(type="count", operator=">=", value="x"), "no number", INVALID),
    (adding(type="count", operator=">=", value=True), "no number", INVALID),
    (adding(type="count", operator=">=", value={"from": 1}), "no number", INVALID),
    (adding(type="count", operator=">=", value=1, field="value"), "counts events", INVALID),
    (adding(type="count", operator="=", value=0), "chooses nobody", INVALID),
    (adding(type="count", operator="<", value=1), "into exclusions", INVALID),
    (adding(type="count", operator="=", value="2.5"), "chooses nobody", INVALID),
    (adding(type="sum", operator=">", value=1), "needs a field", INVALID),
    (adding(type="avg", field="url", operator=">", value=1), "which is no number", INVALID),
    (adding(type="sum", field="value", operator=">", value=1, unit="EUR"), "unit is not", INVALID),
]


@pytest.mark.parametrize(("given", "message", "numbers"), REFUSED)
def test_what_is_no_rule_is_refused_with_its_reason(
    given: Any, message: str, numbers: tuple[int, int | None]
) -> None:
    with pytest.raises(AudienceRuleError) as refused:
        parse_audience_rule(json.dumps(given), pixel_ids=[PIXEL, "1"])
    assert message in str(refused.value)
    assert numbers == (refused.value.graph_code, refused.value.graph_subcode)


@pytest.mark.parametrize("text", ["{", "", "[" * 50_000, '{"url": NaN}', "{" * 300_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(AudienceRuleError) as refused:
        parse_audience_rule(text)
    assert INVALID == (refused.value.graph_code, refused.value.graph_subcode)


@pytest.mark.parametrize("days", [0, 181, -1])
def test_days_to_stay_are_limited(days: int) -> None:
    with pytest.raises(AudienceRuleError, match="retention_days"):
        parse_audience_rule(json.dumps(rule(choice())), retention_days=days)


def test_expressions_with_signs_that_only_look_like_others_are_read() -> None:
    for pattern in (r"\++", "[*+]+", r"\\1", "a+?b", "(?i)shoes", "(?:a|b){2}"):
        parse_audience_rule(json.dumps(of_filter(leaf("url", "regex_match", pattern))))


@settings(deadline=None)
@given(made.rules)
def test_every_rule_of_the_language_is_read(given: dict[str, Any]) -> None:
    read = parse_audience_rule(json.dumps(given), pixel_ids=made.PIXELS)
    wanted = [*given["inclusions"]["rules"], *given.get("exclusions", {"rules": []})["rules"]]
    assert [each["retention_seconds"] for each in wanted] == [
        each.retention_s for each in read.choices
    ]


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A rule with anything at one place."""
    value = draw(made.rules)
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys)) if keys else None
        inner = place[key] if keys else None
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
            if keys:
                place[key] = draw(TREES)
            return value
        place = inner


@settings(deadline=None)
@given(damaged())
def test_anything_is_read_or_refused(given: Any) -> None:
    with suppress(AudienceRuleError):
        assert parse_audience_rule(json.dumps(given)).choices


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "(a|b){200}",
        r"\{900\}",
        "[{900}]",
        r"\Qa{900}\E",
        "(shoe|boot)s?" * 100,
    ],
)
def test_what_is_repeated_within_reason_is_read(pattern: str) -> None:
    parse_audience_rule(json.dumps(of_filter(leaf("url", "regex_match", pattern))))
