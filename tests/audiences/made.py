"""Audience rules and events, as Hypothesis makes them: few values, so that they often meet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.audiences.behaviours import ACCOUNT

NOW_S = 1_780_000_000
DAY_S = 86_400
PIXELS = ("1111111111111111", "2222222222222222")
EVENT_NAMES = ("ViewContent", "Purchase", "AddToCart")
URLS = (
    "https://shop.example/de/Shoes?order=7#top",
    "https://shop.example/shoes",
    "https://other.example/",
    "http://shop.example/É",
)
HOSTILE = ("'; drop table behaviours; --", "%", "_", "a'b", '"', "\\", "$reach_s", "[", "[1]", "ß")
PATTERNS = ("^https?://shop", "order=[0-9]+", "[Ss]hoes$", "é|É", "^$", "a{2}", r"\bde\b")
SECONDS = st.sampled_from([25, 40, 20, 12, 7, 1]) | st.integers(1, 40)

texts = st.one_of(
    st.sampled_from(["a", "ab", "A", "10", "10.0", "-3", "1e3", "", "Shoes", "EUR", *HOSTILE]),
    st.text("aAbB1.0é$'\"\\%[", max_size=3),
)
custom_keys = st.sampled_from(["plan", "seats", "a b", "x.y", "$k", "größe"])
named_keys = st.sampled_from(["content_type", "content_category", "content_name", "content_ids"])
scalars = st.one_of(texts, st.integers(-5, 12), st.booleans(), st.none(), st.just(10.5))
customs: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    custom_keys | named_keys, scalars | st.lists(scalars, max_size=3), max_size=4
)
contents = st.lists(
    st.fixed_dictionaries({}, optional={"id": scalars, "quantity": st.integers(1, 3)}), max_size=2
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """One event of one of a few persons, mostly of the last seconds."""
    custom = draw(st.none() | customs)
    if custom is not None and draw(st.booleans()):
        custom = {**custom, "contents": draw(contents)}
    age_s = draw(st.integers(-2, 45) | st.integers(-DAY_S - 20, -DAY_S + 5))
    return {
        "account_id": draw(st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, "act_2"])),
        "pixel_id": draw(st.sampled_from(PIXELS)),
        "person_id": draw(st.sampled_from([1, 2, 2, None])),
        "event_name": draw(st.sampled_from(EVENT_NAMES) | texts),
        "event_time": NOW_S - age_s,
        "event_source_url": draw(st.none() | st.sampled_from(URLS) | texts),
        "domain": draw(st.none() | st.sampled_from(["shop.example", "other.example"])),
        "path": draw(st.none() | st.sampled_from(["/de/Shoes", "/shoes", "/"])),
        "device_type": draw(st.none() | st.sampled_from(["desktop", "mobile_iphone"])),
        "value": draw(st.none() | st.decimals(-20, 40, places=2)),
        "currency": draw(st.none() | st.sampled_from(["EUR", "USD"])),
        "order_id": draw(st.none() | texts),
        "custom": custom,
    }


FIELDS = ("url", "domain", "path", "device_type", "value", "currency", "order_id")
NUMBER_OPERATORS = (">", ">=", "<", "<=", "gt", "gte", "lt", "lte")
LIST_OPERATORS = ("is_any", "is_not_any", "i_is_any", "i_is_not_any")
TEXT_OPERATORS = (
    *("=", "!=", "eq", "neq", "not_eq", "contains", "not_contains", "i_contains"),
    *("i_not_contains", "starts_with", "i_starts_with"),
)


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    """A comparison of any field by any operator."""
    if draw(st.booleans()):
        name = draw(st.sampled_from(EVENT_NAMES))
        return {"field": "event", "operator": draw(st.sampled_from(["=", "eq"])), "value": name}
    field = draw(st.sampled_from(FIELDS) | custom_keys | named_keys)
    operator = draw(
        st.sampled_from([*NUMBER_OPERATORS, *LIST_OPERATORS, *TEXT_OPERATORS, "regex_match"])
    )
    known = texts | st.sampled_from([*URLS, "shop.example", "/shoes", "desktop", "shoes"])
    value: Any
    if operator in NUMBER_OPERATORS:
        value = draw(st.integers(-20, 20) | st.sampled_from(["3", "10.50", 10.5]))
    elif operator in LIST_OPERATORS:
        value = draw(st.lists(known | st.integers(0, 12), max_size=3))
    elif operator == "regex_match":
        value = draw(st.sampled_from(PATTERNS))
    else:
        value = draw(known | st.integers(0, 12) | st.booleans())
    return {"field": field, "operator": operator, "value": value}


def _filters(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "operator": st.sampled_from(["and", "or"]),
            "filters": st.lists(inner, min_size=1, max_size=3),
        }
    )


anything = st.just({"field": "value", "operator": "!=", "value": "no number"})
filters = _filters(st.recursive(anything | comparisons(), _filters, max_leaves=5))
COMPARISONS = ("=", "!=", ">", ">=", "<", "<=", "eq", "neq", "gt", "gte", "lt", "lte")


@st.composite
def aggregations(draw: st.DrawFn) -> dict[str, Any]:
    """Any that somebody can be chosen by."""
    kind = draw(st.sampled_from(["count", "count", "sum", "avg", "min", "max"]))
    operator = draw(st.sampled_from(COMPARISONS))
    asked: dict[str, Any] = {"type": kind, "operator": operator}
    if draw(st.booleans()):
        asked["method"] = "absolute"
    if kind == "count":
        least = {"<": 2, "lt": 2, ">": 0, "gt": 0}.get(operator, 1)
        number: Any = draw(st.integers(least, 6) | st.sampled_from([2, 3, 21]))
    else:
        asked["field"] = draw(st.sampled_from(["value", "value", "seats", "größe"]))
        number = draw(st.integers(-5, 40) | st.sampled_from(["7.25", 10.5, "0", "2.5", "10"]))
    asked["value"] = str(number) if draw(st.booleans()) else number
    return asked


@st.composite
def choices(
    draw: st.DrawFn, which: st.SearchStrategy[dict[str, Any]], is_about_many: bool
) -> dict[str, Any]:
    """One rule of inclusions or exclusions, with a filter of these."""
    named = draw(st.lists(st.sampled_from(PIXELS), min_size=1, max_size=2, unique=True))
    rule = {
        "event_sources": [{"id": each, "type": "pixel"} for each in named],
        "retention_seconds": draw(SECONDS),
        "filter": draw(which),
    }
    if is_about_many and draw(st.sampled_from([True, True, True, False])):
        rule["aggregation"] = draw(aggregations())
    return rule


def sides(each: st.SearchStrategy[dict[str, Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Inclusions or exclusions."""
    return st.fixed_dictionaries(
        {
            "operator": st.sampled_from(["and", "or"]),
            "rules": st.lists(each, min_size=1, max_size=most),
        }
    )


any_sides = sides(choices(filters, True), 3)
rules = st.fixed_dictionaries({"inclusions": any_sides}, optional={"exclusions": any_sides})
"""Of anything."""

filtering_rules = st.fixed_dictionaries({"inclusions": sides(choices(filters, False), 1)})
"""Of which only the filter decides."""

_of_events = st.sampled_from(EVENT_NAMES).map(
    lambda name: {"field": "event", "operator": "eq", "value": name}
)
_few = (anything | _of_events).map(lambda each: {"operator": "and", "filters": [each]})
one_choice = st.fixed_dictionaries({"inclusions": sides(choices(_few, True), 1)})
"""Of one rule, of which times and numbers decide."""

_counting = sides(choices(_few, True), 3)
counting_rules = st.fixed_dictionaries(
    {"inclusions": _counting}, optional={"exclusions": _counting}
)
"""Of which times and numbers decide."""

counted_events = st.lists(
    st.fixed_dictionaries(
        {
            "account_id": st.just(ACCOUNT),
            "pixel_id": st.sampled_from([PIXELS[0], *PIXELS]),
            "person_id": st.sampled_from([1, 1, 1, 2]),
            "event_name": st.sampled_from([EVENT_NAMES[0], *EVENT_NAMES]),
            "event_time": st.sampled_from(range(NOW_S - 30, NOW_S))
            | st.sampled_from(range(NOW_S - 9, NOW_S))
            | st.sampled_from(range(NOW_S + DAY_S - 2, NOW_S + DAY_S + 10)),
            "value": st.sampled_from([None, *map(Decimal, ("-3", "0", "2.5", "7.25", "10"))]),
            "custom": st.sampled_from(
                [None, *({"seats": each} for each in (0, 2, 10.5, "-1", "many", [3]))]
            ),
        }
    ),
    min_size=5,
    max_size=14,
)
"""Many of one person."""
