"""`/v1/audiences/export`: the hashes of an audience's members, as a file."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.audiences.export import export_audience
from doublet.catalog import Catalog, Role
from doublet.engine import Engine
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.forms import record_change
from doublet.web.parameters import account_of
from doublet.web.person import read_body
from doublet.web.refused import Refused

MEDIA_TYPES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


class ExportAsked(msgspec.Struct, forbid_unknown_fields=True):
    """The body: the audience's id, and what the file is."""

    audience_id: str
    format: Literal["csv", "parquet"] = "csv"
    account: str | None = None


def audience_export_routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """The address, for owners: hashes are personal data."""

    async def export(request: Request) -> Response:
        visitor = await door.admit(request)
        asked = _decode(await read_body(request))
        account = await run_in_threadpool(account_of, asked.account, visitor, catalog)
        visitor.demand(account.account_id, Role.OWNER)
        found = await run_in_threadpool(
            catalog.audiences.find, account.account_id, asked.audience_id
        )
        if found is None:
            raise Refused(Refusal(Reason.NOT_FOUND, "The account has no such audience."))
        done = await run_in_threadpool(
            export_audience, engine, account.account_id, found.audience_id, asked.format
        )
        await run_in_threadpool(
            record_change,
            catalog,
            visitor,
            account.account_id,
            "audience.exported",
            found.name,
            rows=done.rows,
        )
        name = f"{found.audience_id}.{asked.format}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(done.body, 200, headers, MEDIA_TYPES[asked.format])

    return [Route("/v1/audiences/export", export, methods=["POST"])]


def _decode(body: bytes) -> ExportAsked:
    try:
        return msgspec.json.decode(body, type=ExportAsked)
    except (msgspec.MsgspecError, UnicodeError):
        message = "Send JSON with audience_id, and if wanted format (csv, parquet) and account."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "audience_id")) from None
