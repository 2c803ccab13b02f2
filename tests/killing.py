"""Kill -9 at any moment: clients send, processes of the server die, and the books must balance.

Every request bears ids of its own and is sent once. `run` kills the supervisor, the collectors'
main process, a collector or the worker again and again while clients send, then counts what the
lake holds against what was answered.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import duckdb
from deltalake import DeltaTable

from tests.factories import make_event
from tests.server import RunningServer, is_listening, wait_for

CLIENTS = 6
BATCHES = (1, 1, 2, 5, 20, 50)
PAUSE_BETWEEN_KILLS_S = (0.2, 1.2)
# A client that waits for nothing would be done before the first process dies.
PAUSE_BETWEEN_REQUESTS_S = 0.012
HIT_SHARE = 0.5
GIVE_UP_S = 60.0


class Sent(NamedTuple):
    """The event ids of one request, and the status it was answered with (0: no answer)."""

    event_ids: list[str]
    status: int


class Outcome(NamedTuple):
    """The books of one run. `stored` counts events without an answer that were kept."""

    sent: int
    answered: int
    refused: int
    unanswered: int
    stored: int
    kills: dict[str, int]


class Client(threading.Thread):
    """Sends its share of events, one request after the other, none of them twice."""

    def __init__(self, number: int, seed: int, events: int, server: RunningServer) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._random = random.Random(f"{seed}/{number}")
        self._name = f"{seed}-{number}"
        self._events = events
        self._port = server.port
        self._pixel_id = server.pixel_id
        self._token = server.access_token
        self._connection: http.client.HTTPConnection | None = None
        self.requests: list[Sent] = []

    def run(self) -> None:
        """Until all events of the share have been sent."""
        sent = 0
        while sent < self._events:
            ids, request = self._make(self._events - sent)
            self.requests.append(Sent(ids, self._send(*request)))
            sent += len(ids)
            time.sleep(self._random.uniform(0, 2 * PAUSE_BETWEEN_REQUESTS_S))
        if self._connection is not None:
            self._connection.close()

    def _make(self, left: int) -> tuple[list[str], tuple[str, str, bytes, dict[str, str]]]:
        number = len(self.requests)
        if self._random.random() < HIT_SHARE:
            event_id = f"{self._name}-{number}"
            hit = {"id": self._pixel_id, "ev": "ViewContent", "eid": event_id, "dl": "https://a.b/"}
            hit["ts"] = str(int(time.time() * 1000))
            if self._random.random() < 0.5:
                return [event_id], ("GET", f"/tr/?{urlencode(hit)}", b"", {})
            form = {"content-type": "application/x-www-form-urlencoded"}
            return [event_id], ("POST", "/tr/", urlencode(hit).encode(), form)
        ids = [f"{self._name}-{number}-{n}" for n in range(min(left, self._random.choice(BATCHES)))]
        events = [make_event(event_id=event_id, event_time=int(time.time())) for event_id in ids]
        path = f"/v25.0/{self._pixel_id}/events?access_token={self._token}"
        body = json.dumps({"data": events}).encode()
        return ids, ("POST", path, body, {"content-type": "application/json"})

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        connection = self._connect()
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connection = None
            return 0
        return answer.status

    def _connect(self) -> http.client.HTTPConnection:
        """An open connection; waits while nobody listens, since nothing is sent then."""
        give_up_at = time.monotonic() + GIVE_UP_S
        while self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=GIVE_UP_S)
            try:
                connection.connect()
                self._connection = connection
            except OSError:
                assert time.monotonic() < give_up_at, "nobody listens any more"
                time.sleep(0.02)
        return self._connection


def children(pid: int) -> list[int]:
    """The direct children of a process (proc(5))."""
    try:
        lists = [p.read_text() for p in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def command(pid: int) -> str:
    """The `doublet` command that a process runs, empty when it has none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ""
    return next((word for word in ("work", "collect") if word in words), "")


def victims(server: RunningServer) -> dict[str, list[int]]:
    """Process ids by what they are: supervisor, worker, collect (the main one), collector."""
    found: dict[str, list[int]] = {"supervisor": [server.process.pid]}
    for pid in children(server.process.pid):
        kind = command(pid)
        found.setdefault("worker" if kind == "work" else "collect", []).append(pid)
        if kind == "collect":
            found.setdefault("collector", []).extend(children(pid))
    return {kind: pids for kind, pids in found.items() if pids}


def kill_one(server: RunningServer, chance: random.Random) -> str:
    """Kill a process of a random kind; which kind."""
    living = victims(server)
    kind = chance.choice(sorted(living))
    try:
        os.kill(chance.choice(living[kind]), signal.SIGKILL)
    except ProcessLookupError:
        return "gone already"
    return kind


def run(folder: Path, seed: int, events: int = 20_000) -> Outcome:
    """One storm. Raises AssertionError when an answered event is missing, any event is there
    twice, a request is there in part, or a killed server still answers."""
    chance = random.Random(seed)
    server = RunningServer(folder)
    shares = [len(range(n, events, CLIENTS)) for n in range(CLIENTS)]
    clients = [Client(n, seed, share, server) for n, share in enumerate(shares)]
    for client in clients:
        client.start()
    kills: Counter[str] = Counter()
    try:
        while any(client.is_alive() for client in clients):
            time.sleep(chance.uniform(*PAUSE_BETWEEN_KILLS_S))
            kind = kill_one(server, chance)
            kills[kind] += 1
            if kind == "supervisor":
                server = _again(server, folder)
        for client in clients:
            client.join()
        os.kill(server.process.pid, signal.SIGKILL)
        server = _again(server, folder)
        server.run("refresh")
        report = server.overview()
        assert 0 == server.stop(signal.SIGTERM)
    finally:
        server.kill()
    requests = [request for client in clients for request in client.requests]
    return _balance(requests, _stored(server.settings.lake_folder / "events"), report, kills)


def _again(server: RunningServer, folder: Path) -> RunningServer:
    """The server after its supervisor was killed: nothing of it may answer; then a new one."""
    server.process.wait()
    # A collector that was just being started holds the socket until it finds its parent gone.
    wait_for(lambda: not is_listening(server.port), 10, "nobody listens")
    server.wait_until_gone()
    return RunningServer(folder, port=server.port)


def _stored(table: Path) -> Counter[str]:
    """How often each event id is in the lake."""
    files = DeltaTable(str(table)).file_uris()
    rows = duckdb.execute("select event_id from read_parquet($files)", {"files": files}).fetchall()
    return Counter(event_id for (event_id,) in rows)


def _balance(
    requests: list[Sent],
    stored: Counter[str],
    report: dict[str, dict[str, Any]],
    kills: Counter[str],
) -> Outcome:
    answered = [request for request in requests if request.status == 200]
    others = [request for request in requests if request.status != 200]
    assert {200, 0, 503} >= {request.status for request in requests}
    missing = [i for request in answered for i in request.event_ids if stored[i] != 1]
    assert [] == missing, f"{len(missing)} answered events are not there exactly once"
    twice = [i for request in others for i in request.event_ids if stored[i] > 1]
    assert [] == twice, f"{len(twice)} unanswered events are there more than once"
    kept = [sum(stored[i] for i in request.event_ids) for request in others]
    parts = [k for k, request in zip(kept, others, strict=True) if k not in (0, len(request[0]))]
    assert [] == parts, "a request was stored in part"
    answered_events = sum(len(request.event_ids) for request in answered)
    assert answered_events + sum(kept) == stored.total()
    rows = report.values()
    assert stored.total() == sum(row["events"] for row in rows)
    assert stored.total() == sum(row["browser"] + row["server"] for row in rows)
    counts = Counter(request.status for request in others for _ in request.event_ids)
    sent = answered_events + counts.total()
    return Outcome(sent, answered_events, counts[503], counts[0], sum(kept), dict(kills))
