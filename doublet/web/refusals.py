"""Refused requests: the page of causes, its twins, single requests, and their replay."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, Role
from doublet.errors import BusyError
from doublet.refusal import Reason, Refusal
from doublet.refused import Cause, Refusals, RefusedRequest
from doublet.refused.replay import Replay, Wish, what_is_wrong
from doublet.reports import as_csv, as_json
from doublet.web import page
from doublet.web.access import Access
from doublet.web.forms import record_change
from doublet.web.parameters import Question, account_of, own_pixel_id, read_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_REQUESTS_MAX = 100
_BODY_SIZE_BYTES_MAX = 1 << 20


def refusal_routes(door: Access, catalog: Catalog, refusals: Callable[[], Refusals]) -> list[Route]:
    """The page of causes, its twins, and `/v1/refused`. `refusals` are those loaded now."""

    async def ask(request: Request, visitor: Visitor) -> tuple[Question, list[Cause]]:
        question = await read_question(request, visitor, catalog)
        reason = _reason(request)
        return question, await run_in_threadpool(
            lambda: refusals().causes(
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
            found = refusals().requests(
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


def replay_routes(
    door: Access, catalog: Catalog, replay_wish: Callable[[Account, list[str], Wish], Replay]
) -> list[Route]:
    """`/v1/refused/replay`. What `replay_wish` has done of a wish is durable."""

    async def replay(request: Request) -> Response:
        visitor = await door.admit(request)
        wish = _wish(await _body(request))
        account = await run_in_threadpool(account_of, wish.account, visitor, catalog)
        visitor.demand(account.account_id, Role.ANALYST)
        pixels = await run_in_threadpool(catalog.pixels, account.account_id)
        own_pixel_id(wish.pixel, pixels)
        ids = [pixel.pixel_id for pixel in pixels]
        try:
            outcome = await run_in_threadpool(replay_wish, account, ids, wish)
        except BusyError as error:
            raise Refused(Refusal(Reason.BUSY, error.message)) from None
        await run_in_threadpool(
            record_change,
            catalog,
            visitor,
            account.account_id,
            "refused.replayed",
            wish.pixel or "",
            replayed=outcome.replayed,
        )
        return Response(msgspec.json.encode(outcome), media_type="application/json")

    return [Route("/v1/refused/replay", replay, methods=["POST"])]


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_SIZE_BYTES_MAX:
            raise Refused(Refusal(Reason.TOO_LARGE, "The body is larger than any wish."))
    return body


def _wish(body: bytes) -> Wish:
    try:
        wish = msgspec.json.decode(body, type=Wish)
        wrong = what_is_wrong(wish)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # The decoder's own words may hold a value.
        wrong = f"Send a JSON object with some of {', '.join(Wish.__struct_fields__)}."
    if wrong:
        raise Refused(Refusal(Reason.PARAMETER_INVALID, wrong))
    return wish


def _reason(request: Request) -> str | None:
    reason = request.query_params.get("reason") or None
    if reason is not None and reason.upper() not in Reason.__members__:
        message = f"reason must be one of {', '.join(sorted(r.label for r in Reason))}."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "reason"))
    return reason
