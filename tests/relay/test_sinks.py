"""Webhooks, postbacks and files through the relay's real process."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from doublet.catalog import Destination, DestinationRules
from tests.relay.stage import Stage
from tests.server import served, wait_for

FAST = DestinationRules(batch_wait_s=0.1)
KEY = b"thirty-two bytes that nobody has"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "ours")
    yield made
    made.close()


class Receiver:
    """It keeps requests, and answers 503 to the first."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((f"{scope['path']}?{scope['query_string'].decode()}", headers, body))
        status = 503 if len(self.requests) == 1 else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def _destination(stage: Stage, kind: str, secret: str = "", **target: str) -> Destination:
    account_id = stage.account.account_id
    return stage.catalog.create_destination(account_id, kind, kind, target, secret, FAST)


def test_each_attempt_of_a_webhook_is_signed_for_its_time(stage: Stage) -> None:
    receiver = Receiver()
    with served(receiver) as url:
        destination = _destination(stage, "webhook", SECRET, url=f"{url}/events")
        stage.offer(destination, {}, {})
        began = int(time.time())
        stage.run()
        stage.wait_for(destination, sent=2)
    first, second = receiver.requests
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    for _, headers, body in receiver.requests:
        sent_at = headers["webhook-timestamp"]
        assert began <= int(sent_at) <= time.time()
        signed = f"{headers['webhook-id']}.{sent_at}.".encode() + body
        digest = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert f"v1,{digest}" == headers["webhook-signature"]
    data = json.loads(second[2])["data"]
    assert ["event-1", "event-2"] == sorted(event["event_id"] for event in data)


def test_a_postback_goes_only_where_its_click_is_from(stage: Stage) -> None:
    receiver = Receiver()
    with served(receiver) as url:
        destination = _destination(stage, "postback", url=f"{url}/s2s?c={{gclid}}&e={{event_id}}")
        stage.offer(destination, {"extra": {"touch": {"gclid": "a&b"}}}, {})
        stage.run()
        stage.wait_for(destination, sent=1, withheld=1)
    assert {"/s2s?c=a%26b&e=event-1"} == {address for address, _, _ in receiver.requests}


def test_an_address_that_becomes_too_long_stops_no_other_event(stage: Stage) -> None:
    receiver = Receiver()
    with served(receiver) as url:
        address = f"{url}/s2s?n={{custom_data.note}}&e={{event_id}}"
        destination = _destination(stage, "postback", url=address)
        stage.offer(destination, {"custom_data": {"note": "x" * 70_000}}, {})
        stage.run()
        stage.wait_for(destination, sent=1, failed=1)
    assert {"/s2s?n=&e=event-2"} == {address for address, _, _ in receiver.requests}


def test_a_drop_makes_files_and_waits_for_its_folder(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    destination = _destination(stage, "drop", folder=str(folder), format="parquet")
    stage.offer(destination, *({} for _ in range(50)))
    stage.run()
    pause = wait_for(lambda: stage.outbox.pauses().get(destination.destination_id))
    assert pause is not None
    assert ("blocked", f"There is no folder {folder}.") == (pause.verdict, pause.message)
    folder.mkdir()
    stage.outbox.end_pause(destination.destination_id)
    stage.wait_for(destination, sent=50)
    found = duckdb.execute(
        "select count(distinct event_id), count(*) from "
        f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
    ).fetchone()
    assert (50, 50) == found
    assert [] == [path for path in folder.rglob("*") if path.name.endswith(".part")]
