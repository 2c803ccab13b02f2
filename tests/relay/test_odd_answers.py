"""Answers that no platform documents: nothing is lost, and nothing stands still or grows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.catalog import Destination, DestinationRules
from doublet.outbox import Outbox
from doublet.relay import loop
from doublet.relay.loop import Sender, Writer
from tests.relay.stage import Stage
from tests.server import served, wait_for

FAST = DestinationRules(batch_wait_s=0.0)
TOKEN = "a-token-that-is-secret"
TAKEN = b'{"events_received": 1}'
WEBHOOK_SECRET = "whsec_dGhpcnR5LXR3byBieXRlcyB0aGF0IG5vYm9keSBoYXM="


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "ours")
    yield made
    made.close()


class Odd:
    """Answers the first request oddly, the others as Meta does; counts, and keeps cookies."""

    def __init__(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        self.first = status, body, headers
        self.cookies: list[bytes] = []
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        self.cookies += [value for name, value in scope["headers"] if name == b"cookie"]
        self.requests += 1
        status, body, headers = self.first if self.requests == 1 else (200, TAKEN, ())
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})


USAGE = json.dumps({"call_count": 100, "estimated_time_to_regain_access": "5"}).encode()


def _meta(stage: Stage, url: str, rules: DestinationRules = FAST) -> Destination:
    return stage.destination(url, "12345", TOKEN, rules)


@pytest.mark.parametrize(
    ("status", "body", "headers", "requests"),
    [
        (200, b"<html>Please log in</html>", (), 2),
        (200, b"", (), 2),
        (200, b"not gzip", ((b"content-encoding", b"gzip"),), 2),
        (200, b"[" * 100_000, (), 2),
        (503, b'{"error": {"code": []}}', (), 2),
        (200, TAKEN, ((b"x-app-usage", USAGE),), 1),
        (200, TAKEN + b" " * (8 << 20), (), 1),
    ],
    ids=["page", "nothing", "no gzip", "nested", "code", "usage", "long"],
)
def test_what_is_no_answer_of_the_api_is_asked_for_again(
    stage: Stage, status: int, body: bytes, headers: Any, requests: int
) -> None:
    platform = Odd(status, body, *headers)
    with served(platform) as url:
        destination = _meta(stage, url)
        stage.offer(destination, {})
        relay = stage.run()
        stage.wait_for(destination, sent=1)
    assert requests == platform.requests
    assert "Traceback" not in relay.stderr


def test_a_cookie_is_not_kept(stage: Stage) -> None:
    platform = Odd(503, b"", (b"set-cookie", b"seen=1"))
    with served(platform) as url:
        destination = _meta(stage, url)
        stage.offer(destination, {})
        stage.run()
        stage.wait_for(destination, sent=1)
    assert [] == platform.cookies


def test_a_secret_that_an_answer_quotes_is_not_kept(stage: Stage) -> None:
    answer = {"error": {"code": 190, "message": f"Malformed access token {TOKEN}"}}
    with served(Odd(400, json.dumps(answer).encode())) as url:
        destination = _meta(stage, url)
        stage.offer(destination, {})
        stage.run()
        pause = wait_for(lambda: stage.outbox.pauses().get(destination.destination_id))
    assert pause is not None
    assert "Malformed access token …" == pause.message
    assert [("Malformed access token …",)] == stage.outbox.rows("select message from requests")


class Slow:
    """Takes events, and then never ends its answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass


@pytest.mark.parametrize(("kind", "state"), [("webhook", "sent"), ("meta", "ready")])
def test_an_answer_that_never_ends_holds_nothing_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str, state: str
) -> None:
    monkeypatch.setattr(loop, "_EXCHANGE_S", 0.5)

    async def send(url: str) -> None:
        target = {"url": url} | ({"pixel_id": "12345"} if kind == "meta" else {})
        account_id = stage.account.account_id
        destination = stage.catalog.create_destination(
            account_id, kind, kind, target, WEBHOOK_SECRET, FAST
        )
        stage.offer(destination, {})
        async with httpx.AsyncClient() as client:
            sender = Sender(destination, stage.outbox, Writer(stage.outbox), client)
            sending = asyncio.create_task(sender.run())
            async with asyncio.timeout(20):
                while not stage.outbox.rows("select 1 from requests"):
                    await asyncio.sleep(0.05)
            sender.stop()
            await sending
        assert {state: 1} == stage.states(destination)

    with served(Slow()) as url:
        asyncio.run(send(url))


def test_what_arrived_is_not_sent_again_while_it_cannot_be_written_down(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("doublet.outbox._BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(loop, "_WRITE_AGAIN_S", 0.05)
    platform = Odd(200, TAKEN)

    async def send(destination: Destination) -> None:
        outbox = Outbox(stage.settings.outbox_file)
        async with httpx.AsyncClient() as client, asyncio.timeout(20):
            sender = Sender(destination, outbox, Writer(outbox), client)
            sending = asyncio.create_task(sender.run())
            while caplog.messages.count("relay-write-failed requests=1") < 3:
                await asyncio.sleep(0.05)
            stage.outbox.rows("commit")
            while stage.states(destination) != {"sent": 1}:
                await asyncio.sleep(0.05)
            sender.stop()
            await sending
        outbox.close()

    with served(platform) as url:
        destination = _meta(stage, url)
        stage.offer(destination, {})
        stage.outbox.rows("begin immediate")
        asyncio.run(send(destination))
    assert 1 == platform.requests


@pytest.mark.parametrize(
    "bad",
    [
        {"user_data": "x"},
        {"user_data": {"em": 5}, "browser_copies": 0},
        {"event_time": 1_795_640_467_000},
        {"event_time": 1 << 62},
    ],
    ids=str,
)
def test_an_event_that_no_function_can_read_stops_no_other(
    stage: Stage, tmp_path: Path, bad: dict[str, Any]
) -> None:
    (tmp_path / "drop").mkdir()
    account_id = stage.account.account_id
    target = {"folder": str(tmp_path / "drop")}
    destination = stage.catalog.create_destination(account_id, "drop", "Drop", target, "", FAST)
    stage.offer(destination, *({} for _ in range(20)), bad, *({} for _ in range(20)))
    relay = stage.run()
    stage.wait_for(destination, sent=40, failed=1)
    assert [("untellable",)] == stage.outbox.rows(
        "select reason from emissions where state = 'failed'"
    )
    wait_for(lambda: "relay-event-failed" in relay.stderr)
