"""Refused requests: the page of causes, its twins, and single requests for programs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.refusal import Reason, Refusal
from doublet.refused import Cause, Refusals, RefusedRequest
from doublet.reports import as_csv, as_json
from doublet.web import page
from doublet.web.access import Access, Visitor
from doublet.web.parameters import Question, read_question
from doublet.web.refused import Refused

_REQUESTS_MAX = 100


class Offers(Protocol):
    """What the worker offers."""

    def refusals(self) -> Refusals:
        """The refused requests as of now."""


def refusal_routes(door: Access, catalog: Catalog, worker: Offers) -> list[Route]:
    """The page of causes, its twins, and `/v1/refused`."""

    async def ask(request: Request, visitor: Visitor) -> tuple[Question, list[Cause]]:
        question = await read_question(request, visitor, catalog)
        reason = _reason(request)
        return question, await run_in_threadpool(
            lambda: worker.refusals().causes(
                question.account,
                [pixel.pixel_id for pixel in question.pixels],
                pixel_id=question.pixel_id,
                reason=reason,
                since=question.since,
                until=question.until,
            )
        )

    async def for_people(request: Request) -> Response:
        visitor = await door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, causes = await ask(request, visitor)
        return page.answer("refusals.html", question=question, causes=causes)

    async def for_programs(request: Request) -> Response:
        _, causes = await ask(request, await door.admit(request))
        return Response(as_json(causes), media_type="application/json")

    async def for_spreadsheets(request: Request) -> Response:
        _, causes = await ask(request, await door.admit(request))
        headers = {"content-disposition": 'attachment; filename="refused.csv"'}
        return Response(as_csv(causes, Cause), 200, headers, "text/csv")

    async def requests(request: Request) -> Response:
        question = await read_question(request, await door.admit(request), catalog)
        ids, reason = request.query_params.getlist("id") or None, _reason(request)

        def read() -> list[RefusedRequest]:
            found = worker.refusals().requests(
                question.account,
                [pixel.pixel_id for pixel in question.pixels],
                ids=ids,
                pixel_id=question.pixel_id,
                reason=reason,
                since=question.since,
                until=question.until,
            )
            return list(islice(found, _REQUESTS_MAX))

        rows = await run_in_threadpool(read)
        return Response(msgspec.json.encode(rows), media_type="application/json")

    endpoints: list[tuple[str, Callable[..., object]]] = [
        ("/refused", for_people),
        ("/refused.json", for_programs),
        ("/refused.csv", for_spreadsheets),
        ("/v1/refused", requests),
    ]
    return [Route(path, endpoint) for path, endpoint in endpoints]


def _reason(request: Request) -> str | None:
    reason = request.query_params.get("reason") or None
    if reason is not None and reason.upper() not in Reason.__members__:
        message = f"reason must be one of {', '.join(sorted(r.label for r in Reason))}."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "reason"))
    return reason
