"""What the doors let through: events hidden in a query, too many parameters, a GET with a body."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from doublet.collect.request import parse_form, parse_pairs
from doublet.health import State, write_state
from doublet.refusal import Reason, Refusal
from tests.collector import Collector, body_of, event
from tests.server import RunningServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path)
    yield running
    running.close()


def test_events_in_the_query_are_searched_for_addresses(server: Collector) -> None:
    planted = event(custom_data={"value": 1, "currency": "USD", "content_name": "ada@leak.example"})
    data = msgspec.json.decode(body_of(planted))["data"]
    answer = server.client.post(
        server.events_path(),
        params={"access_token": server.token, "data": msgspec.json.encode(data).decode()},
        headers={"content-type": "application/x-www-form-urlencoded"},
        content=b"",
    )
    assert 200 == answer.status_code
    assert "_removed_" == server.new_record()["custom_data"]["content_name"]
    for path in server.settings.log_folder.rglob("*.jsonl"):
        assert b"ada@leak" not in path.read_bytes()


def test_parameters_are_counted_before_they_are_taken_apart() -> None:
    multipart = b"--b\r\n" * 3000
    for outcome in (
        parse_pairs(b"a=&" * 3000),
        parse_form(b"a=&" * 3000, "application/x-www-form-urlencoded"),
        parse_form(multipart, "multipart/form-data; boundary=b"),
    ):
        assert isinstance(outcome, Refusal)
        assert Reason.MALFORMED_BODY is outcome.reason


def test_a_get_with_a_body_reaches_the_worker(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as running:
        answer = httpx.request("GET", f"{running.url}/overview.json", content=b"x", timeout=30)
        assert 401 == answer.status_code


def test_the_public_health_names_no_files(server: Collector) -> None:
    run_folder = server.settings.run_folder
    write_state(run_folder, State(time.time(), 1.0, 1.0, f"{run_folder}/1.jsonl is damaged."))
    health = server.client.get("/health").json()
    assert "degraded" == health["status"]
    assert "log says by what" in health["problem"]
    assert str(run_folder.parent) not in health["problem"]
    write_state(run_folder, State(time.time(), 1.0, 1.0))
    assert "ok" == server.client.get("/health").json()["status"]
