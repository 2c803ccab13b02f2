"""A dry run: the exact requests that a destination would get for the latest events, not sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import msgspec

from doublet.catalog import Destination
from doublet.destinations.contract import Outgoing, Request
from doublet.destinations.encoding import without
from doublet.destinations.kinds import KINDS
from doublet.destinations.policy import Kept, Look, decode_stored, plan
from doublet.engine import Engine
from doublet.outbox import Outbox
from doublet.relay.fill import is_meant, sql
from doublet.relay.loop import Looking

EVENTS_MAX = 1000
_LOOKED_AT_MAX = 20_000


class Shown(msgspec.Struct):
    """A request as it would leave; in place of the secret stands `…`. `body` is JSON where it is
    any, else text, and for a file of Parquet its size."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    events: int


class NotSent(msgspec.Struct):
    """An event that would not be sent, and why; `is_failure`: it would be a dead letter."""

    event_name: str
    event_id: str | None
    is_failure: bool
    reason: str
    message: str


class Preview(msgspec.Struct):
    """What would be sent of the latest events, and what not. `platform` is the kind's title."""

    platform: str
    requests: list[Shown]
    not_sent: list[NotSent]


def preview(
    engine: Engine,
    outbox: Outbox | None,
    destination: Destination,
    *,
    limit: int = 10,
    event_id: str | None = None,
) -> Preview:
    """Of the latest `limit` events that are meant for a destination, or of those with an id."""
    kind = KINDS[destination.kind]
    look: Look = Looking(outbox, destination.account_id) if outbox else _nobody
    now_s = time.time()
    not_sent: list[NotSent] = []
    groups: dict[Hashable, list[Outgoing]] = {}
    for payload in _payloads(engine, destination, limit, event_id):
        stored = decode_stored(payload)
        made = plan(stored, destination, kind, now_s, look)
        if isinstance(made, Kept):
            kept = (made.is_failure, made.reason, made.message)
            not_sent.append(NotSent(stored.event_name, stored.event_id, *kept))
        else:
            groups.setdefault(kind.group(made.event), []).append(made.event)
    size = min(destination.rules.batch_events or kind.events_max, kind.events_max)
    requests = []
    for events in groups.values():
        for first in range(0, len(events), size):
            batch = events[first : first + size]
            request = kind.sign(destination, kind.encode(destination, batch), int(now_s))
            requests.append(_shown(request, destination.secret, len(batch)))
    return Preview(kind.title, requests, not_sent)


def _nobody(identifier: str) -> None:
    return None


def _payloads(
    engine: Engine, destination: Destination, limit: int, event_id: str | None
) -> list[str]:
    rows = engine.query(
        "select kept_log_slot, kept_log_offset, pixel_id, event_name, event_source_url, flags, "
        "browser_copies "
        "from events_deduplicated where account_id = $account_id and not is_test "
        "and ($event_id is null or event_id = $event_id) "
        "order by last_received_at desc, kept_log_slot, kept_log_offset limit $limit",
        {
            "account_id": destination.account_id,
            "event_id": event_id,
            "limit": _LOOKED_AT_MAX,
        },
    )
    meant = [row for row in rows if is_meant(destination, row)][: min(limit, EVENTS_MAX)]
    if not meant:
        return []
    found = engine.query(
        sql("payloads"),
        {
            "ids": list(range(len(meant))),
            "slots": [row["kept_log_slot"] for row in meant],
            "offsets": [row["kept_log_offset"] for row in meant],
        },
    )
    return [row["payload"] for row in sorted(found, key=lambda row: row["emission_id"])]


def _shown(request: Request, secret: str, events: int) -> Shown:
    masked = partial(without, secret)
    return Shown(
        request.method,
        masked(request.url),
        {name: masked(value) for name, value in request.headers.items()},
        _readable(request.body, masked),
        events,
    )


def _readable(body: bytes, masked: Callable[[str], str]) -> Any:
    try:
        text = masked(body.decode())
    except UnicodeDecodeError:
        return f"{len(body):,} bytes"
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
