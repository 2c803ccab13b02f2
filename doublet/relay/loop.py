"""Sending: batches from the outbox to one destination, and what its answers make of them.

A batch is retried until the platform says what is to become of it; where it refuses, halves are
tried down to the bad event, which alone is set aside. While a destination fails, one request at a
time asks whether it is well again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple

import httpx
import msgspec
from tenacity import wait_random_exponential

from doublet.catalog import Destination
from doublet.destinations.contract import Kind, Outcome, Request, Response, Verdict
from doublet.destinations.encoding import without
from doublet.destinations.kinds import KINDS
from doublet.destinations.policy import Kept, Planned, Seen, decode_stored, plan
from doublet.outbox import (
    MESSAGE_LENGTH_MAX,
    Aside,
    Asked,
    Outbox,
    Pause,
    Ready,
    Sent,
    Settled,
    now_us,
)
from doublet.relay.drop import write_file
from doublet.waiting import seconds_until

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
_EXCHANGE_S = 120.0
_ANSWER_SIZE_BYTES_MAX = 4 << 20
_SECOND_US = 1_000_000
_POLL_S = 0.2
_GROUP_COMMIT_S = 0.02
_WRITE_AGAIN_S = 5.0
_REFUSED_IN_A_ROW_MAX = 20
_FAILURES_TOLD = 3
"""A request that fails once or twice is nothing that an operator must know."""

_UNTELLABLE = (
    *(TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError),
    *(OSError, msgspec.MsgspecError),
)
"""What a pure function of ours raises for an event that it was not made for: `datetime` even an
OSError. SQLite's errors are others."""

_LATER = wait_random_exponential(multiplier=1.0, max=300.0)
_BLOCKED = wait_random_exponential(multiplier=300.0, min=150.0, max=3600.0)

_encode = msgspec.json.Encoder().encode


class Item(NamedTuple):
    """An event on its way."""

    emission_id: int
    planned: Planned


class Writer:
    """Writes what became of events, that of many requests in one transaction."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._settled: list[Settled] = []
        self._written: asyncio.Future[None] | None = None

    async def settle(self, settled: Settled) -> None:
        """Returns once it is durable. While the disk is full, say, it is tried again and again:
        what arrived must not be sent once more for that."""
        self._settled.append(settled)
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(_GROUP_COMMIT_S, self._write)
        await asyncio.shield(self._written)

    def _write(self) -> None:
        failed: Exception | None = None
        try:
            self._outbox.settle(self._settled)
        except sqlite3.OperationalError:
            logger.exception("relay-write-failed requests=%d", len(self._settled))
            asyncio.get_running_loop().call_later(_WRITE_AGAIN_S, self._write)
            return
        except Exception as error:
            failed = error
        written, self._written, self._settled = self._written, None, []
        assert written is not None
        if failed is None:
            written.set_result(None)
        else:
            written.set_exception(failed)


class Sender:
    """Sends to one destination. Its loop runs in `run` until `stop`."""

    def __init__(
        self, destination: Destination, outbox: Outbox, writer: Writer, client: httpx.AsyncClient
    ) -> None:
        self.destination = destination
        self._outbox = outbox
        self._writer = writer
        self._client = client
        self._under_way: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused_in_a_row = 0
        self._is_stopping = False

    @property
    def _kind(self) -> Kind:
        return KINDS[self.destination.kind]

    def stop(self) -> None:
        """Begin nothing more."""
        self._is_stopping = True

    def abandon(self) -> None:
        """Give up the requests under way; their events are sent again."""
        for task in self._tasks:
            task.cancel()

    @property
    def destination_id(self) -> str:
        """Which."""
        return self.destination.destination_id

    async def run(self) -> None:
        """Send until `stop`; then wait for the requests under way."""
        while not self._is_stopping:
            try:
                wait_s = self._begin()
            except Exception:
                # The loop must live: what failed is tried again.
                logger.exception("relay-round-failed destination=%s", self.destination_id)
                wait_s = 5.0
            await self._wait(wait_s)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wait(self, seconds: float) -> None:
        """Until a request has ended, at most so long."""
        if seconds and self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)

    # --- taking -------------------------------------------------------------------------------

    def _begin(self) -> float:
        """Begin a request if there may be one; how long to wait before the next look."""
        rules, kind = self.destination.rules, self._kind
        if self.destination.is_paused:
            return _POLL_S
        now = now_us()
        pause = self._outbox.pauses().get(self.destination_id)
        if pause is not None and pause.until_at > now:
            return min((pause.until_at - now) / _SECOND_US, _POLL_S)
        if len(self._tasks) >= (1 if pause is not None and pause.failures else rules.in_flight):
            return _POLL_S
        size = min(rules.batch_events or kind.events_max, kind.events_max)
        rows = self._outbox.ready(self.destination_id, now, size, self._under_way)
        if not rows:
            return _POLL_S
        waited_s = (now - rows[0].due_at) / _SECOND_US
        if len(rows) < size and waited_s < rules.batch_wait_s:
            return min(rules.batch_wait_s - waited_s, _POLL_S)
        self._under_way.update(row.emission_id for row in rows)
        task = asyncio.create_task(self._deliver(rows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return 0.0

    async def _deliver(self, rows: Sequence[Ready]) -> None:
        try:
            groups, aside = self._plan(rows)
            if aside:
                await self._writer.settle(Settled(None, [], aside))
            for group in groups.values():
                if not await self._send(group):
                    return
        except Exception:
            logger.exception("relay-batch-failed destination=%s", self.destination_id)
            self._pause(Outcome(Verdict.LATER, message="An error of the relay; its log says more."))
        finally:
            self._under_way.difference_update(row.emission_id for row in rows)

    def _plan(self, rows: Sequence[Ready]) -> tuple[dict[Hashable, list[Item]], list[Aside]]:
        groups: dict[Hashable, list[Item]] = {}
        aside: list[Aside] = []
        now_s = time.time()
        look = Looking(self._outbox, self.destination.account_id)
        for row in rows:
            try:
                stored = decode_stored(row.payload)
                made = plan(stored, self.destination, self._kind, now_s, look)
                if not isinstance(made, Kept):
                    group = groups.setdefault(self._kind.group(made.event), [])
                    group.append(Item(row.emission_id, made))
                    continue
            except _UNTELLABLE:
                made = self._untellable(row.emission_id)
            state: Literal["failed", "withheld"] = "failed" if made.is_failure else "withheld"
            aside.append(Aside(row.emission_id, state, made.reason, made.message))
        return groups, aside

    def _untellable(self, emission_id: int) -> Kept:
        """An event that a function of ours fails on must not hold up the others."""
        where = (self.destination_id, emission_id)
        logger.exception("relay-event-failed destination=%s emission=%d", *where)
        return Kept(True, "untellable", "Doublet cannot read it; the relay's log says more.")

    # --- sending ------------------------------------------------------------------------------

    async def _send(self, items: Sequence[Item]) -> bool:
        """Whether these events are dealt with; otherwise they wait, and so does what follows."""
        try:
            request = self._kind.encode(self.destination, [item.planned.event for item in items])
        except _UNTELLABLE:
            if len(items) > 1:
                return await self._send_halves(items)
            kept = self._untellable(items[0].emission_id)
            aside = [Aside(items[0].emission_id, "failed", kept.reason, kept.message)]
            await self._writer.settle(Settled(None, [], aside))
            return True
        if len(request.body) > self._kind.size_bytes_max and len(items) > 1:
            return await self._send_halves(items)
        if self._is_held():
            return False
        sent_at, began = now_us(), time.perf_counter()
        outcome = await self._ask(request, len(items))
        asked = Asked(
            self.destination_id,
            sent_at,
            time.perf_counter() - began,
            len(items),
            outcome.verdict.value,
            outcome.http_status,
            outcome.code,
            outcome.message,
        )
        traces = [trace(item, part) for item, part in zip(items, request.parts, strict=True)]
        refused = dict(outcome.refused)
        if outcome.verdict is Verdict.DIVIDE and len(items) == 1:
            refused = {0: outcome.message}
        aside = [
            Aside(items[n].emission_id, "failed", outcome.code or "refused", why, traces[n])
            for n, why in refused.items()
        ]
        if len(refused) == len(items):
            self._refused_in_a_row += len(items)
        elif outcome.verdict is Verdict.DONE:
            self._refused_in_a_row = 0
        if outcome.verdict is Verdict.DONE:
            sent = [
                Sent(item.emission_id, traces[n])
                for n, item in enumerate(items)
                if n not in refused
            ]
            await self._writer.settle(Settled(asked, sent, aside))
        else:
            await self._writer.settle(Settled(asked, [], aside))
        if outcome.verdict in (Verdict.LATER, Verdict.BLOCKED):
            self._pause(outcome)
            return False
        # It answers, so it is well.
        self._go_on(outcome, sent_at)
        if self._refused_in_a_row >= _REFUSED_IN_A_ROW_MAX:
            # It is not the events. If it is, as many more are set aside after the pause: one at a
            # time would hold good ones up for days.
            self._refused_in_a_row = 0
            self._pause(msgspec.structs.replace(outcome, verdict=Verdict.BLOCKED))
            return False
        if outcome.verdict is Verdict.DONE:
            return True
        if not aside:
            return await self._send_halves(items)
        others = [item for n, item in enumerate(items) if n not in refused]
        return not others or await self._send(others)

    def _is_held(self) -> bool:
        """Whether another request has just been told to wait."""
        pause = self._outbox.pauses().get(self.destination_id)
        return pause is not None and pause.until_at > now_us()

    async def _send_halves(self, items: Sequence[Item]) -> bool:
        middle = len(items) // 2
        return await self._send(items[:middle]) and await self._send(items[middle:])

    async def _ask(self, request: Request, events: int) -> Outcome:
        if request.url.startswith("file://"):
            return self._kind.decide(await asyncio.to_thread(write_file, request), events)
        request = self._kind.sign(self.destination, request, int(time.time()))
        try:
            answer = await self._answer(request)
        except httpx.InvalidURL:
            # It is too long, for what an event said.
            return Outcome(Verdict.DIVIDE, "address", "It makes an address that is none.")
        except (httpx.HTTPError, TimeoutError, UnicodeError) as error:
            # Not its own words, which may hold the address.
            return Outcome(Verdict.LATER, type(error).__name__, "No answer came.")
        outcome = self._kind.decide(answer, events)
        return _without(self.destination.secret, outcome)

    async def _answer(self, request: Request) -> Response:
        """An answer, or the beginning of one that is longer or slower than any sensible one."""
        head: httpx.Response | None = None
        body = bytearray()
        asking = self._client.stream(
            request.method, request.url, headers=request.headers, content=request.body
        )
        try:
            async with asyncio.timeout(_EXCHANGE_S), asking as head:
                async for piece in head.aiter_bytes():
                    body += piece
                    if len(body) > _ANSWER_SIZE_BYTES_MAX:
                        break
        except (TimeoutError, httpx.DecodingError):
            if head is None:
                raise
        return Response(head.status_code, head.headers, bytes(body[:_ANSWER_SIZE_BYTES_MAX]))

    # --- pauses -------------------------------------------------------------------------------

    def _go_on(self, outcome: Outcome, sent_at: int) -> None:
        """End a pause, if it was asked after it; what was under way before says nothing."""
        pause = self._outbox.pauses().get(self.destination_id)
        if outcome.retry_after_s:
            now = now_us()
            until = now + int(outcome.retry_after_s * _SECOND_US)
            message = "A rate limit is nearly used up."
            self._outbox.set_pause(Pause(self.destination_id, until, now, 0, "done", message))
        elif pause is not None and sent_at >= pause.until_at:
            self._outbox.end_pause(self.destination_id)
            if pause.failures >= _FAILURES_TOLD:
                logger.warning("relay-goes-on destination=%s", self.destination_id)

    def _pause(self, outcome: Outcome) -> None:
        """Ask nothing for a while: requests under way that fail too prolong it no further."""
        now = now_us()
        known = self._outbox.pauses().get(self.destination_id)
        if known is not None and known.until_at > now and known.failures:
            return
        failures = known.failures + 1 if known is not None else 1
        since = known.since_at if known is not None and known.failures else now
        wait_s = max(_wait_s(outcome.verdict, failures), outcome.retry_after_s or 0.0)
        self._outbox.set_pause(
            Pause(
                self.destination_id,
                now + int(wait_s * _SECOND_US),
                since,
                failures,
                outcome.verdict.value,
                outcome.message[:MESSAGE_LENGTH_MAX],
            )
        )
        if failures == _FAILURES_TOLD or outcome.verdict is Verdict.BLOCKED:
            logger.warning(
                "relay-pauses destination=%s verdict=%s status=%d code=%s wait_s=%.1f",
                *(self.destination_id, outcome.verdict.value, outcome.http_status),
                *(outcome.code, wait_s),
            )


class Looking:
    """Finds identifiers in the outbox, each once for a batch."""

    def __init__(self, outbox: Outbox, account_id: str) -> None:
        self._outbox = outbox
        self._account_id = account_id
        self._known: dict[str, Seen | None] = {}

    def __call__(self, identifier: str) -> Seen | None:
        """See `Look`."""
        if identifier not in self._known:
            row = self._outbox.sighting(self._account_id, identifier)
            self._known[identifier] = None if row is None else _seen(row)
        return self._known[identifier]


def _without(secret: str, outcome: Outcome) -> Outcome:
    """An outcome that may be shown: some servers quote the token that they do not know."""
    return msgspec.structs.replace(
        outcome,
        code=without(secret, outcome.code),
        message=without(secret, outcome.message),
        refused={index: without(secret, why) for index, why in outcome.refused.items()},
    )


def _seen(row: tuple[Any, ...]) -> Seen:
    event_time, event_name, facts, consent, consent_at, browsers = row
    return Seen(
        event_time,
        event_name,
        msgspec.json.decode(facts),
        msgspec.json.decode(consent) if consent else None,
        consent_at,
        browsers,
    )


def trace(item: Item, part: bytes) -> bytes:
    """What is kept of an event that was sent: `sent` as the platform got it, `filled` with where
    each value came from, `consent_of`."""
    return _encode(
        {
            "sent": msgspec.Raw(part),
            "filled": item.planned.filled,
            "consent_of": item.planned.consent_of,
        }
    )


def _wait_s(verdict: Verdict, failures: int) -> float:
    return seconds_until(failures, _BLOCKED if verdict is Verdict.BLOCKED else _LATER)
