"""Signals on their way: over HTTP as real clients send them, or straight into a log for volume.

Both take signals in order of time. Into a log they go through the collector's own functions, so
that its records are those which collectors would have written, with `received_at` simulated.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import httpx
import msgspec

from doublet.accept import (
    Arrival,
    accept_events,
    accept_hit,
    is_suspect,
    is_suspect_hit,
    read_hit,
    read_request,
)
from doublet.collect.appender import Clock
from doublet.collect.request import parse_pairs
from doublet.demo.market.signals import Signal
from doublet.demo.market.story import DAY_US
from doublet.demo.server_side import GRAPH_VERSION, RETRY_WAITS_S
from doublet.errors import BusyError
from doublet.event import EventsRequest
from doublet.log import Log

DAYS_OVER_HTTP_MAX = 6
"""What takes place within so many days can still be told to a server that refuses older events."""
_TIMEOUT_S = 30.0
_GROUP = 1000
_GROUPS_WAITING_MAX = 8


def recent_start(days: float, now: float) -> int:
    """`begins_at` of a market that has just ended at Unix time `now`; a server would take all its
    events if `days` are at most `DAYS_OVER_HTTP_MAX`."""
    return int(now * 1_000_000) - int(days * DAY_US)


class Delivered(msgspec.Struct):
    """How the requests were answered. `problems` holds the first of what went wrong."""

    hits: int = 0
    reports: int = 0
    failed: int = 0
    problems: list[str] = []


async def over_http(
    signals: Iterable[Signal],
    url: str,
    pixel_id: str,
    access_token: str,
    *,
    seconds: float = 0.0,
    connections: int = 16,
) -> Delivered:
    """Send signals to a running server, spread over `seconds` as they are over the market's time;
    0 sends as fast as they are answered.

    Browsers send a hit once. Servers try again while nobody answers, or with 5xx. `event_time` is
    sent as it is; see `recent_start`.
    """
    # To spread them, their whole span must be known; that is for small markets only.
    told = list(signals) if seconds > 0 else signals
    starts_at = told[0].send_at if isinstance(told, list) and told else 0
    span = told[-1].send_at - starts_at if isinstance(told, list) and told else 0
    pace = seconds / span if span > 0 else 0.0
    delivered = Delivered()
    waiting = iter(told)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S) as client:

        async def work() -> None:
            for signal in waiting:
                due = began + (signal.send_at - starts_at) * pace
                if pace and due > time.monotonic():
                    await asyncio.sleep(due - time.monotonic())
                problem = await _deliver(client, signal, pixel_id, access_token)
                if problem:
                    delivered.failed += 1
                    delivered.problems += [problem] * (len(delivered.problems) < 10)
                elif signal.source == "browser":
                    delivered.hits += 1
                else:
                    delivered.reports += 1

        await asyncio.gather(*(work() for _ in range(connections)))
    return delivered


async def _deliver(
    client: httpx.AsyncClient, signal: Signal, pixel_id: str, access_token: str
) -> str:
    """Send one signal as its client would; what went wrong, or nothing."""
    is_hit = signal.source == "browser"
    request = _hit(client, signal, pixel_id) if is_hit else _report(client, signal, pixel_id)
    if not is_hit:
        request.headers["authorization"] = f"Bearer {access_token}"
    problem = ""
    for wait_s in (None,) if is_hit else (*RETRY_WAITS_S, None):
        try:
            answer = await client.send(request)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__} {error}".strip()
        else:
            if answer.is_success:
                return ""
            problem = f"{answer.status_code} {answer.text[:300]}"
            if not answer.is_server_error:
                break
        if wait_s is not None:
            await asyncio.sleep(wait_s)
    return problem


def _hit(client: httpx.AsyncClient, signal: Signal, pixel_id: str) -> httpx.Request:
    headers = {
        "user-agent": signal.agent,
        "referer": "https://shop.example/",
        "accept": "image/avif,image/webp,image/*,*/*;q=0.8",
        # Believed only where the server is told that a proxy speaks for its clients.
        "x-forwarded-for": signal.client_ip,
    }
    return client.build_request("GET", f"/tr/?id={pixel_id}&{signal.content}", headers=headers)


def _report(client: httpx.AsyncClient, signal: Signal, pixel_id: str) -> httpx.Request:
    return client.build_request(
        "POST",
        f"/{GRAPH_VERSION}/{pixel_id}/events",
        content=signal.content,
        headers={"content-type": "application/json", "user-agent": "WordPress/6.8"},
    )


def records(
    signals: Iterable[Signal],
    account_id: str,
    pixel_id: str,
    slot: int = 0,
    floor: int = 0,
) -> Iterator[bytes]:
    """The log's records of signals, each received when it was sent. `floor` is the last
    `received_at` that the slot holds already; times rise strictly from there."""
    now_ns = 0
    clock = Clock(floor, lambda: now_ns)
    for signal in signals:
        now_ns = signal.send_at * 1000
        arrival = Arrival(account_id, pixel_id, signal.source, clock.stamp(), slot)
        take = _hit_record if signal.source == "browser" else _report_record
        yield take(signal, arrival)


def _hit_record(signal: Signal, arrival: Arrival) -> bytes:
    pairs = parse_pairs(f"id={arrival.pixel_id}&{signal.content}".encode())
    assert isinstance(pairs, list), pairs
    arrival.client_ip = signal.client_ip
    arrival.user_agent = signal.agent
    arrival.suspect = is_suspect_hit(pairs)
    record = accept_hit(read_hit(pairs), arrival)
    assert isinstance(record, bytes), record
    return record


def _report_record(signal: Signal, arrival: Arrival) -> bytes:
    body = signal.content.encode()
    request = read_request(body)
    assert isinstance(request, EventsRequest), request
    arrival.suspect = is_suspect(body)
    accepted = accept_events(request, arrival)
    assert isinstance(accepted, list), accepted
    (record,) = accepted
    return record


def into_log(signals: Iterable[Signal], log: Log, account_id: str, pixel_id: str) -> int:
    """Append the records of all signals to a slot of the log; how many there are.

    Several processes may do so at once, each with persons of its own and hence a slot of its own.
    Raises BusyError when the disk refuses.
    """
    room = threading.Semaphore(_GROUPS_WAITING_MAX)
    errors: list[BusyError] = []

    def on_commit(tokens: list[Any], error: BusyError | None) -> None:
        errors.extend([error] if error is not None else [])
        for _ in tokens:
            room.release()

    writer = log.writer(on_commit)
    last = writer.last_record
    floor = 0 if last is None else int(msgspec.json.decode(last)["received_at"])
    accepted = records(signals, account_id, pixel_id, writer.slot, floor)
    written = 0
    try:
        while not errors and (group := list(islice(accepted, _GROUP))):
            room.acquire()
            writer.submit(group, None)
            written += len(group)
    finally:
        writer.close()
    if errors:
        raise errors[0]
    return written
