"""Listens on the public port, passes requests on to the collectors, and misbehaves as planned.

What is done to a connection is done to its socket, so that clients meet what a real network does to
them. Each request has a connection of its own to the collectors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import h11

from doublet.collect.request import Proxies, Scope, json_headers
from doublet.faults.answers import (
    Answer,
    find_poison,
    rate_limited,
    refused,
    server_error,
    told,
)
from doublet.faults.plan import AFTER, FAULTS, Plan, decide, read_plan
from doublet.faults.wire import Wire, forever
from doublet.processes import allow_open_files
from doublet.refusal import Reason, Refusal, graph_error
from doublet.settings import Settings

logger = logging.getLogger(__name__)

COUNTS_PATH = "/faults.json"

_CONNECTIONS_MAX = 16_384
_BACKLOG = 2048
_HEAD_TIMEOUT_S = 5.0
"""As the collectors have it: a silent connection is closed, also between two requests."""

# They end at each hop (RFC 9110, section 7.6.1), or are set anew.
_DROPPED = frozenset(
    b"connection keep-alive proxy-connection upgrade expect x-forwarded-for "
    b"x-forwarded-proto".split()
)


def run_front(settings: Settings, inner_port: int) -> None:
    """Serve until SIGINT or SIGTERM, then say on standard error what was done.

    Raises SettingsError for a file of faults that cannot be meant.
    """
    allow_open_files(2 * _CONNECTIONS_MAX)
    front = Front(settings, read_plan(settings.faults), inner_port)
    asyncio.run(front.serve())
    counts = {key: count for key, count in front.tally.items() if count}
    said = ", ".join(f"{count} {key}" for key, count in counts.items()) or "no request"
    print(f"Faults: {said}.", file=sys.stderr, flush=True)


class Front:
    """What the connections share."""

    def __init__(self, settings: Settings, plan: Plan, inner_port: int) -> None:
        self.settings = settings
        self.plan = plan
        self.inner_port = inner_port
        self.proxies = Proxies(settings.trusted_proxies)
        self.tally = Counter(dict.fromkeys(("requests", "forwarded", *FAULTS), 0))
        self._talks: set[asyncio.Task[None]] = set()

    def counts(self) -> dict[str, Any]:
        """How many requests met the plan, how many of them the collectors got, and each fault."""
        faults = {fault: self.tally[fault] for fault in FAULTS}
        return {
            "requests": self.tally["requests"],
            "forwarded": self.tally["forwarded"],
            "faults": faults,
        }

    async def serve(self) -> None:
        """Until SIGINT or SIGTERM."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        host = self.settings.host
        is_six = ":" in host
        listening = socket.create_server(
            (host, self.settings.port),
            family=socket.AF_INET6 if is_six else socket.AF_INET,
            backlog=_BACKLOG,
            dualstack_ipv6=is_six,
        )
        # Connections inherit it; without, an answer in two writes waits for an acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = await asyncio.start_server(self._talk, sock=listening, backlog=_BACKLOG)
        await stopping.wait()
        server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        talk = _Talk(self, Wire(reader, writer, h11.SERVER), writer.get_extra_info("peername"))
        # It is cancelled at the end only, and asyncio would print a trace of that (Python 3.11).
        with contextlib.suppress(asyncio.CancelledError):
            await talk.run()


class _OverError(Exception):
    """The connection was ended on purpose."""


class _Talk:
    """One client's connection, from its first request to its end."""

    def __init__(self, front: Front, client: Wire, peer: tuple[Any, ...] | None) -> None:
        self._front = front
        self._client = client
        self._peer = peer
        self._request: h11.Request
        self._number = 0

    async def run(self) -> None:
        """Answer one request after the other."""
        try:
            while True:
                async with asyncio.timeout(_HEAD_TIMEOUT_S):
                    request = await self._client.event()
                if not isinstance(request, h11.Request):
                    return
                self._request = request
                await self._answer()
                if not self._client.begin_next():
                    return
        except h11.RemoteProtocolError as error:
            await self._complain(error)
        except (OSError, _OverError):
            pass
        except Exception:
            logger.exception("request-failed")
        finally:
            await self._client.close()

    async def _complain(self, error: h11.RemoteProtocolError) -> None:
        if self._client.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = graph_error(Refusal(Reason.MALFORMED_BODY, "The request is no HTTP/1.1."))
            headers = [*json_headers(body), (b"connection", b"close")]
            head = h11.Response(status_code=error.error_status_hint, headers=headers)
            try:
                await self._client.send(head, h11.Data(data=body), h11.EndOfMessage())
            except OSError:
                return

    async def _answer(self) -> None:
        target = self._request.target.decode("latin-1")
        path = target.partition("?")[0]
        if path == COUNTS_PATH:
            await self._reply(_Body(self._client), told(self._front.counts()))
        elif self._front.plan.applies_to(path):
            await self._misbehave()
        else:
            await self._forward(_Body(self._client))

    async def _misbehave(self) -> None:
        """Answer one of the requests that meet faults."""
        front, body = self._front, _Body(self._client)
        front.tally["requests"] += 1
        self._number = front.tally["requests"]
        fate = decide(front.plan, self._number)
        await asyncio.sleep(fate.latency_s)
        await body.look(front.settings.body_size_bytes_max, front.settings.body_timeout_s)
        own: Answer | None = None
        if fate.fault == "reset_before":
            self._reset(fate.fault)
        elif fate.fault == "timeout_before":
            self._note(fate.fault)
            await self._while_there(forever(), self._feed(body))
        elif fate.fault == "server_error":
            own = server_error()
        elif fate.fault == "rate_limit" and front.plan.rate_limit is not None:
            own = rate_limited(front.plan.rate_limit)
        if own is not None:
            self._note(fate.fault)
            await self._reply(body, own)
            return
        after = fate.fault if fate.fault in AFTER else ""
        found = self._poison(body)
        if found is not None:
            await self._reply(body, found, after)
        else:
            front.tally["forwarded"] += 1
            await self._forward(body, after)

    def _poison(self, body: _Body) -> Answer | None:
        if not self._front.plan.poison or not body.is_whole:
            return None
        scope = self._scope()
        limit = self._front.settings.body_size_bytes_max
        found = find_poison(self._front.plan, scope, b"".join(body.seen), limit)
        if found is None:
            return None
        self._note("poison", f" event={found[1]}")
        return refused(*found)

    def _note(self, fault: str, more: str = "") -> None:
        self._front.tally[fault] += 1
        logger.info("fault kind=%s request=%d%s", fault, self._number, more)

    def _reset(self, fault: str) -> None:
        """Raises _OverError."""
        self._note(fault)
        self._client.reset()
        raise _OverError

    # --- the collectors' side --------------------------------------------------------------

    def _scope(self) -> Scope:
        return {
            "client": self._peer,
            "scheme": "http",
            "headers": list(self._request.headers),
            "query_string": self._request.target.partition(b"?")[2],
        }

    def _passed_on(self) -> h11.Request:
        """The request as the collectors get it, who believe what it says about the client."""
        proxies, scope = self._front.proxies, self._scope()
        dropped = _DROPPED
        if self._peer is None or not proxies.trusts(self._peer[0]):
            dropped = _DROPPED | {b"x-forwarded-host"}
        raw = self._request.headers.raw_items()
        headers = [(name, value) for name, value in raw if name.lower() not in dropped]
        names = {name for name, _ in self._request.headers}
        headers += [] if b"host" in names else [(b"Host", b"")]
        headers += [
            (b"Connection", b"close"),
            (b"X-Forwarded-For", (proxies.client_ip(scope) or "").encode()),
            (b"X-Forwarded-Proto", proxies.scheme(scope).encode()),
        ]
        return h11.Request(
            method=self._request.method, target=self._request.target, headers=headers
        )

    async def _forward(self, body: _Body, after: str = "") -> None:
        try:
            ends = await asyncio.open_connection("127.0.0.1", self._front.inner_port)
        except OSError:
            # Like a port on which nobody listens.
            self._client.reset()
            raise
        collector = Wire(*ends, h11.CLIENT)
        try:
            await collector.send(self._passed_on())
            await self._while_there(self._relay(collector, after), self._feed(body, collector))
        except h11.RemoteProtocolError:
            logger.warning("collector-broke-off")
            self._client.reset()
            raise _OverError from None
        finally:
            collector.reset()

    async def _feed(self, body: _Body, collector: Wire | None = None) -> None:
        """Pass on what the client sends, or drop it; then wait until the client has gone."""
        # A byte too many is enough for a collector to refuse, and with more unread its answer would
        # be lost in a reset.
        room = self._front.settings.body_size_bytes_max + 1
        try:
            async for piece in body.pieces():
                if passed := piece[:room]:
                    collector = await _try_to_send(collector, h11.Data(data=passed))
                    room -= len(passed)
            if room:
                await _try_to_send(collector, h11.EndOfMessage())
            await self._client.gone()
        except h11.RemoteProtocolError:
            # The client has gone before its request was whole.
            return

    async def _relay(self, collector: Wire, after: str) -> None:
        head = await collector.event()
        while isinstance(head, h11.InformationalResponse):
            head = await collector.event()
        assert isinstance(head, h11.Response)
        raw = head.headers.raw_items()
        kept = [(name, value) for name, value in raw if name.lower() not in _DROPPED]
        head = h11.Response(status_code=head.status_code, headers=kept, reason=head.reason)
        await self._deliver(head, collector.pieces(), after)

    # --- the client's side -----------------------------------------------------------------

    async def _reply(self, body: _Body, answer: Answer, after: str = "") -> None:
        """Send an answer of our own once the request's body is there."""
        head = h11.Response(status_code=answer.status, headers=answer.headers)

        async def pieces() -> AsyncIterator[bytes]:
            if self._request.method != b"HEAD":
                yield answer.body

        async def reply() -> None:
            await body.whole.wait()
            await self._deliver(head, pieces(), after)

        await self._while_there(reply(), self._feed(body))

    async def _deliver(self, head: h11.Response, pieces: AsyncIterator[bytes], after: str) -> None:
        """Send an answer, or what the fault `after` leaves of it."""
        if after == "reset_after":
            self._reset(after)
        elif after == "timeout_after":
            self._note(after)
            await forever()
        elif after == "truncate":
            await self._truncate(head, pieces)
        await self._client.send(head)
        async for piece in pieces:
            await self._client.send(h11.Data(data=piece))
        await self._client.send(h11.EndOfMessage())

    async def _truncate(self, head: h11.Response, pieces: AsyncIterator[bytes]) -> None:
        """Send half the body, or half the head where there is none. Raises _OverError."""
        self._note("truncate")
        first = await anext(pieces, b"")
        size = int(dict(head.headers).get(b"content-length", len(first)))
        data = self._client.http.send(head) or b""
        half = first[: size // 2]
        if half:
            data += self._client.http.send(h11.Data(data=half)) or b""
        await self._client.write(data if half else data[: len(data) // 2])
        raise _OverError

    async def _while_there(
        self, work: Coroutine[Any, Any, None], feed: Coroutine[Any, Any, None]
    ) -> None:
        """Do the work for as long as the client is there, which `feed` ends without.

        Raises what the work raises, ConnectionAbortedError when the client has gone.
        """
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(feed)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        if ended[0] is not None:
            raise ConnectionAbortedError("The client has gone.")


async def _try_to_send(collector: Wire | None, event: h11.Event) -> Wire | None:
    """The same collector, None once it takes no more: it has answered before it read all."""
    if collector is not None:
        try:
            await collector.send(event)
        except OSError:
            return None
    return collector


class _Body:
    """The body of a request as it arrives; what was looked at before is passed on like the rest."""

    def __init__(self, client: Wire) -> None:
        self._client = client
        self.seen: list[bytes] = []
        self.whole = asyncio.Event()

    @property
    def is_whole(self) -> bool:
        """Whether its end has arrived."""
        return self.whole.is_set()

    async def look(self, size_bytes_max: int, timeout_s: float) -> None:
        """Read it into `seen`, but no more than may come, and no longer than that may take."""
        size = 0
        try:
            async with asyncio.timeout(timeout_s):
                while size <= size_bytes_max and (piece := await self._next()):
                    self.seen.append(piece)
                    size += len(piece)
        except TimeoutError:
            return

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it."""
        for piece in self.seen:
            yield piece
        while piece := await self._next():
            yield piece

    async def _next(self) -> bytes:
        """Empty at its end."""
        if not self.is_whole:
            event = await self._client.event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            self.whole.set()
        return b""
