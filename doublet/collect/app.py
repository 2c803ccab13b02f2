"""The ASGI application of a collector."""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256
from typing import Any

import msgspec

from doublet import pixel
from doublet.accept import (
    Arrival,
    accept_events,
    accept_hit,
    hashed_payload,
    read_hit,
    read_request,
    refused_record,
)
from doublet.catalog import Catalog
from doublet.collect.accounts import Accounts
from doublet.collect.appender import Appender
from doublet.collect.health import health
from doublet.collect.proxy import Proxy
from doublet.collect.request import (
    HeaderList,
    Pairs,
    Proxies,
    Receive,
    Scope,
    Send,
    header,
    json_headers,
    parse_form,
    parse_pairs,
    read_body,
    respond,
)
from doublet.errors import BusyError
from doublet.event import EventsRequest
from doublet.log.disk import DiskLog
from doublet.log.writer import Limits
from doublet.refusal import Reason, Refusal, fbtrace_id, graph_error
from doublet.settings import Settings

logger = logging.getLogger(__name__)

# A transparent GIF of one pixel, as small as the format allows (GIF89a specification).
_GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_GIF_HEADERS: HeaderList = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"%d" % len(_GIF)),
    (b"cache-control", b"no-store"),
]
_EMPTY_HEADERS: HeaderList = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"0"),
    (b"cache-control", b"no-store"),
]


class Collector:
    """Answers the hot paths itself and hands the rest to the worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings.trusted_proxies)
        self._proxy = Proxy(settings.worker_socket, self._proxies)
        script = pixel.script()
        self._script = script
        self._script_headers: HeaderList = [
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"content-length", b"%d" % len(script)),
            (b"cache-control", b"public, max-age=3600"),
            (b"access-control-allow-origin", b"*"),
            (b"etag", b'"%s"' % sha256(script).hexdigest()[:16].encode()),
        ]
        self._appender: Appender
        self._accounts: Accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._open()
        except Exception as error:
            logger.exception("collector-start-failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._appender.close()
        await self._proxy.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self) -> None:
        settings = self._settings
        log = DiskLog(
            settings.log_folder,
            Limits(
                settings.log_queue_size_bytes_max,
                settings.log_segment_size_bytes,
                settings.log_segment_age_s,
                settings.disk_free_bytes_min,
            ),
        )
        self._appender = Appender(log, asyncio.get_running_loop())
        self._accounts = Accounts(Catalog(settings.catalog_url))
        await self._accounts.reread()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        try:
            if path in ("/tr/", "/tr"):
                await self._hit(scope, receive, send)
            elif path.endswith(("/events", "/events/")) and _pixel_of(path):
                await self._events(scope, receive, send, _pixel_of(path))
            elif path == "/px.js":
                await self._pixel_script(scope, send)
            elif path == "/health":
                body = msgspec.json.encode(health(self._settings.run_folder))
                await respond(send, 200, json_headers(body), body, head=_is_head(scope))
            else:
                await self._proxy.forward(scope, receive, send)
        except Exception:
            # A bug of ours must not hang the client, and must not tell it anything either.
            logger.exception("request-failed path=%s", path[:100])
            await _refuse(send, Refusal(Reason.INTERNAL, "An unknown error occurred."))

    async def _pixel_script(self, scope: Scope, send: Send) -> None:
        etag = dict(self._script_headers)[b"etag"].decode()
        if header(scope, b"if-none-match") == etag:
            await respond(send, 304, self._script_headers[2:])
        else:
            await respond(send, 200, self._script_headers, self._script, head=_is_head(scope))

    # --- the pixel's hits ---------------------------------------------------------------------

    async def _hit(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        pairs: Pairs | Refusal
        raw: bytes = scope["query_string"]
        if method == "GET":
            pairs = parse_pairs(raw)
        elif method == "POST":
            body = await read_body(receive, self._settings.body_size_bytes_max)
            pairs, raw = self._posted_pairs(scope, raw, body)
        elif method == "HEAD":
            await respond(send, 200, _GIF_HEADERS)
            return
        else:
            pairs = Refusal(Reason.METHOD_NOT_ALLOWED, f"/tr does not know {method}.")
        # No request for an image may wait for the caller's patience: parse, append, answer.
        outcome = await self._take_hit(scope, pairs, raw)
        if outcome is not None:
            await _refuse(send, outcome)
        elif method == "GET":
            await respond(send, 200, _GIF_HEADERS, _GIF)
        else:
            await respond(send, 200, _EMPTY_HEADERS)

    def _posted_pairs(
        self, scope: Scope, query: bytes, body: bytes | None
    ) -> tuple[Pairs | Refusal, bytes]:
        if body is None:
            return self._too_large(), b""
        pairs = parse_form(body, header(scope, b"content-type"))
        if query and not isinstance(pairs, Refusal):
            more = parse_pairs(query)
            pairs = more if isinstance(more, Refusal) else more + pairs
        return pairs, body

    async def _take_hit(self, scope: Scope, pairs: Pairs | Refusal, raw: bytes) -> Refusal | None:
        arrival = Arrival("", "", "browser", 0, self._appender.slot)
        if isinstance(pairs, Refusal):
            return await self._set_aside(pairs, arrival, raw)
        hit = read_hit(pairs)
        arrival.pixel_id = hit.pixel_id[:32]
        account_id = await self._accounts.of_pixel(hit.pixel_id)
        if account_id is None:
            return await self._set_aside(_unknown_pixel(hit.pixel_id), arrival, raw)
        arrival.account_id = account_id
        arrival.client_ip = self._proxies.client_ip(scope)
        for name, value in scope["headers"]:
            if name == b"user-agent":
                arrival.user_agent = value.decode("latin-1")
            elif name == b"referer":
                arrival.referer = value.decode("latin-1")
        arrival.received_at = self._appender.clock.stamp()
        record = accept_hit(hit, arrival)
        if isinstance(record, Refusal):
            return await self._set_aside(record, arrival, raw)
        return await self._append([record])

    # --- the Conversions API ------------------------------------------------------------------

    async def _events(self, scope: Scope, receive: Receive, send: Send, pixel_id: str) -> None:
        trace_id = fbtrace_id()
        arrival = Arrival("", pixel_id, "server", 0, self._appender.slot)
        if scope["method"] != "POST":
            refusal = Refusal(Reason.METHOD_NOT_ALLOWED, "Events are sent with POST.")
            await _refuse(send, refusal, trace_id)
            return
        body = await read_body(receive, self._settings.body_size_bytes_max)
        if body is None:
            refusal = await self._set_aside(self._too_large(), arrival, b"")
            await _refuse(send, refusal, trace_id)
            return
        outcome = await self._take_events(scope, arrival, body)
        if isinstance(outcome, Refusal):
            await _refuse(send, outcome, trace_id)
            return
        answer = b'{"events_received":%d,"messages":[],"fbtrace_id":"%s"}' % (
            outcome,
            trace_id.encode(),
        )
        await respond(send, 200, json_headers(answer), answer)

    async def _take_events(self, scope: Scope, arrival: Arrival, body: bytes) -> int | Refusal:
        """How many events were made durable, or why none."""
        query = parse_pairs(scope["query_string"])
        if isinstance(query, Refusal):
            return await self._set_aside(query, arrival, body)
        parameters = dict(query)
        request = _read_events(body, header(scope, b"content-type"), parameters)
        token = _token(scope, parameters, request)
        owner = await self._accounts.of_token(token) if token else None
        if owner is None:
            refusal = Refusal(
                Reason.TOKEN_INVALID,
                "Invalid OAuth access token - Cannot parse access token"
                if token
                else "An access token is required to request this resource.",
            )
            return await self._set_aside(refusal, arrival, body)
        # A pixel of somebody else is answered like one that does not exist.
        if await self._accounts.of_pixel(arrival.pixel_id) != owner:
            return await self._set_aside(_unknown_pixel(arrival.pixel_id), arrival, body)
        arrival.account_id = owner
        if isinstance(request, Refusal):
            return await self._set_aside(request, arrival, body, proven=True)
        arrival.received_at = self._appender.clock.stamp()
        records = accept_events(request, arrival)
        if isinstance(records, Refusal):
            return await self._set_aside(records, arrival, body, proven=True)
        return await self._append(records) or len(records)

    # --- both ---------------------------------------------------------------------------------

    async def _append(self, records: list[bytes]) -> Refusal | None:
        try:
            await self._appender.append(records)
        except BusyError as error:
            return Refusal(Reason.BUSY, error.message)
        return None

    async def _set_aside(
        self, refusal: Refusal, arrival: Arrival, body: bytes, *, proven: bool = False
    ) -> Refusal:
        """Keep a refused request as a record; hand the refusal back for the answer."""
        arrival.received_at = self._appender.clock.stamp()
        payload = hashed_payload(body) if proven else None
        busy = await self._append([refused_record(refusal, arrival, body, payload)])
        return busy or refusal

    def _too_large(self) -> Refusal:
        limit = self._settings.body_size_bytes_max
        return Refusal(Reason.TOO_LARGE, f"The request body is larger than {limit} bytes.")


def _is_head(scope: Scope) -> bool:
    return bool(scope["method"] == "HEAD")


def _pixel_of(path: str) -> str:
    """The pixel id in `/vN.N/<pixel_id>/events`, empty when the path is another."""
    parts = path.strip("/").split("/")
    version, pixel_id = (parts[0], parts[1]) if len(parts) == 3 else ("v1.0", parts[0])
    major, _, minor = version[1:].partition(".")
    plausible = version[:1] == "v" and major.isdigit() and minor.isdigit()
    return pixel_id if len(parts) in (2, 3) and plausible and pixel_id.isdigit() else ""


def _unknown_pixel(pixel_id: str) -> Refusal:
    shown = pixel_id if pixel_id.isdigit() and len(pixel_id) <= 32 else ""
    return Refusal(
        Reason.PIXEL_UNKNOWN,
        f"Unsupported request. Object with ID '{shown}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation.",
    )


def _read_events(
    body: bytes, content_type: str, parameters: dict[str, str]
) -> EventsRequest | Refusal:
    """The request in a JSON body or a form; parameters in the query fill what is missing."""
    if content_type.startswith(("multipart/", "application/x-www-form-urlencoded")):
        pairs = parse_form(body, content_type)
        if isinstance(pairs, Refusal):
            return pairs
        fields: dict[str, Any] = {**parameters, **dict(pairs)}
        return EventsRequest(
            data=fields.get("data"),
            access_token=fields.get("access_token"),
            test_event_code=fields.get("test_event_code"),
            partner_agent=fields.get("partner_agent"),
        )
    request = read_request(body)
    if isinstance(request, EventsRequest) and request.test_event_code is None:
        request.test_event_code = parameters.get("test_event_code")
    return request


def _token(scope: Scope, parameters: dict[str, str], request: EventsRequest | Refusal) -> str:
    """From the query, the Authorization header or the body; empty when there is none."""
    if parameters.get("access_token"):
        return parameters["access_token"]
    scheme, _, bearer = header(scope, b"authorization").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return bearer.strip()
    return (request.access_token or "") if isinstance(request, EventsRequest) else ""


async def _refuse(send: Send, refusal: Refusal, trace_id: str = "") -> None:
    row = refusal.reason.row
    body = graph_error(refusal, trace_id)
    extra = [(b"x-doublet-refused", refusal.reason.label.encode())]
    if refusal.reason is Reason.BUSY:
        extra.append((b"retry-after", b"5"))
    if refusal.reason is Reason.TOO_LARGE:
        # The rest of the body is still on its way; it is not read.
        extra.append((b"connection", b"close"))
    await respond(send, row.http_status, json_headers(body, extra), body)
