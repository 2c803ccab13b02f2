"""What Meta's SDKs make of events, and what the relay makes of the same events, field by field."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession

from doublet.accept import Arrival, accept_events, read_request
from doublet.catalog import Destination, DestinationRules
from doublet.destinations.meta import KIND
from doublet.destinations.policy import Planned, Stored, plan
from doublet.normalize import HASHED_KEYS
from tests.server import served
from tests.test_sdk import NODE_MODULES, NODE_SCRIPT, make_events

DESTINATION = Destination(
    *("dst_1", "act_1", "meta", "Meta", 0, False, {"pixel_id": "123456"}, "token"),
    DestinationRules(),
)


class Recorder:
    """A platform that keeps the bodies it gets."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        answer = {"events_received": 4, "messages": [], "fbtrace_id": "Axxxxxxxxxxxxxxxxxxxxxx"}
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Recorder, str]]:
    made = Recorder()
    with served(made) as url:
        monkeypatch.setattr(FacebookSession, "GRAPH", url)
        monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
        yield made, url


def _sent(body: bytes) -> list[dict[str, Any]]:
    """The events in a body, whichever way an SDK writes them."""
    if body[:1] == b"{":
        data = json.loads(body)["data"]
    else:
        data = json.loads(parse_qs(body.decode())["data"][0])
    return [json.loads(event) if isinstance(event, str) else event for event in data]


def _relayed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events through the door of the Conversions API and out of the relay."""
    request = read_request(json.dumps({"data": events}).encode())
    assert not isinstance(request, tuple)
    arrival = Arrival("act_1", "1", "server", time.time_ns() // 1000, 0)
    records = accept_events(request, arrival)  # type: ignore[arg-type]
    assert isinstance(records, list), records
    made = []
    for offset, record in enumerate(records):
        fields = msgspec.json.decode(record)
        place = {"log_slot": 0, "log_offset": offset, "first_received_at": fields["received_at"]}
        stored = msgspec.convert({**fields, **place, "server_copies": 1}, Stored)
        planned = plan(stored, DESTINATION, KIND, time.time(), lambda identifier: None)
        assert isinstance(planned, Planned), planned
        made.append(planned.event)
    parts = KIND.encode(DESTINATION, made).parts
    return [json.loads(part) for part in parts]


def _alike(event: dict[str, Any]) -> dict[str, Any]:
    """An event in one form: SDKs write one hash or a list of one, currencies in lower case, and the
    slots of extinfo as an object of numbers."""
    user = {
        key: [value] if key in HASHED_KEYS and isinstance(value, str) else value
        for key, value in event["user_data"].items()
    }
    alike = {**event, "user_data": user}
    if "currency" in event.get("custom_data", {}):
        currency = event["custom_data"]["currency"].upper()
        alike["custom_data"] = {**event["custom_data"], "currency": currency}
    extinfo = event.get("app_data", {}).get("extinfo")
    if isinstance(extinfo, list):
        slots = {str(slot): text for slot, text in enumerate(extinfo)}
        alike["app_data"] = {**event["app_data"], "extinfo": slots}
    return alike


def _assert_equal(body: bytes) -> None:
    sent = _sent(body)
    assert 4 == len(sent)
    for theirs, ours in zip(sent, _relayed(sent), strict=True):
        assert _alike(theirs) == _alike(ours)


def test_the_relay_encodes_as_the_sdk_for_python(recorder: tuple[Recorder, str]) -> None:
    platform, _ = recorder
    api = FacebookAdsApi.init(access_token="token", crash_log=False)
    EventRequest(pixel_id="123456", events=make_events("x")).execute()
    api._session.requests.close()
    _assert_equal(platform.bodies[0])


@pytest.mark.skipif(
    not (NODE_MODULES / "facebook-nodejs-business-sdk").is_dir() and "CI" not in os.environ,
    reason="Meta's SDK for Node is not installed: `make node` says why",
)
def test_the_relay_encodes_as_the_sdk_for_node(recorder: tuple[Recorder, str]) -> None:
    platform, url = recorder
    done = subprocess.run(
        ["node", str(NODE_SCRIPT), url, "123456", "token"],
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    _assert_equal(platform.bodies[0])
