"""Whom a request to Google Analytics is of, what may share one, and what an event may be called."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from doublet.destinations.contract import Outgoing, Response, Verdict
from doublet.destinations.ga4 import KIND, decide, group, unfit
from tests.destinations.cases import cases

EVENT = Outgoing("PageView", "e-1", 1790000000, user_data={"fbp": "fb.1.1789990000000.1116446470"})
DESTINATION = dict(cases("ga4"))["purchase"].destination("ga4")


def _body(event: Outgoing) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(KIND.encode(DESTINATION, [event]).body)
    return found


def _with(**changes: Any) -> Outgoing:
    return msgspec.structs.replace(EVENT, **changes)


@pytest.mark.parametrize(
    ("custom", "user_data", "client_id"),
    [
        ({"ga_client_id": "1.2"}, {"fbp": "fb.1.1789990000000.5"}, "1.2"),
        ({"ga_client_id": "GA1.2.3.4"}, {}, "3.4"),
        ({"ga_client_id": "GA1.1-2.3.4"}, {}, "3.4"),
        ({}, {"fbp": "fb.1.1789990000000.5", "external_id": ["a" * 64]}, "5.1789990000"),
        ({}, {"fbp": "fb.1.1789990000.5"}, "5.1789990000"),
        ({"ga_client_id": 7}, {"external_id": ["a" * 64]}, "a" * 64),
    ],
)
def test_the_browser_is_known_by_the_best_id(
    custom: dict[str, Any], user_data: dict[str, Any], client_id: str
) -> None:
    event = _with(custom_data=custom, user_data=user_data)
    assert ("", client_id) == (unfit(DESTINATION, event), _body(event)["client_id"])


def test_without_any_id_an_event_is_not_told() -> None:
    assert unfit(DESTINATION, _with(user_data={"em": ["a" * 64], "client_ip_address": "192.0.2.7"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": EVENT.event_time + 1},
        {"user_data": {"fbp": "fb.1.1789990000000.7"}},
        {"user_data": EVENT.user_data | {"em": ["a" * 64]}},
        {"is_limited": True},
        {"extra": {"consent": {"ad_user_data": "denied"}}},
    ],
)
def test_what_a_request_says_once_must_be_the_same(changes: dict[str, Any]) -> None:
    assert group(EVENT) == group(_with(event_name="Search", event_id="e-2"))
    assert group(EVENT) != group(_with(**changes))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Purchase", "purchase"),
        ("purchase", "purchase"),
        ("Viewed Pricing!", "Viewed_Pricing"),
        ("Größe gewählt", "Größe_gewählt"),
        ("x" * 50, "x" * 40),
    ],
)
def test_an_event_has_a_name_of_googles(name: str, told: str) -> None:
    event = _with(event_name=name)
    assert ("", told) == (unfit(DESTINATION, event), _body(event)["events"][0]["name"])


@pytest.mark.parametrize(
    "name", ["session_start", "1st step", "_hidden", "ga_x", "firebase_x", "!"]
)
def test_a_name_that_google_keeps_is_not_told(name: str) -> None:
    assert "rename it" in unfit(DESTINATION, _with(event_name=name))


def test_parameters_keep_to_googles_limits() -> None:
    custom: dict[str, Any] = {f"p{n:02}": "x" * 200 for n in range(40)}
    custom |= {"ga_x": 1, "2nd": 1, "a-b": 1, "x" * 41: 1, "deep": {"a": 1}, "value": 3}
    url = "https://shop.example/" + "x" * 2000
    event = _with(custom_data=custom, event_source_url=url, value="3")
    params = _body(event)["events"][0]["params"]
    assert 25 == len(params)
    assert params.keys() <= {f"p{n:02}" for n in range(40)} | {
        *("engagement_time_msec", "value", "page_location", "event_id")
    }
    assert (3, 100, 1000) == (params["value"], len(params["p00"]), len(params["page_location"]))


def test_a_purchase_without_an_order_id_is_counted_once_by_its_event_id() -> None:
    params = _body(_with(event_name="Purchase"))["events"][0]["params"]
    assert "e-1" == params["transaction_id"]


def test_the_secret_is_part_of_the_address() -> None:
    destination = msgspec.structs.replace(DESTINATION, secret="a&b=/?")
    url = KIND.encode(destination, [EVENT]).url
    assert url.endswith("&api_secret=a%26b%3D%2F%3F")


def test_what_the_validation_server_says_of_no_known_event_is_of_the_request() -> None:
    body = b'{"validationMessages": [{"description": "Event at index: [7] is bad."}]}'
    assert Verdict.DIVIDE is decide(Response(200, {}, body), 2).verdict


def test_of_one_event_all_is_said_that_the_validation_server_says() -> None:
    body = b'{"validationMessages": [{"description": "No."}, {}]}'
    assert {0: "No."} == decide(Response(200, {}, body), 1).refused
