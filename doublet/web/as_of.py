"""`/v1/as_of`: a stream that says whenever the tables have become newer, so that pages renew
themselves when there is something new and not by the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.parameters import read_question
from doublet.web.refused import Refused

LISTENERS_MAX = 64
_LOOK_S = 0.25
_SILENT_S_MAX = 10.0
_LISTENING_S_MAX = 3600.0
_RETRY_MS = 1000


class _AsOf:
    def __init__(
        self,
        door: Access,
        catalog: Catalog,
        newest: Callable[[], Any],
        is_closing: Callable[[], bool],
    ) -> None:
        self._door = door
        self._catalog = catalog
        self._newest = newest
        self._is_closing = is_closing
        self._listeners = 0

    async def stream(self, request: Request) -> Response:
        """Server-sent events `as_of`, each with the moment (Unix seconds) of what is new, the first
        at once, and `alive` while nothing is. After an hour a listener has to come again."""
        await read_question(request, await self._door.admit(request), self._catalog)
        if self._listeners >= LISTENERS_MAX:
            message = f"{LISTENERS_MAX} pages renew themselves already; close some of them."
            raise Refused(Refusal(Reason.BUSY, message))
        # Proxies such as nginx would hold small events back.
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(self._frames(), 200, headers, "text/event-stream")

    async def _frames(self) -> AsyncIterator[bytes]:
        """As the lines of server-sent events (WHATWG, HTML, section 9.2)."""
        self._listeners += 1
        try:
            ends_at = time.monotonic() + _LISTENING_S_MAX
            yield b"retry: %d\n\n" % _RETRY_MS
            known, told_at = None, 0.0
            while not self._is_closing() and time.monotonic() < ends_at:
                newest = self._newest()
                if newest != known:
                    known, told_at = newest, time.monotonic()
                    yield b"event: as_of\ndata: %d\n\n" % int(time.time())
                elif time.monotonic() - told_at > _SILENT_S_MAX:
                    told_at = time.monotonic()
                    yield b"event: alive\ndata:\n\n"
                await asyncio.sleep(_LOOK_S)
        finally:
            self._listeners -= 1


def as_of_routes(
    door: Access, catalog: Catalog, newest: Callable[[], Any], is_closing: Callable[[], bool]
) -> list[Route]:
    """The stream. `newest` changes with the tables, `is_closing` says that the worker stops."""
    return [Route("/v1/as_of", _AsOf(door, catalog, newest, is_closing).stream)]
