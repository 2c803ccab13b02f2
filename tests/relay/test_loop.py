"""The relay's loop: a real process between a real outbox and real receivers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.catalog import Destination, DestinationRules
from doublet.destinations.status import dead_letters, replay, status
from doublet.errors import OperatorError
from doublet.outbox import Aside, Outbox, Pause, Sent, Settled, now_us
from tests.collector import Collector
from tests.factories import sha256
from tests.relay.stage import Stage
from tests.server import free_port, served, wait_for

FAST = DestinationRules(batch_wait_s=0.1)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "ours")
    yield made
    made.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Collector]:
    made = Collector(tmp_path / "theirs")
    yield made
    made.close()


class Platform:
    """A platform that takes everything, but for the first requests, which are too many."""

    def __init__(self, too_many: int = 0) -> None:
        self.asked_at: list[float] = []
        self._too_many = too_many

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        self.asked_at.append(time.monotonic())
        headers = [(b"content-type", b"application/json")]
        if len(self.asked_at) <= self._too_many:
            status, headers = 429, [*headers, (b"retry-after", b"2")]
            answer: Any = {
                "error": {"code": 4, "message": "(#4) Application request limit reached"}
            }
        else:
            status, answer = 200, {"events_received": 1}
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def _to(stage: Stage, receiver: Collector, rules: DestinationRules = FAST) -> Destination:
    url = f"http://127.0.0.1:{receiver.port}"
    return stage.destination(url, receiver.pixel.pixel_id, receiver.token, rules)


def _events(receiver: Collector) -> set[str]:
    """The ids of the events that it took since the last call."""
    records = receiver.new_records()
    return {record["event_id"] for record in records if record["record_type"] == "event"}


def _pause(stage: Stage, destination: Destination) -> Pause:
    found = wait_for(lambda: stage.outbox.pauses().get(destination.destination_id))
    assert found is not None
    return found


def _requests(stage: Stage) -> list[tuple[int, str, int, str]]:
    return stage.outbox.rows(
        "select events, verdict, http_status, code from requests order by request_id"
    )


def test_events_arrive_in_batches(stage: Stage, receiver: Collector) -> None:
    destination = _to(stage, receiver)
    stage.offer(destination, *({} for _ in range(2500)))
    stage.run()
    stage.wait_for(destination, sent=2500)
    ids = [record["event_id"] for record in receiver.new_records()]
    assert sorted(f"event-{n}" for n in range(1, 2501)) == sorted(ids)
    assert [(500, "done"), (1000, "done"), (1000, "done")] == sorted(
        row[:2] for row in _requests(stage)
    )
    ((left,),) = stage.outbox.rows("select count(*) from emissions where payload is not null")
    assert 0 == left


def test_only_the_bad_event_is_set_aside_and_can_be_replayed(
    stage: Stage, receiver: Collector
) -> None:
    destination = _to(stage, receiver)
    events: list[dict[str, Any]] = [{} for _ in range(300)]
    events[123] = {"event_name": "Purchase", "value": "5"}
    stage.offer(destination, *events)
    stage.run()
    stage.wait_for(destination, sent=299, failed=1)
    assert 299 == len(_events(receiver))
    ((reason, message, payload),) = stage.outbox.rows(
        "select reason, message, payload from emissions where state = 'failed'"
    )
    assert "100/2804010" == reason
    assert "currency" in message
    assert "event-124" == json.loads(payload)["event_id"]
    # Halves are tried down to one event, whatever else is in its batch.
    assert len(_requests(stage)) < 2 * 10
    patch = {"currency": "EUR", "custom_data": {"currency": "EUR"}}
    (number,) = replay(stage.outbox, destination.destination_id, patch=patch)
    stage.wait_for(destination, sent=300)
    record = receiver.new_record()
    assert ("event-124", "EUR") == (record["event_id"], record["currency"])
    assert number


def test_a_receiver_that_is_away_gets_everything_later(stage: Stage) -> None:
    port = free_port()
    destination = stage.destination(f"http://127.0.0.1:{port}", "12345", "token", FAST)
    stage.offer(destination, {}, {}, {})
    stage.run()
    pause = _pause(stage, destination)
    assert ("later", "No answer came.") == (pause.verdict, pause.message)
    assert {"ready": 3} == stage.states(destination)
    platform = Platform()
    with served(platform, port):
        stage.wait_for(destination, sent=3)
    assert 1 == len(platform.asked_at)
    wait_for(lambda: not stage.outbox.pauses())


def test_a_wrong_token_blocks_until_somebody_mends_it(stage: Stage, receiver: Collector) -> None:
    destination = _to(stage, receiver)
    stage.catalog.save_destination(_with_secret(destination, "dbl_wrong"))
    stage.offer(destination, {}, {})
    stage.run()
    pause = _pause(stage, destination)
    assert "blocked" == pause.verdict
    assert pause.until_at / 1e6 - time.time() > 60
    assert {"ready": 2} == stage.states(destination)
    assert 1 == len(_requests(stage))
    stage.catalog.save_destination(destination)
    stage.wait_for(destination, sent=2)
    wait_for(lambda: not stage.outbox.pauses())


def _with_secret(destination: Destination, secret: str) -> Destination:
    return msgspec.structs.replace(destination, secret=secret)


def test_a_rate_limit_is_obeyed(stage: Stage) -> None:
    platform = Platform(too_many=1)
    with served(platform) as url:
        destination = stage.destination(url, "12345", "token", FAST)
        stage.offer(destination, {})
        stage.run()
        stage.wait_for(destination, sent=1)
    first, second = platform.asked_at
    assert second - first >= 2
    assert [(1, "later", 429, "4"), (1, "done", 200, "")] == _requests(stage)


def test_what_is_too_old_is_a_dead_letter_and_is_not_tried(
    stage: Stage, receiver: Collector
) -> None:
    destination = _to(stage, receiver)
    stage.offer(destination, {"event_time": int(time.time()) - 8 * 86_400}, {})
    stage.run()
    stage.wait_for(destination, sent=1, failed=1)
    rows = stage.outbox.rows("select reason, message from emissions where state = 'failed'")
    assert [("too_old", "It is 8.0 days old; 7 are allowed.")] == rows
    assert {"event-2"} == _events(receiver)


def test_a_paused_destination_is_sent_nothing(stage: Stage, receiver: Collector) -> None:
    destination = _to(stage, receiver)
    other = stage.destination(
        f"http://127.0.0.1:{receiver.port}", receiver.pixel.pixel_id, receiver.token, FAST, "Other"
    )
    stage.catalog.save_destination(msgspec.structs.replace(destination, is_paused=True))
    stage.run()
    stage.offer(destination, {}, {})
    stage.offer(other, {})
    stage.wait_for(other, sent=1)
    assert {"ready": 2} == stage.states(destination)
    stage.catalog.save_destination(destination)
    stage.wait_for(destination, sent=2)


def test_the_trace_holds_what_was_sent_and_what_was_filled_in(
    stage: Stage, receiver: Collector
) -> None:
    destination = _to(stage, receiver)
    stage.sight("order_id=77", fbp="fb.1.1.2", client_ip_address="192.0.2.9")
    (number,) = stage.offer(
        destination,
        {
            "order_id": "77",
            "browser_copies": 0,
            "server_copies": 1,
            "user_data": {"em": ["a" * 64]},
        },
    )
    stage.run()
    stage.wait_for(destination, sent=1)
    user_data = receiver.new_record()["user_data"]
    assert ("fb.1.1.2", "192.0.2.9") == (user_data["fbp"], user_data["client_ip_address"])
    trace = stage.outbox.trace(number)
    assert trace["sent"]["user_data"]["fbp"] == "fb.1.1.2"
    assert trace["filled"]["fbp"]["of"] == "order_id"
    assert trace["filled"]["fbp"]["event_name"] == "AddToCart"


def test_a_platform_that_refuses_everything_is_left_alone(
    stage: Stage, receiver: Collector
) -> None:
    destination = _to(stage, receiver)
    stage.offer(destination, *({"event_name": "Purchase", "value": "1"} for _ in range(200)))
    stage.run()
    pause = _pause(stage, destination)
    assert "blocked" == pause.verdict
    assert {"failed": 20, "ready": 180} == stage.states(destination)
    stage.outbox.end_pause(destination.destination_id)
    stage.wait_for(destination, failed=40, ready=160)


class Silent:
    """A platform that never answers."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.is_over = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "http":
            self.is_asked.set()
            while not self.is_over:
                await asyncio.sleep(0.05)


def test_a_platform_that_never_answers_does_not_keep_the_relay_from_ending(stage: Stage) -> None:
    silent = Silent()
    with served(silent) as url:
        destination = stage.destination(url, "12345", "token", FAST)
        stage.offer(destination, {})
        relay = stage.run()
        assert silent.is_asked.wait(30)
        began = time.monotonic()
        assert 0 == relay.stop()
        silent.is_over = True
    assert time.monotonic() - began < 20
    assert {"ready": 1} == stage.states(destination)


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"user_data": "x"}, "does not fit"),
        ({"curency": "EUR"}, "no field 'curency'"),
        ({"log_offset": 7}, "no field 'log_offset'"),
        ({"value": "much"}, "no sensible number"),
        ({"event_name": None}, "does not fit"),
        ({"user_data": {"fbc": "ada@example.com"}}, "A value of fbc is none"),
        ({"user_data": {"nickname": "Ada"}}, "A value of nickname is none"),
    ],
)
def test_a_patch_that_does_not_fit_sends_nothing(
    stage: Stage, patch: dict[str, Any], said: str
) -> None:
    destination = stage.destination("http://127.0.0.1:1", "12345", "token")
    (number,) = stage.offer(destination, {})
    stage.outbox.settle([Settled(None, [], [Aside(number, "failed", "100", "No.")])])
    with pytest.raises(OperatorError, match=said):
        replay(stage.outbox, destination.destination_id, patch=patch)
    assert {"failed": 1} == stage.states(destination)
    assert [number] == replay(stage.outbox, destination.destination_id, patch={"value": 5})
    (ready,) = stage.outbox.ready(destination.destination_id, now_us(), 1, ())
    assert "5" == json.loads(ready.payload)["value"]


def test_a_patch_is_cleaned_like_an_event(stage: Stage) -> None:
    destination = stage.destination("http://127.0.0.1:1", "12345", "token")
    (number,) = stage.offer(destination, {"user_data": {"fbp": "fb.1.1.2", "ct": ["b" * 64]}})
    stage.outbox.settle([Settled(None, [], [Aside(number, "failed", "100", "No.")])])
    patch = {
        "user_data": {"em": "Ada@example.com ", "external_id": ["a" * 64], "ct": None},
        "custom_data": {"note": "for ada@example.com", "order": 7},
    }
    replay(stage.outbox, destination.destination_id, patch=patch)
    (ready,) = stage.outbox.ready(destination.destination_id, now_us(), 1, ())
    event = json.loads(ready.payload)
    known = {"em": [sha256("ada@example.com")], "external_id": ["a" * 64], "fbp": "fb.1.1.2"}
    assert known == event["user_data"]
    assert {"note": "for _removed_", "order": 7} == event["custom_data"]


def test_what_is_left_of_a_backfill_ends_though_new_events_come(stage: Stage) -> None:
    destination = stage.destination("http://127.0.0.1:1", "12345", "token")
    (number,) = stage.offer(destination, {})
    due_by = now_us()
    stage.offer(destination, {})
    which = destination.destination_id
    assert 1 == stage.outbox.left(which, due_by)
    stage.outbox.settle([Settled(None, [Sent(number, b"{}")], [])])
    assert (0, 1) == (stage.outbox.left(which, due_by), stage.outbox.count(which, "ready"))


@pytest.mark.parametrize(
    "look",
    [
        lambda outbox, destination: dead_letters(outbox, destination.destination_id),
        lambda outbox, destination: status(outbox, [destination]),
        lambda outbox, destination: outbox.left(destination.destination_id, 1),
        lambda outbox, destination: replay(outbox, destination.destination_id),
    ],
    ids=["dead letters", "status", "left", "replay"],
)
def test_looking_at_what_is_to_do_reads_no_long_ledger(
    stage: Stage, look: Callable[[Outbox, Destination], object]
) -> None:
    destination = stage.destination("http://127.0.0.1:1", "12345", "token")
    asked: list[str] = []
    stage.outbox._db.set_trace_callback(asked.append)
    look(stage.outbox, destination)
    stage.outbox._db.set_trace_callback(None)
    looks = [sql for sql in asked if "from emissions" in sql]
    assert looks
    for sql in looks:
        plan = stage.outbox.rows(f"explain query plan {sql}")
        assert all("emissions_to_do" in row[3] for row in plan if "emissions" in row[3]), plan


def test_tidying_reads_no_long_ledger(stage: Stage) -> None:
    asked: list[str] = []
    stage.outbox._db.set_trace_callback(asked.append)
    stage.outbox.tidy(traces_before=1, failed_before=1, seen_before=1, ledger_before=1)
    stage.outbox._db.set_trace_callback(None)
    plans = [
        [row[3] for row in stage.outbox.rows(f"explain query plan {sql}")]
        for sql in asked
        if " where " in sql
    ]
    used = ("emissions_traced", "emissions_failed", "emissions_settled", "requests_by_age")
    assert [True] * len(used) == [name in plan[0] for name, plan in zip(used, plans, strict=False)]
    assert all(line.startswith("SEARCH") for plan in plans for line in plan), plans
