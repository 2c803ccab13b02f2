"""`POST /v1/check`: what would become of a payload, for programs."""

from __future__ import annotations

import time

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.accept import EVENTS_PER_REQUEST_MAX, check_payload
from doublet.catalog import Role
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.refused import Refused

PAYLOAD_SIZE_BYTES_MAX = 8 << 20


class _Check:
    def __init__(self, door: Access) -> None:
        self._door = door

    async def answer(self, request: Request) -> Response:
        """Every finding of the payload in the body. The status says that it was looked at, not
        that it is good: `errors` counts what would have it refused."""
        (await self._door.admit(request)).demand_anywhere(Role.ANALYST)
        payload = bytearray()
        async for chunk in request.stream():
            payload += chunk
            if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
                message = f"A payload has at most {PAYLOAD_SIZE_BYTES_MAX} bytes."
                raise Refused(Refusal(Reason.TOO_LARGE, message))
        checked = await run_in_threadpool(
            check_payload,
            bytes(payload),
            time.time_ns() // 1000,
            events_max=EVENTS_PER_REQUEST_MAX,
        )
        found = msgspec.to_builtins(checked) | {"errors": checked.errors}
        return Response(msgspec.json.encode(found), media_type="application/json")


def routes(door: Access) -> list[Route]:
    """The address."""
    return [Route("/v1/check", _Check(door).answer, methods=["POST"])]
