"""Meta's SDKs, unchanged but for their host, send what they can; every field is in the lake."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.app_data import AppData
from facebook_business.adobjects.serverside.batch_processor import BatchProcessor
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.event_request_async import EventRequestAsync
from facebook_business.adobjects.serverside.extended_device_info import ExtendedDeviceInfo
from facebook_business.adobjects.serverside.messaging_channel import MessagingChannel
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession

from doublet.engine.duckdb import DuckDBEngine
from tests.factories import sha256
from tests.server import RunningServer

SITE = "https://shop.example/thanks?a=1"
FBP = "fb.1.1596403881668.1116446470"
NODE_SCRIPT = Path(__file__).parent / "node" / "send_events.js"
NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"
MADID = "38400000-8cf0-11bd-b23e-10b96e40000d"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with RunningServer(tmp_path, workers=1) as running:
        monkeypatch.setattr(FacebookSession, "GRAPH", running.url)
        monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
        api = FacebookAdsApi.init(access_token=running.access_token, crash_log=False)
        yield running
        api._session.requests.close()


def make_events(prefix: str) -> list[Event]:
    """One event of each kind, identifiers plain."""
    now = int(time.time())
    return [
        Event(
            event_name="Purchase",
            event_time=now,
            event_id=f"{prefix}.website",
            event_source_url=SITE,
            action_source=ActionSource.WEBSITE,
            user_data=UserData(
                email="Ada@Example.com",
                phone="+44 20 7946 0000",
                first_name="Ada",
                client_ip_address="203.0.113.7",
                client_user_agent="Test/1.0",
                fbp=FBP,
            ),
            custom_data=CustomData(
                value=61.5,
                currency="USD",
                order_id=f"{prefix}.order",
                contents=[Content("teacup", 2, 30.75)],
                custom_properties={"shelf": "b"},
            ),
        ),
        Event(
            event_name="ViewContent",
            event_time=now,
            event_id=f"{prefix}.app",
            action_source=ActionSource.APP,
            user_data=UserData(email="Ada@Example.com", madid=MADID),
            app_data=AppData(
                application_tracking_enabled=True,
                advertiser_tracking_enabled=True,
                extinfo=ExtendedDeviceInfo(ext_info_version="a2", os_version="13.4.1"),
            ),
        ),
        Event(
            event_name="Purchase",
            event_time=now - 30 * 86400,
            event_id=f"{prefix}.store",
            action_source=ActionSource.PHYSICAL_STORE,
            user_data=UserData(email="Ada@Example.com"),
            custom_data=CustomData(value=5, currency="EUR"),
        ),
        Event(
            event_name="Purchase",
            event_time=now,
            event_id=f"{prefix}.chat",
            action_source=ActionSource.BUSINESS_MESSAGING,
            messaging_channel=MessagingChannel.WHATSAPP,
            user_data=UserData(page_id="1234567", ctwa_clid="ARAkLkA8rmlFeiCktEJQ"),
            custom_data=CustomData(value=7, currency="EUR"),
        ),
    ]


def send_at_once(pixel_id: str) -> int:
    """`EventRequest`: a form field with an array of JSON strings."""
    request = EventRequest(pixel_id=pixel_id, events=make_events("x"))
    return int(request.execute().events_received)


def send_async(pixel_id: str) -> int:
    """`EventRequestAsync`: a form field with an array of objects."""
    request = EventRequestAsync(pixel_id=pixel_id, events=make_events("x"))
    return int(asyncio.run(request.execute()).events_received)


def send_in_batches(pixel_id: str) -> int:
    """`BatchProcessor`: several requests side by side."""
    events = make_events("x")
    processor = BatchProcessor(batch_size=1, concurrent_requests=2)
    processor.process_events(EventRequestAsync(pixel_id=pixel_id, events=[]), events)
    return len(events)


def send_by_node(server: RunningServer) -> int:
    """The SDK for Node: a JSON body."""
    command = ["node", str(NODE_SCRIPT), server.url, server.pixel_id, server.access_token]
    environ = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    return int(done.stdout)


def stored(server: RunningServer, count: int) -> dict[str, dict[str, Any]]:
    """The lake's rows by event id, once there are so many."""

    def rows() -> list[dict[str, Any]]:
        found = sum(row["server"] for row in server.overview().values())
        if found < count:
            return []
        files = DeltaTable(str(server.settings.lake_folder / "events")).file_uris()
        engine = DuckDBEngine(
            server.settings.tmp_folder / "look.duckdb", server.settings.tmp_folder / "test"
        )
        try:
            return engine.query("select * from read_parquet($files)", {"files": files})
        finally:
            engine.close()

    return {row["event_id"]: row for row in server.wait_until(rows) or []}


def assert_whole(rows: dict[str, dict[str, Any]]) -> None:
    """Everything that `make_events` says is there, hashed where it names a person."""
    assert {"x.website", "x.app", "x.store", "x.chat"} == set(rows)
    said = {
        "x.website": {
            "em": [sha256("ada@example.com")],
            "ph": [sha256("442079460000")],
            "fn": [sha256("ada")],
            "client_ip_address": "203.0.113.7",
            "client_user_agent": "Test/1.0",
            "fbp": FBP,
        },
        "x.app": {"em": [sha256("ada@example.com")], "madid": MADID},
        "x.store": {"em": [sha256("ada@example.com")]},
        "x.chat": {"page_id": "1234567", "ctwa_clid": "ARAkLkA8rmlFeiCktEJQ"},
    }
    for event_id, user_data in said.items():
        known = rows[event_id]["user_data"].items()
        assert user_data == {key: value for key, value in known if value is not None}
    website = rows["x.website"]
    assert (SITE, "x.order") == (website["event_source_url"], website["order_id"])
    assert ("61.5000", "USD") == (str(website["value"]), website["currency"])
    custom_data = json.loads(website["custom_data"])
    assert [{"id": "teacup", "quantity": 2, "item_price": 30.75}] == custom_data["contents"]
    assert "b" == custom_data["shelf"]
    assert "physical_store" == rows["x.store"]["action_source"]
    assert {"messaging_channel": "whatsapp"} == json.loads(rows["x.chat"]["extra"])
    extinfo = json.loads(rows["x.app"]["extra"])["app_data"]["extinfo"]
    # The SDK for Node writes the slots as an object: {"0": "a2", …}.
    slots = (
        extinfo
        if isinstance(extinfo, dict)
        else dict(zip(map(str, range(16)), extinfo, strict=True))
    )
    assert ("a2", "13.4.1") == (slots["0"], slots["4"])


@pytest.mark.slow
@pytest.mark.parametrize("send", [send_at_once, send_async, send_in_batches])
def test_what_the_sdk_sends_arrives_whole(server: RunningServer, send: Any) -> None:
    assert 4 == send(server.pixel_id)
    assert_whole(stored(server, 4))


@pytest.mark.slow
@pytest.mark.skipif(
    not (NODE_MODULES / "facebook-nodejs-business-sdk").is_dir() and "CI" not in os.environ,
    reason="Meta's SDK for Node is not installed: `make node` says why",
)
def test_what_the_sdk_for_node_sends_arrives_whole(server: RunningServer) -> None:
    assert 4 == send_by_node(server)
    assert_whole(stored(server, 4))
