"""The relay's outbox beside the worker: who fills it, who takes persons out of it, and backfills,
asked of the running worker or done here."""

from __future__ import annotations

from contextlib import closing

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.ask import ROUND_TIMEOUT_S, ask_worker
from doublet.ask_refused import own_freshener
from doublet.catalog import Catalog, Destination, Role
from doublet.catalog.changes import COMMAND_LINE
from doublet.destinations.status import opened
from doublet.refusal import Reason, Refusal
from doublet.relay.fill import Backfill, Backfilled, Filler
from doublet.relay.preview import EVENTS_MAX, Preview, preview
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.web.access import Access
from doublet.web.forms import record_change
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_BODY_SIZE_BYTES_MAX = 4096


def filler_of(settings: Settings, catalog: Catalog, freshener: Freshener) -> Filler:
    """Who fills the outbox from a data folder's tables, and is told of erasures."""
    filler = Filler(freshener.engine, catalog, settings.outbox_file, settings)
    freshener.when_erasing(filler.forget)
    return filler


def backfill(settings: Settings, destination: Destination, wish: Backfill) -> Backfilled:
    """Have a destination be sent the events of a time by whoever has the database; it returns when
    they are in the outbox. How far the sending is, `Outbox.count` tells. Raises OperatorError."""
    path = f"/v1/destinations/{destination.destination_id}/backfill"
    body = msgspec.json.encode(wish)
    answer = ask_worker(settings, "POST", path, timeout_s=ROUND_TIMEOUT_S, body=body)
    if answer is not None:
        return msgspec.json.decode(answer, type=Backfilled)
    with own_freshener(settings) as freshener, closing(Catalog(settings.catalog_url)) as catalog:
        filler = filler_of(settings, catalog, freshener)
        with closing(filler):
            done = filler.backfill(destination, wish.since, wish.until, wish.rate)
        catalog.changes.record(
            COMMAND_LINE,
            "destination.backfilled",
            destination.name,
            {"since": wish.since, "until": wish.until},
            account_id=destination.account_id,
        )
        return done


def read_preview(
    settings: Settings, destination: Destination, limit: int, event_id: str | None
) -> Preview:
    """What a destination would be sent, by whoever has the database; see `preview`."""
    given = {"limit": str(limit), **({"event_id": event_id} if event_id else {})}
    path = f"/v1/destinations/{destination.destination_id}/preview"
    answer = ask_worker(settings, "GET", path, given)
    if answer is not None:
        return msgspec.json.decode(answer, type=Preview)
    with own_freshener(settings) as freshener:
        return _preview(settings, freshener, destination, limit, event_id)


def _preview(
    settings: Settings,
    freshener: Freshener,
    destination: Destination,
    limit: int,
    event_id: str | None,
) -> Preview:
    freshener.freshen()
    with opened(settings.outbox_file) as outbox:
        return preview(freshener.engine, outbox, destination, limit=limit, event_id=event_id)


def backfill_routes(door: Access, catalog: Catalog, filler: Filler) -> list[Route]:
    """`POST /v1/destinations/ID/backfill`, for whom the account's token or the operator's key lets
    in; a destination of another account is answered like one that nobody has."""

    async def post(request: Request) -> Response:
        visitor = await door.admit(request)
        destination = await _destination(visitor, catalog, request)
        visitor.demand(destination.account_id, Role.OWNER)
        wish = _decode(await _body(request))
        done = await run_in_threadpool(
            filler.backfill, destination, wish.since, wish.until, wish.rate
        )
        await run_in_threadpool(
            record_change,
            catalog,
            visitor,
            destination.account_id,
            "destination.backfilled",
            destination.name,
            since=wish.since,
            until=wish.until,
        )
        return Response(msgspec.json.encode(done), media_type="application/json")

    return [Route("/v1/destinations/{destination_id}/backfill", post, methods=["POST"])]


def preview_routes(
    door: Access, catalog: Catalog, settings: Settings, freshener: Freshener
) -> list[Route]:
    """`/v1/destinations/ID/preview`, for the same."""

    async def show(request: Request) -> Response:
        visitor = await door.admit(request)
        destination = await _destination(visitor, catalog, request)
        # Requests hold what an event page does not tell: hashes, addresses of visitors.
        visitor.demand(destination.account_id, Role.ANALYST)
        text = request.query_params.get("limit") or "10"
        if not text.isdecimal() or not 1 <= int(text[:9]) <= EVENTS_MAX:
            message = f"limit must be a number from 1 to {EVENTS_MAX}."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "limit"))
        event_id = request.query_params.get("event_id") or None
        found = await run_in_threadpool(
            _preview, settings, freshener, destination, int(text), event_id
        )
        return Response(msgspec.json.encode(found), media_type="application/json")

    return [Route("/v1/destinations/{destination_id}/preview", show)]


async def _destination(visitor: Visitor, catalog: Catalog, request: Request) -> Destination:
    which = request.path_params["destination_id"]
    found = [
        destination
        for destination in await run_in_threadpool(catalog.destinations)
        if which in (destination.destination_id, destination.name)
        and visitor.may_see(destination.account_id)
    ]
    if len(found) != 1:
        raise Refused(Refusal(Reason.NOT_FOUND, "There is no such destination."))
    return found[0]


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_SIZE_BYTES_MAX:
            raise Refused(Refusal(Reason.TOO_LARGE, "The body is larger than any wish."))
    return body


def _decode(body: bytes) -> Backfill:
    try:
        return msgspec.json.decode(body, type=Backfill)
    except (msgspec.MsgspecError, UnicodeError) as error:
        message = 'Send {"since": …, "until": …} in Unix seconds, and rate, events per second.'
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "")) from error
