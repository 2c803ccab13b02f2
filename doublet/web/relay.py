"""Destinations of an account: how each is doing, what it did not take, a dry run, a backfill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog, Destination
from doublet.destinations.kinds import KINDS
from doublet.destinations.status import (
    DeadLetter,
    DestinationStatus,
    dead_letters,
    opened,
    status,
)
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.web import page
from doublet.web.access import Access, Visitor
from doublet.web.parameters import Question, read_question
from doublet.web.refused import Refused

_LETTERS_MAX = 50
_BODY_SIZE_BYTES_MAX = 4096
_LIMIT_MAX = 1000


class BackfillWish(msgspec.Struct, forbid_unknown_fields=True):
    """Which events: of which time (Unix seconds, half-open), and how many a second."""

    since: int
    until: int
    rate: float = 500.0


def relay_page(door: Access, catalog: Catalog, outbox_file: Path) -> list[Route]:
    """The page and its twin for programs."""

    async def ask(
        request: Request, visitor: Visitor
    ) -> tuple[Question, list[tuple[DestinationStatus, list[DeadLetter]]]]:
        question = await read_question(request, visitor, catalog)

        def read() -> list[tuple[DestinationStatus, list[DeadLetter]]]:
            with opened(outbox_file) as outbox:
                found = status(outbox, catalog.destinations(question.account.account_id))
                return [
                    (
                        each,
                        dead_letters(outbox, each.destination_id, limit=_LETTERS_MAX)
                        if outbox
                        else [],
                    )
                    for each in found
                ]

        return question, await run_in_threadpool(read)

    async def for_people(request: Request) -> Response:
        visitor = await door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, found = await ask(request, visitor)
        titles = {name: kind.title for name, kind in KINDS.items()}
        return page.answer("relay.html", question=question, found=found, titles=titles)

    async def for_programs(request: Request) -> Response:
        _, found = await ask(request, await door.admit(request))
        body = msgspec.json.encode([each for each, _ in found])
        return Response(body, media_type="application/json")

    return [Route("/relay", for_people), Route("/relay.json", for_programs)]


def relay_routes(
    door: Access,
    catalog: Catalog,
    preview: Callable[[Destination, int, str | None], Any],
    backfill: Callable[[Destination, BackfillWish], Any],
) -> list[Route]:
    """`/v1/destinations/ID/preview` and `…/backfill`."""

    async def show(request: Request) -> Response:
        destination = await _destination(request)
        text = request.query_params.get("limit") or "10"
        if not text.isdecimal() or not 1 <= int(text) <= _LIMIT_MAX:
            message = f"limit must be a number from 1 to {_LIMIT_MAX}."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "limit"))
        event_id = request.query_params.get("event_id") or None
        found = await run_in_threadpool(preview, destination, int(text), event_id)
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def fill(request: Request) -> Response:
        destination = await _destination(request)
        wish = await _wish(request)
        done = await run_in_threadpool(backfill, destination, wish)
        return Response(msgspec.json.encode(done._asdict()), media_type="application/json")

    async def _destination(request: Request) -> Destination:
        visitor = await door.admit(request)
        account_id = visitor.account.account_id if visitor.account else None
        which = request.path_params["destination_id"]
        try:
            return await run_in_threadpool(catalog.destination, which, account_id)
        except OperatorError:
            # Somebody else's is answered like one that nobody has.
            message = "There is no such destination of this account."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "destination_id")) from None

    path = "/v1/destinations/{destination_id}"
    return [
        Route(f"{path}/preview", show),
        Route(f"{path}/backfill", fill, methods=["POST"]),
    ]


async def _wish(request: Request) -> BackfillWish:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_SIZE_BYTES_MAX:
            raise Refused(Refusal(Reason.TOO_LARGE, "The body is larger than any wish."))
    try:
        wish = msgspec.json.decode(body, type=BackfillWish)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        message = "Send a JSON object with since and until in Unix seconds, and rate."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message)) from None
    if not 0 <= wish.since < wish.until < 1 << 40 or not 0.01 <= wish.rate <= 1e6:
        message = "since must be before until, and rate from 0.01 to 1,000,000 events a second."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message))
    return wish
