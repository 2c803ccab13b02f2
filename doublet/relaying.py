"""The relay's outbox beside the worker: who fills it, who takes persons out of it, and backfills,
asked of the running worker or done here."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.ask import ROUND_TIMEOUT_S, ask_worker
from doublet.catalog import Catalog, Destination
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.relay.fill import Backfill, Backfilled, Filler
from doublet.rounds import Freshener
from doublet.settings import Settings
from doublet.web.access import Access
from doublet.web.refused import Refused

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
    freshener = Freshener(settings, keeps_rules=True)
    catalog = Catalog(settings.catalog_url)
    filler = filler_of(settings, catalog, freshener)
    try:
        freshener.freshen()
        return filler.backfill(destination, wish.since, wish.until, wish.rate)
    finally:
        filler.close()
        catalog.close()
        freshener.close()


def backfill_routes(door: Access, catalog: Catalog, filler: Filler) -> list[Route]:
    """`POST /v1/destinations/ID/backfill`, for whom the account's token or the operator's key lets
    in; a destination of another account is answered like one that nobody has."""

    async def post(request: Request) -> Response:
        visitor = await door.admit(request)
        account_id = visitor.account.account_id if visitor.account else None
        which = request.path_params["destination_id"]
        try:
            destination = await run_in_threadpool(catalog.destination, which, account_id)
        except OperatorError:
            raise Refused(Refusal(Reason.NOT_FOUND, "There is no such destination.")) from None
        wish = _decode(await _body(request))
        done = await run_in_threadpool(
            filler.backfill, destination, wish.since, wish.until, wish.rate
        )
        return Response(msgspec.json.encode(done), media_type="application/json")

    return [Route("/v1/destinations/{destination_id}/backfill", post, methods=["POST"])]


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
