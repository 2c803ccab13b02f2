"""What a request that cannot be answered gets: a page for people, the Graph error for programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from doublet.errors import MemoryLimitError
from doublet.refusal import Reason, Refusal, graph_error
from doublet.web import page
from doublet.web.protection import HEADERS

logger = logging.getLogger(__name__)

_PROGRAM_SUFFIXES = (".json", ".csv", ".svg")
_REASONS = {404: Reason.NOT_FOUND, 405: Reason.METHOD_NOT_ALLOWED, 503: Reason.BUSY}
_SENTENCES = {
    Reason.NOT_FOUND: "There is nothing at this address.",
    Reason.METHOD_NOT_ALLOWED: "This address does not take this method.",
    Reason.BUSY: "This is not ready.",
}


class Refused(Exception):  # noqa: N818 - the name says what happened to the request
    """Ends a request. `context` is what its page shows beside the sentence."""

    def __init__(self, refusal: Refusal, **context: Any) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.context = context


def wants_page(request: Request) -> bool:
    """Whether a person is looking. Pages are for people and their twins for programs, whoever
    asks; at any other address the client says what it reads."""
    path = request.url.path
    if path in page.PATHS or path.endswith(_PROGRAM_SUFFIXES):
        return path in page.PATHS
    return "text/html" in request.headers.get("accept", "")


def as_graph_error(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for programs."""
    return Response(
        graph_error(refusal),
        refusal.reason.row.http_status,
        {"x-doublet-refused": refusal.reason.label, **(headers or {})},
        "application/json",
    )


def _answer(
    request: Request, refusal: Refusal, headers: Mapping[str, str] | None = None, **context: Any
) -> Response:
    if refusal.reason is Reason.TOO_LARGE:
        # What was not read ends the connection; a client that is told does not use it again.
        headers = {**(headers or {}), "connection": "close"}
    if not wants_page(request):
        return as_graph_error(refusal, headers)
    status = refusal.reason.row.http_status
    if refusal.reason is Reason.TOKEN_INVALID:
        return page.answer("sign_in.html", status, message=refusal.message, **context)
    row = refusal.reason.row
    return page.answer(
        "refused.html",
        status,
        headers=headers,
        message=refusal.message,
        hint=row.hint,
        accounts=context.get("accounts"),
    )


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer(request, error.refusal, **error.context)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = _REASONS.get(error.status_code, Reason.MALFORMED_BODY)
    sentence = _SENTENCES.get(reason, "The request cannot be read.")
    return _answer(request, Refusal(reason, sentence), error.headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    """Runs outside of all middleware, hence the headers."""
    logger.error("request-failed path=%r", request.url.path[:100])
    refusal = Refusal(Reason.INTERNAL, "An unknown error occurred.")
    return _answer(request, refusal, HEADERS)


async def _on_memory_limit(request: Request, error: Exception) -> Response:
    assert isinstance(error, MemoryLimitError)
    return _answer(request, Refusal(Reason.BUSY, f"{error.message} {error.hint or ''}".strip()))


HANDLERS: Mapping[Any, Any] = {
    Refused: _on_refused,
    MemoryLimitError: _on_memory_limit,
    HTTPException: _on_http_exception,
    Exception: _on_bug,
}
