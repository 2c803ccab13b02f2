"""Whatever a shop writes into an event, no platform's module fails on it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from doublet.destinations.contract import Response, Verdict
from doublet.destinations.kinds import KINDS
from tests.destinations.cases import cases

TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
JSON: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | TEXT,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: "Infinity" not in json.dumps(value))

KNOWN = (
    "contents content_ids content_type content_name num_items predicted_ltv search_string "
    "delivery_category ga_client_id ga_session_id touch consent app_data opt_out id quantity"
).split()
FIELDS = some.dictionaries(
    some.sampled_from(KNOWN) | TEXT,
    JSON | some.lists(some.dictionaries(some.sampled_from(KNOWN), JSON), max_size=2),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(custom=FIELDS, extra=FIELDS, name=TEXT.filter(bool))
def test_an_event_of_any_content_becomes_a_request(
    kind: str, custom: dict[str, Any], extra: dict[str, Any], name: str
) -> None:
    case = dict(cases(kind))["purchase"]
    event = msgspec.structs.replace(
        case.events[0], event_name=name, custom_data=custom, extra=extra, action_source="app"
    )
    destination = case.destination(kind)
    assert isinstance(KINDS[kind].unfit(destination, event), str)
    hash(KINDS[kind].group(event))
    request = KINDS[kind].encode(destination, [event])
    assert json.loads(request.parts[0])
    # A postback may stand in the address alone.
    assert request.parts[0] in request.body or kind == "postback"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(status=some.integers(100, 599), body=JSON, count=some.integers(1, 3))
def test_an_answer_of_any_content_has_a_verdict(
    kind: str, status: int, body: object, count: int
) -> None:
    outcome = KINDS[kind].decide(Response(status, {}, json.dumps(body).encode()), count)
    assert all(index < count for index in outcome.refused)
    assert outcome.verdict is not Verdict.DONE or status in (*range(200, 300), 422)
