"""Audience rules over events that came the whole way, whose JSON nobody wrote for a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from doublet.audiences.compile import evaluation
from doublet.audiences.rule import parse_audience_rule
from tests.audiences import reference
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, Pipeline, make_record
from tests.persons.touching import fbp

NOW_S = NOON // SECOND
CUSTOM: list[dict[str, Any]] = [
    {"plan": "gold"},
    {"plan": ["silver", "gold/plus"], "a b": 'say "hi"'},
    {"plan": "größer", "größe": 38, "seats": 5},
    {"plan": "[gold]", "seats": "5.0"},
    {"content_ids": ["sku1", "sku2"], "content_category": "Shoes > Men"},
    {"contents": [{"id": "sku1", "quantity": 2}], "content_type": "product"},
    {"content_category": ["Shoes", "Men"], "trial": True, "nested": {"plan": "gold"}},
    {"plan": "a\\b\nc", "seats": 5.5, "x.y": "gold"},
    {},
]
COMPARISONS = [
    ("plan", "eq", "gold"),
    ("plan", "neq", "gold"),
    ("plan", "starts_with", "gold"),
    ("plan", "eq", "gold/plus"),
    ("plan", "i_contains", "GRÖ"),
    ("plan", "eq", "größer"),
    ("plan", "eq", "[gold]"),
    ("plan", "eq", "a\\b\nc"),
    ("plan", "regex_match", "^gold"),
    ("a b", "contains", '"hi"'),
    ("größe", ">=", 38),
    ("seats", "eq", 5),
    ("seats", "gt", "5"),
    ("x.y", "eq", "gold"),
    ("trial", "eq", True),
    ("content_ids", "is_any", ["sku1", "sku7"]),
    ("content_category", "eq", "Shoes"),
    ("content_category", "i_contains", "shoes"),
    ("content_type", "=", "product"),
    ("domain", "eq", "shop.example"),
    ("path", "starts_with", "/de/"),
    ("device_type", "eq", "mobile_iphone"),
    ("value", "<", "10.2"),
    ("currency", "i_is_any", ["eur"]),
]


@pytest.fixture(scope="module")
def events(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Pipeline, list[dict[str, Any]]]]:
    """Of one person each, and how the reference is told of them."""
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"))
    records, told = [], []
    for number, custom in enumerate(CUSTOM):
        url = f"https://Shop.example:443/{'de' if number % 2 else 'en'}/{number}"
        agent = "Mozilla/5.0 (iPhone)" if number % 3 else "Mozilla/5.0 (Windows NT 10.0)"
        records.append(
            make_record(
                NOON + number,
                event_name="ViewContent",
                event_id=f"view.{number}",
                event_time=NOW_S - number,
                event_source_url=url,
                user_data={"fbp": fbp(number), "client_user_agent": agent},
                custom_data={**custom, "value": 10 + number / 10, "currency": "EUR"},
            )
        )
        told.append(
            {
                "account_id": ACCOUNT,
                "pixel_id": PIXEL,
                "person_id": number,
                "event_name": "ViewContent",
                "event_time": NOW_S - number,
                "event_source_url": url,
                "domain": "shop.example",
                "path": f"/{'de' if number % 2 else 'en'}/{number}",
                "device_type": "mobile_iphone" if number % 3 else "desktop",
                "value": reference.number_of(str(10 + number / 10)),
                "currency": "EUR",
                "custom": custom,
            }
        )
    pipeline.append(records)
    pipeline.refresh()
    yield pipeline, told
    pipeline.close()


@pytest.mark.parametrize(("field", "operator", "value"), COMPARISONS)
def test_what_was_sent_is_what_a_rule_reads(
    events: tuple[Pipeline, list[dict[str, Any]]], field: str, operator: str, value: Any
) -> None:
    pipeline, told = events
    comparison = {"field": field, "operator": operator, "value": value}
    choice = {
        "event_sources": [{"id": PIXEL, "type": "pixel"}],
        "retention_seconds": 3600,
        "filter": {"operator": "and", "filters": [comparison]},
    }
    rule = {"inclusions": {"operator": "or", "rules": [choice]}}
    sql, parameters = evaluation(parse_audience_rule(json.dumps(rule)))
    given = {**parameters, "account_id": ACCOUNT, "now_s": NOW_S, "since_s": 0}
    # Persons are told apart by the second of their event.
    found = pipeline.engine.query(
        f"select $now_s - event_time as number from behaviours semi join ({sql}) using (person_id)",
        given,
    )
    members = reference.members(rule, told, NOW_S, account_id=ACCOUNT)
    assert members == {row["number"] for row in found}
    assert members, "no event fits: the comparison shows nothing"
