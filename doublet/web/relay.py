"""Destinations of an account: how each is doing, and what it did not take."""

from __future__ import annotations

from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.destinations.kinds import KINDS
from doublet.destinations.status import (
    DeadLetter,
    DestinationStatus,
    dead_letters,
    opened,
    status,
)
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_question
from doublet.web.visitor import Visitor

_LETTERS_MAX = 50


def routes(door: Access, catalog: Catalog, outbox_file: Path) -> list[Route]:
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
