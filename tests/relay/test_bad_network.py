"""One Doublet relays to another through a bad network, and is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.catalog import Catalog, Destination, DestinationRules
from doublet.engine.duckdb import DuckDBEngine
from doublet.outbox import Outbox
from tests.factories import sha256
from tests.server import RunningServer, free_port, wait_for

SEED = 20_261
EVENTS = 20_000
BROWSER_EVENTS = 600
BATCH = 1000
POISON = ("evt.777", "evt.8888", "evt.19999")
FAULTS = f"""
seed = {SEED}
latency_ms = 150
server_error = 0.02
reset_before = 0.02
reset_after = 0.05
truncate = 0.02

[rate_limit]
every = 60
burst = 4

[[poison]]
event_id = "{POISON[0]}"
[[poison]]
event_id = "{POISON[1]}"
[[poison]]
event_id = "{POISON[2]}"
"""


def _event(number: int, rng: random.Random, now: int) -> dict[str, Any]:
    """A server's event of a visitor of its own; every hundredth has no id."""
    name = rng.choice(["PageView", "ViewContent", "AddToCart", "Purchase", "Lead", "Custom step"])
    person = sha256(f"person {number}")
    event: dict[str, Any] = {
        "event_name": name,
        "event_time": now - rng.randrange(3600),
        "event_id": f"evt.{number}",
        "action_source": "website",
        "event_source_url": f"https://shop.example/{number % 50}?utm_source=x",
        "user_data": {
            "em": [person],
            "external_id": [sha256(f"id {number}")],
            "client_ip_address": f"198.51.100.{number % 250}",
            "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            "fbp": f"fb.1.1596403881668.{number}",
        },
        "custom_data": {
            "value": round(rng.random() * 500, rng.randrange(3)),
            "currency": rng.choice(["EUR", "USD", "JPY"]),
            "content_ids": [f"sku {number % 90}", "Ä"],
            "contents": [{"id": f"sku {number % 90}", "quantity": 2, "item_price": 9.99}],
            "note": {"nested": [1, 2.5, None, "\u2028"]},
        },
    }
    if name == "Purchase":
        event["custom_data"]["order_id"] = f"order {number}"
    if number % 100 == 50:
        del event["event_id"]
    return event


def _send(server: RunningServer) -> None:
    """20,000 events, of which a browser told some too and some alone."""
    rng = random.Random(SEED)
    now = int(time.time())
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
        path = f"/v25.0/{server.pixel_id}/events"
        batch = []
        for number in range(EVENTS):
            event = _event(number, rng, now)
            if number % 1000 < BROWSER_EVENTS // 20 and "event_id" in event:
                _hit(client, server, event)
                if number % 2:
                    continue  # Only the browser told it.
            batch.append(event)
            if len(batch) == BATCH:
                assert 200 == client.post(path, json={"data": batch}).status_code
                batch = []
        assert 200 == client.post(path, json={"data": batch}).status_code


def _hit(client: httpx.Client, server: RunningServer, event: dict[str, Any]) -> None:
    custom = {
        f"cd[{key}]": value if isinstance(value, str) else json.dumps(value)
        for key, value in event["custom_data"].items()
    }
    asked = {
        "id": server.pixel_id,
        "ev": event["event_name"],
        "eid": event["event_id"],
        "ts": f"{event['event_time']}000",
        "dl": event["event_source_url"],
        "ud[em]": event["user_data"]["em"][0],
        "fbp": event["user_data"]["fbp"],
        **custom,
    }
    assert 200 == client.get("/tr/", params=asked).status_code


def _relay_pids(server: RunningServer) -> list[int]:
    return [
        pid
        for pid in server.pids()
        if "relay" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    ]


def _stop(server: RunningServer) -> None:
    assert 0 == server.stop(signal.SIGTERM), server.stderr
    server.wait_until_gone()


def _table(server: RunningServer) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Of a stopped server: what stands in events_deduplicated, by name and id."""
    engine = DuckDBEngine(server.settings.warehouse_file, server.settings.tmp_folder / "test")
    try:
        rows = engine.query("select * from events_deduplicated")
    finally:
        engine.close()
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        # An event without an id is relayed under one that is made of its place.
        place = f"doublet-{row['kept_log_slot']}-{row['kept_log_offset']}"
        key = (row["event_name"], row["event_id"] or place)
        assert key not in found, f"{key} counts twice"
        custom = json.loads(row["custom_data"] or "{}")
        found[key] = {
            "event_time": row["event_time"],
            "value": row["value"],
            "currency": row["currency"],
            "order_id": row["order_id"],
            "user_data": {k: v for k, v in row["user_data"].items() if v},
            # These have columns of their own.
            "custom_data": {
                k: v for k, v in custom.items() if k not in ("value", "currency", "order_id")
            },
        }
    return found


class Pair:
    """Doublet A, which relays, and Doublet B, which is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        faults = folder / "faults.toml"
        faults.write_text(FAULTS)
        self.b = RunningServer(folder / "b", f"--faults={faults}", workers=1, port=self.port)
        self.a = RunningServer(folder / "a", workers=1)
        self.destination = self._destination()
        opened = wait_for(self._open_outbox, 30, "the outbox is made")
        assert opened is not None
        self.outbox: Outbox = opened

    def _destination(self) -> Destination:
        catalog = Catalog(self.a.settings.catalog_url)
        # A browser's copy and its server's come seconds apart on a busy machine.
        rules = DestinationRules(merge_wait_s=15.0, batch_events=100, in_flight=4)
        target = {"url": self.b.url, "pixel_id": self.b.pixel_id}
        made = catalog.create_destination(
            self.a.account_id, "meta", "The other", target, self.b.access_token, rules
        )
        catalog.close()
        return made

    def _open_outbox(self) -> Outbox | None:
        file = self.a.settings.outbox_file
        return Outbox(file) if file.exists() else None

    def count(self, state: Any) -> int:
        """Events in a state."""
        return self.outbox.count(self.destination.destination_id, state)

    def wait_for(self, look: Callable[[], bool], what: str) -> None:
        """Within four minutes."""
        try:
            wait_for(look, 240, what)
        except AssertionError as error:
            tallies = self.outbox.rows("select * from tallies")
            raise AssertionError(
                f"{error}\n{tallies}\n{self.outbox.pauses()}\n{self.a.stderr[-3000:]}"
            ) from None

    def close(self) -> None:
        """Leave nothing running."""
        self.outbox.close()
        self.a.kill()
        self.b.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_everything_arrives_once_through_a_bad_network(pair: Pair) -> None:
    _send(pair.a)
    for share in (0.1, 0.5):
        pair.wait_for(
            lambda share=share: pair.count("sent") > share * EVENTS,  # type: ignore[misc]
            f"{share:.0%} are sent",
        )
        for pid in _relay_pids(pair.a):
            os.kill(pid, signal.SIGKILL)
    pair.wait_for(lambda: EVENTS == pair.count("sent") + pair.count("failed"), "all are settled")
    assert 0 == pair.count("waiting") + pair.count("ready") + pair.count("withheld")
    letters = pair.outbox.failed(pair.destination.destination_id)
    assert set(POISON) == {letter[4] for letter in letters}
    met = httpx.get(f"{pair.b.url}/faults.json", timeout=10).json()["faults"]
    for kind in ("server_error", "reset_after", "rate_limit", "truncate", "poison"):
        assert met[kind] > 0, met
    for letter in letters:
        assert letter[1].startswith("100"), letter
        assert letter[2], letter
    _stop(pair.b)
    told = _table(pair.b)

    # Whoever runs the other mends it; the three are sent again.
    pair.b = _again(pair)
    replayed = pair.outbox.replay(pair.destination.destination_id)
    assert 3 == len(replayed)
    pair.wait_for(lambda: EVENTS == pair.count("sent"), "the three are sent")
    pair.b.wait_until(lambda: _is_loaded(pair.b), what="the other has loaded them")
    _stop(pair.a)
    _stop(pair.b)
    ours, theirs = _table(pair.a), _table(pair.b)
    assert EVENTS == len(ours)
    lacking = ours.keys() - told.keys()
    assert set(POISON) == {event_id for _, event_id in lacking}
    assert {} == {key: (ours[key], told[key]) for key in told if told[key] != ours[key]}
    assert {} == {key: (ours[key], theirs[key]) for key in ours if theirs[key] != ours[key]}
    assert ours.keys() == theirs.keys()


def _again(pair: Pair) -> RunningServer:
    """The receiver as before, without faults."""
    kept = pair.b
    made = RunningServer(kept.settings.data.parent, workers=1, port=pair.port)
    made.pixel_id, made.access_token = kept.pixel_id, kept.access_token
    return made


def _is_loaded(server: RunningServer) -> bool:
    rows = server.overview().values()
    return sum(int(row["events"]) for row in rows) >= EVENTS
