"""`POST /v1/check`: what would become of a payload, for programs; nothing of it is stored."""

from __future__ import annotations

import time

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.accept import check_payload
from doublet.web.access import Access


def routes(door: Access) -> list[Route]:
    """The check, for whom any account's token or the operator's key lets in."""

    async def check(request: Request) -> Response:
        await door.admit(request)
        # How large a body may be is what the collector in front of this sees to.
        payload = await request.body()
        country = request.query_params.get("phone_country", "").upper()
        checked = await run_in_threadpool(check_payload, payload, time.time_ns() // 1000, country)
        told = {**msgspec.structs.asdict(checked), "errors": checked.errors}
        return Response(msgspec.json.encode(told), media_type="application/json")

    return [Route("/v1/check", check, methods=["POST"])]
