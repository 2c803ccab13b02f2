"""Test events: the live feed as a stream of server-sent events, as a page and as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.live.feed import LISTENERS_MAX, Feed, Wish, read_positions
from doublet.live.listening import Listener, Message
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_choice, read_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

ROWS_MAX = 300
_CODE_LENGTH_MAX = 64
_RETRY_MS = 1000

_encode = msgspec.json.Encoder(decimal_format="number").encode


def live_routes(door: Access, catalog: Catalog, feed: Feed) -> list[Route]:
    """`/v1/test_events`, the stream; `/test_events`, the page, and its twin `.json`."""
    view = _TestEvents(door, catalog, feed)
    return [
        Route("/v1/test_events", view.stream),
        Route("/test_events", view.page),
        Route("/test_events.json", view.json),
        Route("/test_events.csv", view.csv),
    ]


class TestEventRow(msgspec.Struct):
    """A copy or a refused request for spreadsheets; `copy` is its place in the log."""

    copy: str
    kind: str
    received_at: datetime
    source: str
    event_name: str | None
    event_id: str | None
    order_id: str | None
    action_source: str | None
    event_source_url: str | None
    user_data_keys: list[str]
    test_event_code: str | None
    status: str | None
    reason: str | None
    message: str | None


class _TestEvents:
    def __init__(self, door: Access, catalog: Catalog, feed: Feed) -> None:
        self._door = door
        self._catalog = catalog
        self._feed = feed

    async def stream(self, request: Request) -> Response:
        """What comes from now on, after what is remembered, or all since `Last-Event-ID`."""
        wish, _ = await self._ask(request, await self._door.admit(request))
        if self._feed.listeners >= LISTENERS_MAX:
            message = f"{LISTENERS_MAX} listeners follow test events already; close some of them."
            raise Refused(Refusal(Reason.BUSY, message))
        last = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
        since = read_positions(last) if last else None
        if last and since is None:
            message = "last_event_id is not one of an event of this stream; leave it out."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "last_event_id"))
        frames = _frames(Listener(self._feed, wish, since))
        # Proxies such as nginx would hold small events back.
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(frames, 200, headers, "text/event-stream")

    async def page(self, request: Request) -> Response:
        """The newest rows for people; a script asks for the page again when the stream says so."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        wish, question = await self._ask(request, visitor)
        return page.answer(
            "test_events.html",
            question=question,
            wish=wish,
            rows=await self._rows(wish),
            address=_address(question, wish),
        )

    async def json(self, request: Request) -> Response:
        """The same rows for programs."""
        wish, _ = await self._ask(request, await self._door.admit(request))
        rows = [
            msgspec.structs.asdict(row) | {"status": status}
            for row, status in await self._rows(wish)
        ]
        return Response(_encode(rows), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The same rows for spreadsheets."""
        wish, _ = await self._ask(request, await self._door.admit(request))
        rows = [
            TestEventRow(
                f"{row.log_slot}-{row.log_offset}",
                row.kind,
                row.received_at,
                row.source,
                row.event_name,
                row.event_id,
                row.order_id,
                row.action_source,
                row.event_source_url,
                list(row.user_data_keys),
                row.test_event_code,
                status.status if status else None,
                row.reason,
                row.message,
            )
            for row, status in await self._rows(wish)
        ]
        headers = {"content-disposition": 'attachment; filename="test_events.csv"'}
        return Response(as_csv(rows, TestEventRow), 200, headers, "text/csv")

    async def _rows(self, wish: Wish) -> list[tuple[Any, Any]]:
        """Rows and, of events, statuses; the newest first."""
        rows = self._feed.recent(wish)[:ROWS_MAX]
        known = await run_in_threadpool(self._feed.statuses_of, wish, rows)
        return [(row, known.get(row.place)) for row in rows]

    async def _ask(self, request: Request, visitor: Visitor) -> tuple[Wish, Question]:
        question = await read_question(request, visitor, self._catalog)
        code = request.query_params.get("code") or None
        everything = read_choice(request, "all", ("0", "1")) == "1"
        if code is not None and (everything or len(code) > _CODE_LENGTH_MAX):
            message = (
                "code and all=1 exclude each other; leave one out."
                if everything
                else f"code has more than {_CODE_LENGTH_MAX} characters."
            )
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "code"))
        return Wish(question.account.account_id, question.pixel_id, code, everything), question


def _address(question: Question, wish: Wish) -> Any:
    """Makes addresses that ask for the same rows."""
    more = {"code": wish.code} if wish.code else {"all": "1"} if wish.everything else {}
    return lambda path: question.address(path, **more)


async def _frames(listener: Listener) -> AsyncIterator[bytes]:
    """A listener's messages as the lines of server-sent events (WHATWG, HTML, section 9.2)."""
    yield b"retry: %d\n\n" % _RETRY_MS
    async for message in listener.messages():
        yield _frame(message)


def _frame(message: Message) -> bytes:
    """One event; without content only its id, which clients keep and do not tell.

    >>> _frame(Message("0-5", None))
    b'id: 0-5\\n\\n'
    """
    lines = [b"id: %s" % message.position.encode()] if message.position else []
    if message.content is not None:
        lines += [
            b"event: %s" % message.content.kind.encode(),
            b"data: " + _encode(message.content),
        ]
    return b"\n".join(lines) + b"\n\n"
