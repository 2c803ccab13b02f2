"""What meets no fault is as it is without the front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.collector import USER_AGENT, Collector, assert_graph_error, body_of, event
from tests.faults.fronts import Front, connected, post, raw_post, read_all
from tests.server import free_port, wait_for


@pytest.fixture(scope="module")
def front(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A front of which only requests for one pixel of its own meet a fault."""
    plan = 'paths = ["/v25.0/999/events"]\nserver_error = 1.0\n[[poison]]\nevent_id = "never"'
    with Front(tmp_path_factory.mktemp("front"), collector.port, plan) as running:
        yield running
        assert "ERROR" not in running.stderr
        assert "Traceback" not in running.stderr


def test_pages_and_hits_are_passed_on(collector: Collector, front: Front) -> None:
    for method, path in (("GET", "/px.js"), ("HEAD", "/px.js"), ("GET", "/nowhere"), ("PUT", "/")):
        direct = collector.client.request(method, path)
        passed = httpx.request(method, front.url + path, headers=collector.client.headers)
        skipped = {"date"}
        if direct.status_code >= 400:
            assert direct.json()["error"]["code"] == passed.json()["error"]["code"]
            continue
        assert direct.content == passed.content
        assert {k: v for k, v in direct.headers.items() if k not in skipped} == {
            k: v for k, v in passed.headers.items() if k not in skipped
        }


@pytest.mark.parametrize(
    ("trusted", "claimed", "seen"),
    [("", "198.51.100.7", "127.0.0.9"), ("127.0.0.9", "198.51.100.7", "198.51.100.7")],
)
def test_collectors_see_the_client_as_without_the_front(
    collector: Collector, tmp_path: Path, trusted: str, claimed: str, seen: str
) -> None:
    collector.new_records()
    with Front(tmp_path, collector.port, "", f"trusted_proxies={trusted}") as front:
        transport = httpx.HTTPTransport(local_address="127.0.0.9")
        headers = {"x-forwarded-for": claimed, "user-agent": USER_AGENT}
        parameters = {"id": collector.pixel.pixel_id, "ev": "PageView"}
        with httpx.Client(transport=transport, timeout=30) as client:
            answer = client.get(f"{front.url}/tr/", params=parameters, headers=headers)
        assert 200 == answer.status_code
        record = collector.new_record()
        assert seen == record["user_data"]["client_ip_address"]
        assert USER_AGENT == record["user_data"]["client_user_agent"]


def test_a_connection_carries_many_requests_also_at_once(
    collector: Collector, front: Front
) -> None:
    collector.new_records()
    bodies = [body_of(event(event_id=f"keep.{n}")) for n in range(3)]
    requests = [raw_post(collector, body, f"Content-Length: {len(body)}") for body in bodies]
    with connected(front) as connection:
        connection.sendall(requests[0])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        connection.sendall(
            requests[1] + requests[2].replace(b"Host:", b"Connection: close\r\nHost:")
        )
        assert 2 == read_all(connection).count(b"HTTP/1.1 200 ")
    assert {"keep.0", "keep.1", "keep.2"} == {r["event_id"] for r in collector.new_records()}


def test_bodies_in_chunks_arrive(collector: Collector, front: Front) -> None:
    collector.new_records()
    body = body_of(event(event_id="chunks"))

    def chunks() -> Iterator[bytes]:
        yield from (body[:10], body[10:50], body[50:])

    answer = post(collector, front.url, content=chunks(), json=None)
    assert 200 == answer.status_code
    assert "chunks" == collector.new_record()["event_id"]


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(
    collector: Collector, front: Front
) -> None:
    body = body_of(event())
    head = raw_post(collector, b"", f"Content-Length: {len(body)}", "Expect: 100-continue")
    with connected(front) as connection:
        connection.sendall(head)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("pixel", ["", "999"], ids=["untouched", "with a fault"])
def test_a_body_that_is_too_large_is_answered(
    collector: Collector, front: Front, pixel: str
) -> None:
    path = f"/v25.0/{pixel}/events" if pixel else collector.events_path()
    size = collector.settings.body_size_bytes_max + (4 << 20)
    answer = httpx.post(front.url + path, content=b" " * size, timeout=30)
    assert (503 if pixel else 413) == answer.status_code


@pytest.mark.slow
def test_what_is_no_http_is_refused_and_silence_is_ended(front: Front) -> None:
    with connected(front) as silent, connected(front) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nBad header\r\n\r\n")
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert_graph_error(body)
        assert b"" == read_all(silent)


def test_a_client_that_leaves_early_leaves_nothing_behind(
    collector: Collector, front: Front
) -> None:
    for path in ("/v25.0/999/events", collector.events_path()):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
        with connected(front) as connection:
            connection.sendall(head + b"half")
    tcp = Path(f"/proc/{front.process.pid}/net/tcp")
    port = f":{front.port:04X}"
    # States of a socket (Linux, tcp_states.h): 01 is established, 08 waits for our own end.
    wait_for(
        lambda: (
            not [
                line
                for line in tcp.read_text().splitlines()[1:]
                if line.split()[1].endswith(port) and line.split()[3] in ("01", "08")
            ]
        )
    )


def test_collectors_that_are_away_are_a_closed_port(tmp_path: Path) -> None:
    with (
        Front(tmp_path, free_port(), "") as front,
        pytest.raises((httpx.ReadError, httpx.ConnectError)),
    ):
        httpx.get(f"{front.url}/health", timeout=30)
