"""Each fault as a client meets it on its socket, and what the collectors have stored by then."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import httpx
import pytest

from doublet.faults.plan import SHARES
from tests.collector import Collector, assert_graph_error, body_of, event
from tests.faults.fronts import BEFORE, Front, connected, post, raw_post, read_all

SILENCE_S = 0.5


@pytest.mark.parametrize("fault", SHARES)
def test_each_fault_does_what_it_says(collector: Collector, tmp_path: Path, fault: str) -> None:
    collector.new_records()
    body = body_of(event(event_id=fault))
    with Front(tmp_path, collector.port, f"{fault} = 1.0") as front:
        with connected(front) as connection:
            connection.sendall(raw_post(collector, body, f"Content-Length: {len(body)}"))
            if fault.startswith("reset"):
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
            elif fault.startswith("timeout"):
                connection.settimeout(SILENCE_S)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
            elif fault == "truncate":
                head, _, half = read_all(connection).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                (size,) = (int(s[15:]) for s in head.splitlines() if s[:15] == b"content-length:")
                assert len(half) == size // 2
                assert half.startswith(b'{"events_received":1')
            else:
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        stored = [record["event_id"] for record in collector.new_records()]
        assert ([] if fault in BEFORE else [fault]) == stored
        expected = {"requests": 1, fault: 1} | ({} if fault in BEFORE else {"forwarded": 1})
        assert expected == front.counts()
        assert f"fault kind={fault} request=1" in front.stderr
        assert 200 == httpx.get(f"{front.url}/health").status_code
        assert 0 == front.stop()
        assert f"1 {fault}" in front.stderr.splitlines()[-1]
        assert "Traceback" not in front.stderr
        assert "ERROR" not in front.stderr


def test_an_error_of_the_server_passes_and_the_connection_stays(
    collector: Collector, tmp_path: Path
) -> None:
    with Front(tmp_path, collector.port, "server_error = 1.0") as front:
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
        connection.connect()
        first = connection.sock
        for _ in range(2):
            connection.request("POST", collector.events_path(), b"x" * 9)
            answer = connection.getresponse()
            body = answer.read()
            error = json.loads(body)["error"]
            assert (503, 2, True) == (answer.status, error["code"], error["is_transient"])
            assert_graph_error(body)
        assert first is connection.sock
        connection.close()


def test_the_same_requests_meet_the_same_faults(collector: Collector, tmp_path: Path) -> None:
    plan = "seed = 5\nserver_error = 0.3\nreset_before = 0.2\ntruncate = 0.2"
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        met = []
        with Front(tmp_path / name, collector.port, plan) as front:
            for _ in range(30):
                try:
                    met.append(str(post(collector, front.url, event()).status_code))
                except httpx.TransportError as error:
                    met.append(type(error).__name__)
            runs.append((met, front.counts()))
    assert runs[0] == runs[1]
    assert {"200", "503", "ReadError", "RemoteProtocolError"} == set(runs[0][0])


def test_a_limited_rate_is_said_in_all_its_headers(collector: Collector, tmp_path: Path) -> None:
    plan = "[rate_limit]\nevery = 2\nburst = 1\nretry_after_s = 90"
    with Front(tmp_path, collector.port, plan) as front:
        answers = [post(collector, front.url, event(event_id=str(n))) for n in range(4)]
        assert [200, 200, 429, 200] == [answer.status_code for answer in answers]
        limited = answers[2]
        assert (4, "90") == (limited.json()["error"]["code"], limited.headers["retry-after"])
        assert_graph_error(limited.content)
        assert 100 == json.loads(limited.headers["x-app-usage"])["call_count"]
        (cases,) = json.loads(limited.headers["x-business-use-case-usage"]).values()
        assert 2 == cases[0]["estimated_time_to_regain_access"]
        assert {"requests": 4, "forwarded": 3, "rate_limit": 1} == front.counts()


def test_one_poisoned_event_refuses_its_whole_request(collector: Collector, tmp_path: Path) -> None:
    collector.new_records()
    plan = '[[poison]]\nevent_id = "bad"\nsubcode = 2804050\ntitle = "T"\nmessage = "Not this."'
    with Front(tmp_path, collector.port, plan) as front:
        good, bad = event(event_id="good"), event(event_id="bad")
        assert 200 == post(collector, front.url, good).status_code
        refused = post(collector, front.url, good, bad)
        assert 400 == refused.status_code
        error = refused.json()["error"]
        assert (100, 2804050, "T", "Event 1: Not this.") == (
            *(error["code"], error["error_subcode"]),
            *(error["error_user_title"], error["error_user_msg"]),
        )
        assert ["good"] == [record["event_id"] for record in collector.new_records()]
        assert {"requests": 2, "forwarded": 1, "poison": 1} == front.counts()


def test_the_answer_to_a_poisoned_request_can_be_lost_too(
    collector: Collector, tmp_path: Path
) -> None:
    plan = 'reset_after = 1.0\n[[poison]]\nevent_name = "Purchase"'
    with Front(tmp_path, collector.port, plan) as front:
        with pytest.raises(httpx.ReadError):
            post(collector, front.url, event())
        assert {"requests": 1, "poison": 1, "reset_after": 1} == front.counts()


def test_latency_comes_before_the_answer(collector: Collector, tmp_path: Path) -> None:
    with Front(tmp_path, collector.port, "latency_ms = 300") as front:
        began_at = time.monotonic()
        assert 200 == post(collector, front.url, event()).status_code
        assert time.monotonic() - began_at >= 0.3
