"""The ASGI application of a decider: which path goes where."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import msgspec

from doublet.accept.ad_touches import only_country
from doublet.collect.events import token_of
from doublet.collect.intake import Intake, refuse
from doublet.collect.request import (
    Receive,
    Scope,
    Send,
    explain,
    json_headers,
    parse_pairs,
    respond,
)
from doublet.decide.answer import DecideAnswer, Writer
from doublet.decide.asked import DecideRequest, features_of, read_decide, who
from doublet.decide.desk import Desk
from doublet.decide.touches import PATHS, Touches
from doublet.delivery.decide import Asked, Decision
from doublet.delivery.links import fresh_id
from doublet.errors import BusyError
from doublet.health import health
from doublet.refusal import Reason, Refusal, fbtrace_id
from doublet.settings import Settings

logger = logging.getLogger(__name__)

DECIDE_PATH = "/v1/decide"

_REFRESH_S = 1.0
_LOOKS = 10

_encode = msgspec.json.Encoder().encode


class DeciderHealth(msgspec.Struct):
    """The answer of `/health`. `status` is that of the worker (ok, degraded, starting), without
    which deciders go on with what they know; `as_of` is that of the book (Unix seconds), `ads` how
    many run."""

    status: str
    problem: str
    book_version: int
    as_of: float
    ads: int


class Decider:
    """Answers all that a decider does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._intake: Intake
        self._desk: Desk
        self._touches: Touches
        self._writer: Writer
        self._refreshing: asyncio.Task[None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except Exception:
                # A bug of ours must not hang the client, and must not tell it anything either.
                logger.exception("request-failed path=%s", scope["path"][:100])
                await refuse(send, Refusal(Reason.INTERNAL, "An unknown error occurred."))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == DECIDE_PATH:
            await self._decide(scope, receive, send)
        elif path in PATHS:
            await self._touches.answer(scope, send)
        elif path == "/health":
            body = _encode(self._health())
            await respond(send, 200, json_headers(body), body, head=scope["method"] == "HEAD")
        else:
            message = f"A decider answers {DECIDE_PATH}, {', '.join(PATHS)} and /health."
            await refuse(send, Refusal(Reason.NOT_FOUND, message))

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        trace_id = fbtrace_id()
        try:
            outcome = await self._take(scope, receive)
        except BusyError as error:
            outcome = Refusal(Reason.BUSY, error.message)
        if isinstance(outcome, Refusal):
            await refuse(send, outcome, trace_id)
            return
        body = _encode(outcome)
        await respond(send, 200, json_headers(body), body)

    async def _take(self, scope: Scope, receive: Receive) -> DecideAnswer | Refusal:
        """The answer, once what it promises is durable: the money is reserved, and the log says
        what for."""
        if scope["method"] != "POST":
            return Refusal(Reason.METHOD_NOT_ALLOWED, "Ads are asked for with POST.")
        body = await self._intake.read_body(scope, receive)
        if isinstance(body, Refusal):
            return body
        query = parse_pairs(scope["query_string"])
        if isinstance(query, Refusal):
            return query
        asked = read_decide(body)
        named = None if isinstance(asked, Refusal) else asked.access_token
        token = token_of(scope, dict(query), named, body)
        account_id = await self._intake.accounts.of_token(token) if token else None
        if account_id is None:
            message = "A valid access token of the account is required: Authorization: Bearer …"
            return Refusal(Reason.TOKEN_INVALID, message)
        if isinstance(asked, Refusal):
            return explain(asked, scope)
        answer, records = self._choose(scope, asked, account_id)
        if records and (refusal := await self._intake.append(records)):
            return refusal
        return answer

    def _choose(
        self, scope: Scope, asked: DecideRequest, account_id: str
    ) -> tuple[DecideAnswer, list[bytes]]:
        shelf = self._desk.shelf_of(account_id)
        if shelf is None:
            return DecideAnswer(fresh_id(), [], "", self._desk.why_empty()), []
        countries = self._intake.accounts.phone_countries_of(account_id)
        known = who(asked, account_id, only_country(countries.values()))
        at = self._intake.appender.clock.stamp()
        now_s = at / 1e6
        audiences = self._desk.audiences_of(account_id, known.identifiers)
        agent = asked.user_agent
        if agent is None:
            agent = str((asked.user_data or {}).get("client_user_agent", ""))
        features = features_of(asked, audiences, now_s, shelf.zone, agent)
        question = Asked(asked.n, asked.placement, audiences, features, known.identifier)
        decision: Decision = self._desk.decide(
            shelf, question, known.person, now_s, explain=asked.explain
        )
        return self._writer.write(shelf, asked, known, features, decision, at)

    def _health(self) -> DeciderHealth:
        worker = health(self._settings.run_folder, self._settings.disk_free_bytes_min)
        book = self._desk.book
        ads = sum(len(account.ads) for account in book.accounts)
        return DeciderHealth(worker.status, worker.problem, book.version, book.as_of, ads)

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan: open before the first request, close after the last."""
        await receive()
        try:
            self._intake = Intake(self._settings)
            self._desk = Desk(self._settings)
            self._touches = Touches(self._intake, self._desk.links, self._desk.note_view)
            self._writer = Writer(self._desk.links, self._settings.deciders_url)
            await self._intake.accounts.open()
            self._desk.take(self._desk.prepare(time.time()))
        except Exception as error:
            logger.exception("decider-start-failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._refreshing = asyncio.create_task(self._refresh())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._refreshing.cancel()
        with suppress(asyncio.CancelledError):
            await self._refreshing
        self._intake.close()
        self._desk.close(time.time())
        await send({"type": "lifespan.shutdown.complete"})

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(_LOOKS):
                await asyncio.sleep(_REFRESH_S / _LOOKS)
                if self._desk.is_short:
                    break
            try:
                fresh = await loop.run_in_executor(None, self._desk.prepare, time.time())
                self._desk.take(fresh)
            except Exception:
                # It goes on with what it knows, and looks again.
                logger.exception("refresh-failed")
