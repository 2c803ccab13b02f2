"""What both doors share: the log, the directory, and what becomes of refused requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from doublet.accept import Arrival, Quotas, hashed_payload, read_networks, refused_record
from doublet.catalog import Catalog
from doublet.collect.accounts import Accounts
from doublet.collect.appender import Appender
from doublet.collect.request import (
    HeaderList,
    Proxies,
    Receive,
    Room,
    Scope,
    Send,
    decompress,
    json_headers,
    read_body,
    respond,
)
from doublet.errors import BusyError
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits, fresh_offset
from doublet.refusal import Reason, Refusal, fbtrace_id, graph_error
from doublet.settings import Settings

BODIES_SIZE_BYTES_MAX = 64 << 20
"""What bodies may hold at once, unless a single one may be larger than half of it."""


class Intake:
    """One collector process's hold on log and catalog; made inside its event loop."""

    def __init__(self, settings: Settings) -> None:
        limits = Limits(
            settings.log_queue_size_bytes_max,
            settings.log_segment_size_bytes,
            settings.log_segment_age_s,
            settings.disk_free_bytes_min,
            fresh_offset(),
        )
        log = DiskLog(settings.log_folder, limits)
        self.appender = Appender(log, asyncio.get_running_loop(), settings.log_queue_size_bytes_max)
        self.accounts = Accounts(Catalog(settings.catalog_url))
        self.deliveries_file = settings.deliveries_file
        self.quotas = Quotas()
        self.datacenters = read_networks(settings.datacenter_networks)
        self.proxies = Proxies(settings.trusted_proxies)
        self._body_size_bytes_max = settings.body_size_bytes_max
        self._body_timeout_s = settings.body_timeout_s
        self._room = Room(max(BODIES_SIZE_BYTES_MAX, 2 * settings.body_size_bytes_max))

    async def read_body(self, scope: Scope, receive: Receive) -> bytes | Refusal:
        """A request's body, decompressed, within the limits of size and time. Raises BusyError."""
        limit = self._body_size_bytes_max
        body = await read_body(receive, limit, self._room, self._body_timeout_s)
        return body if isinstance(body, Refusal) else decompress(body, scope, limit)

    async def append(self, records: list[bytes]) -> Refusal | None:
        """Return when the records are durable; a refusal means that none of them is stored."""
        try:
            await self.appender.submit(records)
        except BusyError as error:
            return Refusal(Reason.BUSY, error.message)
        return None

    async def set_aside(
        self,
        refusal: Refusal,
        arrival: Arrival,
        body: bytes,
        *,
        proven: bool = False,
        form: bytes | None = None,
        payload: Any = None,
    ) -> Refusal:
        """Keep a refused request as a record; hand the refusal back for the answer.

        `proven` says that an access token named the account, so that the content is worth keeping;
        `form` is the field of a form that holds it, `payload` what is known to be kept of it.
        """
        arrival.received_at = self.appender.clock.stamp()
        if not proven:
            arrival.account_id = ""
        if proven and payload is None:
            payload = hashed_payload(form or body, arrival.phone_country)
        record = refused_record(refusal, arrival, body, payload)
        return await self.append([record]) or refusal

    def close(self) -> None:
        """Write what is queued and let go."""
        self.accounts.close()
        self.appender.close()


def unknown_pixel(pixel_id: str) -> Refusal:
    """The refusal for a pixel that does not exist, or that is somebody else's."""
    shown = pixel_id if pixel_id.isdecimal() and len(pixel_id) <= 20 else ""
    return Refusal(
        Reason.PIXEL_UNKNOWN,
        f"Unsupported request. Object with ID '{shown}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation.",
    )


async def refuse(
    send: Send, refusal: Refusal, trace_id: str = "", more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with the Graph error of a refusal, and with `more` headers."""
    row = refusal.reason.row
    body = graph_error(refusal, trace_id)
    extra: HeaderList = [(b"x-doublet-refused", refusal.reason.label.encode()), *more]
    if refusal.reason is Reason.BUSY:
        extra.append((b"retry-after", b"5"))
    if refusal.reason is Reason.TOO_LARGE:
        # What was not read ends the connection; a client that is told does not use it again.
        extra.append((b"connection", b"close"))
    await respond(send, row.http_status, json_headers(body, extra), body)


class Taken(NamedTuple):
    """How many records a request made durable, and which of its events were refused alone."""

    kept: int
    refused: Sequence[tuple[int, Refusal]] = ()


Take = Callable[[bytes], Awaitable[Taken | Refusal]]
"""What a door does with a body: what it made durable, or why nothing."""


async def answer_batch(
    intake: Intake,
    scope: Scope,
    receive: Receive,
    send: Send,
    arrival: Arrival,
    noun: str,
    take: Take,
    status: int = 200,
) -> None:
    """Take one POST request with a batch of `noun`; its answer of success, with `status`, means
    durable."""
    trace_id = fbtrace_id()
    if scope["method"] != "POST":
        refusal = Refusal(Reason.METHOD_NOT_ALLOWED, f"{noun.capitalize()} are sent with POST.")
        await refuse(send, refusal, trace_id)
        return
    outcome: Taken | Refusal
    try:
        body = await intake.read_body(scope, receive)
        if isinstance(body, Refusal):
            outcome = await intake.set_aside(body, arrival, b"")
        else:
            outcome = await take(body)
    except BusyError as error:
        outcome = Refusal(Reason.BUSY, error.message)
    if isinstance(outcome, Refusal):
        await refuse(send, outcome, trace_id)
        return
    answer = f'{{"{noun}_received":{outcome.kept},"messages":[],"fbtrace_id":"{trace_id}"}}'
    body = _partial(outcome, trace_id) if outcome.refused else answer.encode()
    await respond(send, status, json_headers(body), body)


def _partial(taken: Taken, trace_id: str) -> bytes:
    """The answer to a batch of which some events were refused: a message for each, and each with
    its index and the error that it would have got alone."""
    refused = [
        {"index": index, **msgspec.json.decode(graph_error(refusal, trace_id))}
        for index, refusal in taken.refused
    ]
    return msgspec.json.encode(
        {
            "events_received": taken.kept,
            "messages": [entry["error"]["error_user_msg"] for entry in refused],
            "fbtrace_id": trace_id,
            "refused": refused,
        }
    )
