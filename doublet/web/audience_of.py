"""`/v1/audiences/of`: the audiences that a person is in, answered from the published snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.audiences.snapshot import Snapshot
from doublet.catalog import Catalog, Role
from doublet.person import GivenError, read_identifiers
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.parameters import account_of
from doublet.web.person import read_body
from doublet.web.refused import Refused


class WhoAsked(msgspec.Struct, forbid_unknown_fields=True):
    """The body. `user_data` is that of an event, plain or hashed; with `audiences` only these ids
    are looked for."""

    user_data: dict[str, Any]
    account: str | None = None
    audiences: list[str] | None = None


class AudiencesOf(msgspec.Struct):
    """The answer: ids, in order, of a `version` of the snapshot that is right up to `as_of` (Unix
    seconds)."""

    audiences: list[str]
    version: int
    as_of: float


def audience_of_routes(door: Access, catalog: Catalog, folder: Path) -> list[Route]:
    """The question, for whom the account's token lets in; `folder` holds the snapshot. Who is asked
    about stands in the body: an address is written to logs."""
    snapshot = Snapshot(folder)

    async def ask(request: Request) -> Response:
        visitor = await door.admit(request)
        asked = _decode(await read_body(request))
        account = await run_in_threadpool(account_of, asked.account, visitor, catalog)
        visitor.demand(account.account_id, Role.READ_ONLY)
        try:
            identifiers = read_identifiers(asked.user_data)
        except GivenError as error:
            message = f"{error.message} {error.hint}"
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "user_data")) from None
        if not snapshot.refresh() or snapshot.current is None:
            message = "No audience is made yet. The worker makes them seconds after the first one."
            raise Refused(Refusal(Reason.NOT_FOUND, message))
        found = snapshot.audiences_of(account.account_id, identifiers)
        if asked.audiences is not None:
            found &= set(asked.audiences)
        current = snapshot.current
        answer = AudiencesOf(sorted(found), current.version, current.as_of)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return [Route("/v1/audiences/of", ask, methods=["POST"])]


def _decode(body: bytes) -> WhoAsked:
    try:
        return msgspec.json.decode(body, type=WhoAsked)
    except (msgspec.MsgspecError, UnicodeError):
        # The decoder's own words may hold a value.
        message = 'Send {"user_data": {"fbp": "…"}}, and account and audiences if wanted.'
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message)) from None
