"""The story of one event for programs."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.explain import Outlook, explain
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.parameters import read_question
from doublet.web.refused import Refused


def routes(door: Access, catalog: Catalog, engine: Engine, outlook: Outlook) -> list[Route]:
    """`/explain.json?event_id=…`: the events that have a copy with this id."""

    async def stories(request: Request) -> Response:
        visitor = await door.admit(request)
        question = await read_question(request, visitor, catalog)
        event_id = request.query_params.get("event_id")
        if not event_id:
            message = "event_id is missing; name the event, as it was sent."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "event_id"))
        told = await run_in_threadpool(
            explain, engine, question.account, event_id, question.pixel_id, outlook
        )
        body = msgspec.json.Encoder(decimal_format="number").encode(told)
        return Response(body, media_type="application/json")

    return [Route("/explain.json", stories)]
