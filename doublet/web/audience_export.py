"""`/v1/audiences/export`: the hashes of an audience's members, as a file."""

from __future__ import annotations

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
from doublet.web.parameters import account_of, read_choice
from doublet.web.refused import Refused

MEDIA_TYPES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


def audience_export_routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """The address, for owners: hashes are personal data."""

    async def export(request: Request) -> Response:
        visitor = await door.admit(request)
        given = request.query_params
        account = await run_in_threadpool(account_of, given.get("account"), visitor, catalog)
        visitor.demand(account.account_id, Role.OWNER)
        form = read_choice(request, "format", ("csv", "parquet"))
        audience_id = given.get("audience_id") or ""
        audience = await run_in_threadpool(catalog.audiences.find, account.account_id, audience_id)
        if audience is None:
            raise Refused(Refusal(Reason.NOT_FOUND, "The account has no such audience."))
        done = await run_in_threadpool(
            export_audience,
            engine,
            account.account_id,
            audience_id,
            "parquet" if form == "parquet" else "csv",
        )
        await run_in_threadpool(
            record_change,
            catalog,
            visitor,
            account.account_id,
            "audience.exported",
            audience.name,
            rows=done.rows,
        )
        headers = {"content-disposition": f'attachment; filename="{audience_id}.{form}"'}
        return Response(done.body, 200, headers, MEDIA_TYPES[form])

    return [Route("/v1/audiences/export", export)]
