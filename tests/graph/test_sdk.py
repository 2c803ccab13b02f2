"""Meta's SDKs, unchanged but for their host, read from a running server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adspixel import AdsPixel
from facebook_business.adobjects.adspixelcapiintegrationquality import (
    AdsPixelCAPIIntegrationQuality,
)
from facebook_business.adobjects.dacheck import DACheck
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from doublet.catalog import Catalog
from doublet.reports.diagnostics import DIAGNOSTICS
from tests.server import RunningServer
from tests.test_sdk import NODE_MODULES, NODE_SCRIPT

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with RunningServer(tmp_path, workers=1) as running:
        monkeypatch.setattr(FacebookSession, "GRAPH", running.url)
        monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
        api = FacebookAdsApi.init(access_token=running.access_token, crash_log=False)
        yield running
        api._session.requests.close()


def send(server: RunningServer) -> None:
    """Two purchases, which are in the tables when this returns."""
    events = [
        Event(
            event_name="Purchase",
            event_time=int(time.time()),
            event_id=f"order.{n}",
            event_source_url="https://shop.example/thanks?a=1",
            action_source=ActionSource.WEBSITE,
            user_data=UserData(email="ada@example.com", client_ip_address="192.168.1.7"),
            custom_data=CustomData(value=61.5, currency="USD"),
        )
        for n in range(2)
    ]
    assert 2 == EventRequest(pixel_id=server.pixel_id, events=events).execute().events_received
    server.wait_until(lambda: server.overview().get("Purchase", {}).get("server") == 2)


def test_the_sdk_reads_a_pixel_its_stats_its_checks_and_its_quality(server: RunningServer) -> None:
    send(server)
    pixel = AdsPixel(server.pixel_id).api_get(
        fields=["id", "name", "code", "last_fired_time", "is_unavailable", "owner_ad_account"]
    )
    assert (server.pixel_id, "Test shop", False) == (
        pixel["id"],
        pixel["name"],
        pixel["is_unavailable"],
    )
    assert server.pixel_id in pixel["code"]
    assert isinstance(pixel["owner_ad_account"], AdAccount)
    fired = datetime.strptime(pixel["last_fired_time"], "%Y-%m-%dT%H:%M:%S%z")
    assert abs(fired.timestamp() - time.time()) < 120

    since = int(time.time()) - 7200
    stats = AdsPixel(server.pixel_id).get_stats(
        fields=["aggregation", "start_time", "data"],
        params={"aggregation": "host", "event_source": "SERVER_ONLY", "start_time": since},
    )
    rows = list(stats)
    assert {"host"} == {row["aggregation"] for row in rows}
    assert 2 == sum(each["count"] for row in rows for each in row["data"])
    assert {"shop.example"} == {each["value"] for row in rows for each in row["data"]}

    checks = list(
        AdsPixel(server.pixel_id).get_da_checks(
            fields=[DACheck.Field.key, DACheck.Field.result, DACheck.Field.user_message],
            params={"connection_method": DACheck.ConnectionMethod.server},
        )
    )
    found = {check["key"]: check["result"] for check in checks}
    assert ("failed", "passed") == (found["s2s_private_ip_address"], found["s2s_missing_ip"])

    api = FacebookAdsApi.get_default_api()
    answer = api.call(
        "GET",
        ("dataset_quality",),
        params={"dataset_id": server.pixel_id, "fields": "web{event_name,event_match_quality}"},
    ).json()
    quality = AdsPixelCAPIIntegrationQuality.create_object(
        api, answer["web"][0], AdsPixelCAPIIntegrationQuality
    )
    assert "Purchase" == quality["event_name"]
    assert 2.5 == quality["event_match_quality"]["composite_score"]


def test_the_sdk_walks_all_pages_of_an_accounts_pixels(server: RunningServer) -> None:
    catalog = Catalog(server.settings.catalog_url)
    made = {catalog.create_pixel(server.account_id, f"Pixel {n}")[0].pixel_id for n in range(5)}
    catalog.close()
    pixels = AdAccount(server.account_id).get_ads_pixels(fields=["name"], params={"limit": 2})
    assert {server.pixel_id, *made} == {pixel["id"] for pixel in pixels}
    # Others follow the address of the next page, which leads through the public port.
    seen = []
    address = f"{server.url}/v25.0/me/adspixels?access_token={server.access_token}&limit=4"
    while address:
        answer = httpx.get(address).json()
        seen += [pixel["id"] for pixel in answer["data"]]
        address = answer["paging"].get("next", "")
    assert sorted({server.pixel_id, *made}) == sorted(seen)


def test_the_sdk_raises_what_it_raises_at_meta(server: RunningServer) -> None:
    with pytest.raises(FacebookRequestError) as unknown:
        AdsPixel("1234567890123456").api_get(fields=["name"])
    error = unknown.value
    assert (400, 100, 33) == (
        error.http_status(),
        error.api_error_code(),
        error.api_error_subcode(),
    )
    api = FacebookAdsApi.get_default_api()
    with pytest.raises(FacebookRequestError) as wrong:
        api.call("GET", (server.pixel_id,), params={"fields": ["nope"]})
    assert 100 == wrong.value.api_error_code()
    assert "nonexisting field (nope)" in wrong.value.api_error_message()


def test_the_sdk_reads_in_batches(server: RunningServer) -> None:
    batch = FacebookAdsApi.get_default_api().new_batch()
    found: list[str] = []
    errors: list[int] = []
    for pixel_id in (server.pixel_id, "1234567890123456"):
        AdsPixel(pixel_id).api_get(
            fields=["name"],
            batch=batch,
            success=lambda answer: found.append(answer.json()["name"]),
            failure=lambda answer: errors.append(answer.error().api_error_code()),
        )
    batch.execute()
    assert (["Test shop"], [100]) == (found, errors)


@pytest.mark.skipif(
    not (NODE_MODULES / "facebook-nodejs-business-sdk").is_dir() and "CI" not in os.environ,
    reason="Meta's SDK for Node is not installed: `make node` says why",
)
def test_the_sdk_for_node_reads_the_same(server: RunningServer) -> None:
    send(server)
    script = NODE_SCRIPT.with_name("read_pixel.js")
    done = subprocess.run(
        ["node", str(script), server.url, server.pixel_id, server.access_token],
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert ("Test shop", False) == (found["name"], found["is_unavailable"])
    assert [{"value": "Purchase", "count": 2}] == found["stats"]
    assert {diagnostic.key for diagnostic in DIAGNOSTICS} == set(found["checks"])
