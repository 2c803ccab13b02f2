"""Clients that say nothing, or say it slowly, take no place from the others."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from doublet.processes import allow_open_files
from tests.collector import Collector, assert_graph_error, refusal_of
from tests.server import RunningServer, wait_for

SILENT_CONNECTIONS = 2600
HEADER_TIMEOUT_S = 5.0
GET = b"GET /px.js HTTP/1.1\r\nHost: shop.example\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path, "body_timeout_s=0.5")
    yield running
    running.close()


def connect(port: int) -> socket.socket:
    """One more connection to the server."""
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has given this connection up."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False


def pause(seconds: float) -> None:
    """Let time pass, as a visitor who reads the page does; it is what the test is about."""
    threading.Event().wait(seconds)


def unfinished(path: str, body: bytes = b"") -> bytes:
    """A POST that announces a thousand bytes and begins with these."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    return head.encode() + body


@pytest.mark.slow
def test_silent_connections_close_the_port_for_nobody(server: Collector) -> None:
    assert allow_open_files(SILENT_CONNECTIONS + 256) >= SILENT_CONNECTIONS + 256
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(server.port)) for _ in range(SILENT_CONNECTIONS)]
        silent[0].sendall(GET[:9])
        began_at = time.monotonic()
        server.assert_takes_events()
        assert time.monotonic() - began_at < 2.0
        for connection in silent:
            wait_for(partial(is_closed, connection), 2 * HEADER_TIMEOUT_S)
    server.assert_takes_events()


@pytest.mark.slow
def test_a_connection_may_rest_between_two_requests(server: Collector) -> None:
    with connect(server.port) as resting:
        for pause_s in (0.0, HEADER_TIMEOUT_S / 2):
            pause(pause_s)
            resting.sendall(GET)
            answer = http.client.HTTPResponse(resting)
            answer.begin()
            assert 200 == answer.status
            assert b"fbq" in answer.read()
        wait_for(lambda: is_closed(resting), 2 * HEADER_TIMEOUT_S)
    server.client.get("/px.js")
    pause(HEADER_TIMEOUT_S + 0.5)
    assert 200 == server.client.get("/px.js").status_code


@pytest.mark.parametrize("path", ["/tr/", "/v25.0/1234567890123456/events", "/login"])
@pytest.mark.parametrize("begun", [b"", b"id=1"])
def test_a_body_that_never_ends_is_refused_in_time(
    server: Collector, path: str, begun: bytes
) -> None:
    began_at = time.monotonic()
    status, body = server.raw(unfinished(path, begun))
    assert 400 == status
    assert_graph_error(body)
    assert b"The body took longer than 0.5 s." in body
    assert time.monotonic() - began_at < 5.0


def test_a_body_that_trickles_in_is_refused_in_time(server: Collector) -> None:
    began_at = time.monotonic()
    with connect(server.port) as trickling:
        trickling.sendall(unfinished("/tr/"))
        trickling.settimeout(0.1)
        answer = b""
        while not answer:
            assert time.monotonic() - began_at < 5.0
            trickling.sendall(b"a")
            try:
                answer = trickling.recv(1 << 16)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_body_for_the_dashboard_has_the_same_limit_of_size(tmp_path: Path) -> None:
    running = Collector(tmp_path, "body_size_bytes_max=2048")
    try:
        answer = running.client.post("/login", content=b"a" * 4096)
        assert (413, "too_large") == (answer.status_code, refusal_of(answer))
    finally:
        running.close()


@pytest.mark.slow
def test_slow_sign_ins_leave_the_dashboard_to_the_others(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server, ExitStack() as stack:
        for _ in range(250):
            stack.enter_context(connect(server.port)).sendall(unfinished("/login", b"access"))
        began_at = time.monotonic()
        for _ in range(4):
            assert "Purchase" not in server.overview()
        assert time.monotonic() - began_at < 10.0


def test_a_sign_in_that_comes_in_chunks_is_understood(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        chunks = iter([b"access_token=", server.access_token.encode()])
        answer = httpx.post(
            f"{server.url}/login",
            content=chunks,
            headers={"content-type": "application/x-www-form-urlencoded"},
            timeout=30,
        )
        assert 303 == answer.status_code
        assert "set-cookie" in answer.headers
