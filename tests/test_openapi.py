"""The description of every HTTP interface against a server that runs: nothing undescribed, no 500,
and every answer is as described."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from doublet.catalog import Audience, Catalog
from doublet.openapi import document
from doublet.openapi.operations import OPERATIONS, STREAM
from doublet.relaying import filler_of
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.web.page import ATTRIBUTION, PAGES, PATHS
from doublet.worker import OperatorKey, application, feed_of
from tests.factories import make_event
from tests.server import RunningServer

EXAMPLES = 12
FOR_PEOPLE = PATHS | {
    *(f"/persons/{action}" for action in ("find", "export", "erase", "apart")),
    "/static",
    "/relay/replay",
    "/relay/pause",
    "/delivery/pause",
    "/delivery/activate",
    "/profile/password",
    "/profile/session",
    *(f"/audiences/{form}" for form in ("preset", "rule", "like", "rename", "delete")),
    *(f"/settings/{form}" for form in ("account", "pixels", "tokens", "users")),
}
"""Pages and what belongs to them: nothing that programs use."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
IDS = [
    f"{operation.method} {operation.path}"
    for operation in OPERATIONS
    # Nobody can read an answer without an end to its end; tests/test_live.py reads it.
    if STREAM not in operation.answers
]


def purchase(**fields: Any) -> dict[str, Any]:
    """A Purchase of this moment."""
    custom = {"value": 1.5, "currency": "EUR", "order_id": "1001"}
    return make_event(event_time=int(time.time()), custom_data=custom, **fields)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("openapi"), workers=1) as running:
        events = [purchase(event_id="Purchase"), purchase(event_id="2", event_name="Lead")]
        path = f"{running.url}/v25.0/{running.pixel_id}/events"
        answer = httpx.post(path, headers=running.headers, json={"data": events})
        assert 200 == answer.status_code, answer.text
        catalog = Catalog(running.settings.catalog_url)
        catalog.shops.create(running.account_id, running.pixel_id, "shopify", "Shop")
        catalog.audiences.create(Audience("", running.account_id, "Customers", "CUSTOM"))
        catalog.close()
        running.wait_until(lambda: "Lead" in running.overview(), what="the events are modelled")
        yield running


def test_every_route_is_described_or_for_people(tmp_path: Path) -> None:
    chosen = Settings(data=tmp_path)
    chosen.run_folder.mkdir(parents=True)
    catalog = Catalog(chosen.catalog_url)
    catalog.migrate()
    freshener = Freshener(chosen)
    try:
        feed = feed_of(chosen, catalog, freshener)
        filler = filler_of(chosen, catalog, freshener)
        key = OperatorKey(chosen.run_folder)
        app = application(chosen, catalog, freshener, key, feed, filler)
    finally:
        freshener.close()
        catalog.close()
    mounted = {
        (method.lower(), route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }
    described = {(operation.method, operation.path) for operation in OPERATIONS}
    missing = {
        (method, path)
        for method, path in mounted - described
        if re.sub(r"/{.*", "", path) not in FOR_PEOPLE and "{path:graph" not in path
    }
    assert set() == missing, "add an entry to OPERATIONS in doublet/openapi/operations.py"


def test_every_page_of_the_navigation_has_both_twins() -> None:
    described = {operation.path for operation in OPERATIONS if operation.method == "get"}
    pages = [each.path for _, group in PAGES for each in group] + [path for path, _ in ATTRIBUTION]
    pages += ["/event", "/order", "/profile"]
    missing = {f"{path}{form}" for path in pages for form in (".json", ".csv")} - described
    assert set() == missing


def test_every_reference_leads_somewhere() -> None:
    described = document("https://events.shop.example")

    def look(part: Any) -> None:
        for inner in part.values() if isinstance(part, dict) else part:
            if isinstance(inner, str) and inner.startswith("#/"):
                found: Any = described
                for name in inner[2:].split("/"):
                    found = found[name]
            elif isinstance(inner, dict | list):
                look(inner)

    look(described)


def test_the_server_serves_its_description_to_everyone(server: RunningServer) -> None:
    told = httpx.get(f"{server.url}/openapi.json").json()
    assert ("3.1.0", server.url) == (told["openapi"], told["servers"][0]["url"])
    assert document(server.url) == told


def shop_of(server: RunningServer) -> str:
    """The id of the server's shop."""
    catalog = Catalog(server.settings.catalog_url)
    shop = catalog.shops.one(None)
    catalog.close()
    return shop.shop_id


def audience_of(server: RunningServer) -> str:
    """The id of the server's customer list."""
    catalog = Catalog(server.settings.catalog_url)
    audience = catalog.audiences.one("Customers")
    catalog.close()
    return audience.audience_id


def description_of(server: RunningServer) -> Any:
    """The served description, in which ids are those of the server, or of nobody."""
    described = httpx.get(f"{server.url}/openapi.json").json()
    places = described["components"]["parameters"]
    for name in ("pixel_id", "id", "dataset_id", "pixel"):
        places[name]["schema"] = {"enum": [server.pixel_id, "123456789012345"]}
    places["shop_id"]["schema"] = {"enum": [shop_of(server), "shp_123456789012"]}
    places["audience_id"]["schema"] = {"enum": [audience_of(server), "123456789012345"]}
    for name in ("account_id", "account"):
        places[name]["schema"] = {"enum": [server.account_id, "act_123456789012345"]}
    return schemathesis.openapi.from_dict(described)


PEOPLE = '{"schema": "EMAIL", "data": ["mary@example.com"]}'
GOOD: dict[str, dict[str, Any]] = {
    "post /{version}/{pixel_id}/events": {"body": {"data": [purchase()]}},
    "post /{pixel_id}/events": {"body": {"data": [purchase()], "partner_agent": "shop-1.0"}},
    "post /capi/{pixel_id}/events": {"body": {"data": [purchase()]}},
    "post /v1/orders": {
        "body": {"data": [{"order_id": "1", "kind": "cancelled", "changed_at": 1795600000}]}
    },
    "post /v1/leads": {
        "body": {"data": [{"lead_id": "1", "stage": "won", "changed_at": int(time.time()) - 60}]}
    },
    "post /v1/ad_touches": {
        "body": {
            "data": [
                {
                    "kind": "click",
                    "touched_at": int(time.time()) - 60,
                    "platform": "taboola",
                    "click_id": "c-1",
                }
            ]
        }
    },
    "post /v1/ad_days": {
        "body": {
            "data": [
                {
                    "platform": "meta",
                    "ad_id": "a1",
                    "date": "2026-11-01",
                    "spend": 9.5,
                    "currency": "EUR",
                    "reported": {"purchase": {"7d_click": {"count": 2, "value": 80}}},
                }
            ]
        }
    },
    "get /v1/postback": {"query": {"click_id": "c-1", "platform": "taboola"}},
    "post /v1/postback": {"query": {"click_id": "c-1", "event_name": "Lead"}},
    "post /v1/shops/{shop_id}/visitor": {"body": {"token": "cart-4711", "fbp": "fb.1.2.3"}},
    "post /v1/check": {"body": {"data": [purchase()]}},
    "post /v1/person/export": {"body": {"user_data": {"em": "mary@example.com"}}},
    "post /v1/person/erase": {"body": {"user_data": {"em": "nobody@example.com"}}},
    "post /setup.json": {
        "body": {
            "platform": "html",
            "goal": "leads",
            "place": "local",
            "site_url": "http://localhost:8080/",
        }
    },
    "post /{version}/{account_id}/customaudiences": {
        "body": {
            "name": "Buyers",
            "subtype": "WEBSITE",
            "rule": '{"event": {"eq": "Purchase"}}',
            "retention_days": 30,
        }
    },
    "post /{version}/{account_id}/campaigns": {
        "body": {"name": "Autumn", "objective": "OUTCOME_SALES", "special_ad_categories": "[]"}
    },
    "post /{version}/{account_id}/adcreatives": {
        "body": {"name": "Red", "link_url": "https://shop.example/", "title": "New"}
    },
    "get /{version}/{account_id}/customaudiences": {"query": {"fields": "name,rule"}},
    "post /{version}/{audience_id}/users": {"body": {"payload": PEOPLE}},
    "delete /{version}/{audience_id}/users": {"body": {"payload": PEOPLE}},
    "post /{version}/{audience_id}/usersreplace": {
        "body": {"payload": PEOPLE, "session": '{"session_id": 1, "last_batch_flag": true}'}
    },
    "delete /{version}/{account_id}/usersofanyaudience": {"body": {"payload": PEOPLE}},
    "get /order.json": {"query": {"order_id": "1001"}},
    "get /explain.json": {"query": {"event_id": "Purchase"}},
    "get /{version}/dataset_quality": {"query": {"dataset_id": ""}},
    "post /{version}": {"body": {"batch": [{"method": "GET", "relative_url": "me/adspixels"}]}},
}


@pytest.mark.parametrize("wanted", GOOD)
def test_a_good_request_is_answered_as_described(server: RunningServer, wanted: str) -> None:
    method, path = wanted.split(" ")
    good = dict(GOOD[wanted])
    if "dataset_id" in good.get("query", {}):
        good["query"] = {"dataset_id": server.pixel_id}
    known = {
        "version": "v25.0",
        "pixel_id": server.pixel_id,
        "shop_id": shop_of(server),
        "account_id": server.account_id,
        "audience_id": audience_of(server),
    }
    places = {name: value for name, value in known.items() if f"{{{name}}}" in path}
    operation = description_of(server)[path][method.upper()]
    media = {"media_type": "application/json"} if "body" in good else {}
    case = operation.Case(path_parameters=places, **good, **media)
    answer = case.call_and_validate(
        base_url=server.url, headers=server.headers, checks=CHECKS, timeout=60
    )
    (described,) = [one for one in OPERATIONS if (one.method, one.path) == (method, path)]
    assert described.status == answer.status_code, answer.text


@pytest.mark.slow
@pytest.mark.parametrize("wanted", IDS)
def test_answers_are_as_described_whatever_is_asked(server: RunningServer, wanted: str) -> None:
    method, path = wanted.split(" ")
    operation = description_of(server)[path][method.upper()]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(
            base_url=server.url, headers=server.headers, checks=CHECKS, timeout=60
        )

    check()
