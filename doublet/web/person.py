"""A person's rights over HTTP: what is kept about them, and that it be erased."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doublet.catalog import Catalog, Role
from doublet.person import Erasure, Erasures, Found, GivenError, Wish, read_identifiers
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.forms import record_change
from doublet.web.parameters import account_of
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_BODY_SIZE_BYTES_MAX = 1 << 20


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """The body of both requests. `user_data` is that of an event; the rest is for erasing, but
    for `exact` (follow no other identifiers) and `shared` (take also records by an identifier
    that many people share)."""

    user_data: dict[str, Any]
    account: str | None = None
    exact: bool = False
    shared: bool = False
    dry_run: bool = False


class Persons(Protocol):
    """What the worker offers."""

    erasures: Erasures

    def find_person(self, wish: Wish) -> Found:
        """What an account holds of a person now."""

    def export_person(self, wish: Wish) -> list[dict[str, Any]]:
        """All that an account holds of a person now."""

    def ask_to_erase(self, wish: Wish) -> Erasure:
        """Make the request durable."""


def shown(erasure: Erasure) -> dict[str, Any]:
    """An erasure for who asked for it."""
    done_at = datetime.fromtimestamp(erasure.done_at / 1e6, UTC) if erasure.done_at else None
    return {
        "id": erasure.erasure_id,
        "account": erasure.account_id,
        "state": erasure.state,
        "asked_at": erasure.until.isoformat(),
        "done_at": done_at and done_at.isoformat(),
        "copies": erasure.erased_copies,
        "refused": erasure.erased_refused,
        "touches": erasure.erased_touches,
    }


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    """Rows as JSON lines."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def person_routes(door: Access, catalog: Catalog, persons: Persons) -> list[Route]:
    """Both requests, for whom the account's token or the operator's key lets in."""

    async def read(request: Request) -> tuple[Ask, Wish, Visitor]:
        visitor = await door.admit(request)
        ask = _decode(await read_body(request))
        account = await run_in_threadpool(account_of, ask.account, visitor, catalog)
        visitor.demand(account.account_id, Role.OWNER)
        try:
            identifiers = read_identifiers(ask.user_data)
        except GivenError as error:
            raise _invalid(str(error), "user_data") from None
        return ask, Wish(account.account_id, identifiers, ask.exact, ask.shared), visitor

    async def export(request: Request) -> Response:
        _, wish, visitor = await read(request)
        rows = await run_in_threadpool(persons.export_person, wish)
        # Who it was must not be known after an erasure: the record tells of the act alone.
        await run_in_threadpool(
            record_change, catalog, visitor, wish.account_id, "person.exported", "", rows=len(rows)
        )
        return Response(as_lines(rows), media_type="application/x-ndjson")

    async def erase(request: Request) -> Response:
        ask, wish, visitor = await read(request)
        if ask.dry_run:
            found = await run_in_threadpool(persons.find_person, wish)
            return JSONResponse(found.figures())
        erasure = await run_in_threadpool(persons.ask_to_erase, wish)
        await run_in_threadpool(
            record_change, catalog, visitor, wish.account_id, "person.erased", erasure.erasure_id
        )
        return JSONResponse(shown(erasure), 202)

    async def state(request: Request) -> Response:
        visitor = await door.admit(request)
        wanted = request.query_params.get("id")
        mine = [
            shown(erasure)
            for erasure in await run_in_threadpool(persons.erasures.all)
            if visitor.may_see(erasure.account_id)
            if wanted in (None, erasure.erasure_id)
        ]
        return JSONResponse(mine)

    return [
        Route("/v1/person/export", export, methods=["POST"]),
        Route("/v1/person/erase", erase, methods=["POST"]),
        Route("/v1/person/erasures", state),
    ]


async def read_body(request: Request) -> bytes:
    """The body of a request about a person. Raises Refused when it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_SIZE_BYTES_MAX:
            raise Refused(Refusal(Reason.TOO_LARGE, "The body is larger than any person."))
    return body


def _decode(body: bytes) -> Ask:
    try:
        return msgspec.json.decode(body, type=Ask)
    except (msgspec.MsgspecError, UnicodeError):
        # The decoder's own words may hold a value.
        raise _invalid(
            'Send {"user_data": {"em": "…"}}, and account, exact, shared, dry_run if wanted.', ""
        ) from None


def _invalid(message: str, field: str) -> Refused:
    return Refused(Refusal(Reason.PARAMETER_INVALID, message, field))
