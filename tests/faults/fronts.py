"""A front with faults before a collector, for tests to talk to over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from doublet.faults.plan import FAULTS
from tests.collector import Collector
from tests.server import DoubletProcess, free_port, is_listening

BEFORE = ("server_error", "reset_before", "timeout_before")
"""Faults of which the collectors hear nothing."""


class Front(DoubletProcess):
    """A front with faults before a collector."""

    def __init__(self, folder: Path, inner_port: int, plan: str, *pairs: str) -> None:
        file = folder / "faults.toml"
        file.write_text(plan)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = (f"port={self.port}", f"faults={file}", f"data={folder / 'data'}", *pairs)
        flags = (f"--set={pair}" for pair in settings)
        super().__init__(folder, "fault-front", f"--inner-port={inner_port}", *flags)
        try:
            self.wait_until(lambda: is_listening(self.port))
        except BaseException:
            self.kill()
            raise

    def counts(self) -> dict[str, int]:
        """What it has counted, without what is none."""
        told = httpx.get(f"{self.url}/faults.json", timeout=30).json()
        assert list(FAULTS) == list(told["faults"])
        return {k: n for k, n in {**told.pop("faults"), **told}.items() if n}


@contextmanager
def connected(front: Front) -> Iterator[socket.socket]:
    """A connection to the front."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=30) as connection:
        yield connection


def post(collector: Collector, url: str, *events: Any, **options: Any) -> httpx.Response:
    """Post events through the front."""
    headers = {"authorization": f"Bearer {collector.token}", **options.pop("headers", {})}
    options.setdefault("json", {"data": events})
    with httpx.Client(timeout=30, trust_env=False) as client:
        return client.post(url + collector.events_path(), headers=headers, **options)


def raw_post(collector: Collector, body: bytes, *headers: str) -> bytes:
    """The bytes of a request."""
    lines = (
        f"POST {collector.events_path()}?access_token={collector.token} HTTP/1.1",
        "Host: shop.example",
        "Content-Type: application/json",
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def read_all(connection: socket.socket) -> bytes:
    """What comes until the end of the connection."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))
