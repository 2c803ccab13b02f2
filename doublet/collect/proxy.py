"""Everything that a collector does not answer itself goes to the worker over a local socket.

A request's body is read whole before it takes one of the few connections to the worker; how large
and how slow it may be is the same as for events."""

from __future__ import annotations

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from doublet.collect.intake import BODIES_SIZE_BYTES_MAX, refuse
from doublet.collect.request import (
    HeaderList,
    Proxies,
    Receive,
    Room,
    Scope,
    Send,
    json_headers,
    read_body,
    respond,
)
from doublet.errors import BusyError
from doublet.refusal import Reason, Refusal, graph_error
from doublet.settings import Settings

if TYPE_CHECKING:
    import httpx

# Connection-specific headers end at each hop (RFC 9110, section 7.6.1); the forwarding ones are
# set anew from what the configured proxies vouch for.
_DROPPED = frozenset(
    b"connection keep-alive proxy-connection transfer-encoding te trailer upgrade "
    b"x-forwarded-for x-forwarded-proto forwarded".split()
)
_TIMEOUT_S = 60.0
_EVENT_STREAM = "text/event-stream"
# Streams of events hold theirs for an hour; the worker has at most 64 of them.
_CONNECTIONS_MAX = 164
_IDLE_MAX = 20
_PRINTABLE = bytes(range(0x21, 0x7F))


class Proxy:
    """A small reverse proxy to one Unix socket; streams the answers."""

    def __init__(self, socket: Path, settings: Settings) -> None:
        self._socket = socket
        self._proxies = Proxies(settings.trusted_proxies)
        self._body_size_bytes_max = settings.body_size_bytes_max
        self._body_timeout_s = settings.body_timeout_s
        # Not that of the events: a slow dashboard must not close the doors.
        self._room = Room(max(BODIES_SIZE_BYTES_MAX, 2 * settings.body_size_bytes_max))
        self._client: httpx.AsyncClient | None = None
        self._stopping = asyncio.Event()

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request to the worker, or say that it is not there."""
        try:
            body = await self._read(scope, receive)
            if isinstance(body, Refusal):
                await refuse(send, body)
                return
            with self._room.hold(body):
                await self._pass_on(scope, body, receive, send)
        except BusyError as error:
            await refuse(send, Refusal(Reason.BUSY, error.message))

    async def _read(self, scope: Scope, receive: Receive) -> bytes | Refusal:
        if scope["method"] in ("GET", "HEAD"):
            return b""
        return await read_body(receive, self._body_size_bytes_max, self._room, self._body_timeout_s)

    async def _pass_on(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        import httpx

        if self._client is None:
            transport = httpx.AsyncHTTPTransport(
                uds=str(self._socket),
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS_MAX, max_keepalive_connections=_IDLE_MAX
                ),
            )
            # One client serves all visitors: a jar that kept cookies would sign them in as each
            # other.
            no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            self._client = httpx.AsyncClient(
                transport=transport, timeout=_TIMEOUT_S, cookies=no_cookies
            )
        path = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0]
        query = scope["query_string"]
        # Clients do send bytes that an address may not hold; the worker gets them escaped.
        target = quote(path + (b"?" + query if query else b""), safe=_PRINTABLE).encode()
        request = self._client.build_request(
            scope["method"],
            "http://worker/",
            headers=self._headers(scope),
            content=body,
            extensions={"target": target},
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TransportError:
            await _unavailable(send)
            return
        try:
            headers = [(k.lower(), v) for k, v in answer.headers.raw if k.lower() not in _DROPPED]
            start = {"type": "http.response.start", "status": answer.status_code}
            await send({**start, "headers": headers})
            if answer.headers.get("content-type", "").startswith(_EVENT_STREAM):
                await self._stream(answer, receive, send)
            else:
                await _copy(answer, send)
        finally:
            await answer.aclose()

    async def _stream(self, answer: httpx.Response, receive: Receive, send: Send) -> None:
        """Pass on an answer without end until this server stops or the client has gone, which
        between two events nothing else would tell. Where the worker breaks off, clients come again.
        """
        import httpx

        sending = asyncio.ensure_future(_copy(answer, send))
        tasks = {
            sending,
            asyncio.ensure_future(_wait_until_gone(receive)),
            asyncio.ensure_future(self._stopping.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception) and not isinstance(error, httpx.TransportError):
                raise error
        if self._stopping.is_set() or any(isinstance(e, httpx.TransportError) for e in ended):
            await send({"type": "http.response.body", "body": b""})

    def hang_up(self) -> None:
        """End the answers that have no end of their own."""
        self._stopping.set()

    def _headers(self, scope: Scope) -> HeaderList:
        # The length is that of the body as it was read, which may have come in chunks.
        dropped = _DROPPED | {b"content-length"}
        headers = [(k, v) for k, v in scope["headers"] if k not in dropped]
        client_ip = self._proxies.client_ip(scope)
        if client_ip:
            headers.append((b"x-forwarded-for", client_ip.encode()))
        headers.append((b"x-forwarded-proto", self._proxies.scheme(scope).encode()))
        return headers

    async def close(self) -> None:
        """Drop the connections."""
        if self._client is not None:
            await self._client.aclose()


async def _copy(answer: httpx.Response, send: Send) -> None:
    async for chunk in answer.aiter_raw():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _unavailable(send: Send) -> None:
    refusal = Refusal(Reason.BUSY, "The dashboard is starting or has stopped.")
    body = graph_error(refusal)
    await respond(send, 503, json_headers(body, [(b"retry-after", b"2")]), body)
