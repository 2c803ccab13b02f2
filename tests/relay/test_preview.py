"""What a dry run shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from doublet.relay.preview import preview
from tests.relay.outboxes import Relay


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    pipe = Relay(tmp_path)
    yield pipe
    pipe.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_secret_is_not_shown_however_it_is_written(relay: Relay, method: str) -> None:
    target = {"url": "https://n.example/s2s?k={secret}&e={event_id}", "method": method}
    secret = "a/b c&d"
    destination = relay.catalog.create_destination(
        relay.account_id, "postback", "Network", target, secret
    )
    relay.send(relay.record())
    found = preview(relay.engine, None, destination)
    (request,) = found.requests
    told = request.url if method == "GET" else request.body
    assert told.endswith("k=…&e=order.1")
    assert "a%2Fb" not in msgspec.json.encode(found).decode()
