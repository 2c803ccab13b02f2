"""The Graph API's readable nodes and edges: pixels, their stats, checks and dataset quality.

Meta's clients read here what they read at Meta: same paths, fields, pages and errors, any version
or none, one call at a time or in batches. Every answer needs an account's access token and tells of
that account alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.graph.batch import answer_batch
from doublet.graph.reader import Call, Reader
from doublet.graph.refused import Refused
from doublet.refusal import Reason, Refusal


class _Path(PathConvertor):
    """The paths that Graph owns: those with a version, ids, `me` and `dataset_quality`."""

    regex = r"(?:v[0-9]{1,2}[.][0-9]+|(?:act_)?[0-9]{5,20}|me|dataset_quality)(?:/.*)?"


class _Root(PathConvertor):
    """Where batches are sent to: a version or nothing."""

    regex = r"(?:v[0-9]{1,2}[.][0-9]+/?)?"


_METHODS = ("GET", "POST", "DELETE")
_PART_SIZE_BYTES_MAX = 1 << 30
"""No limit of its own: collectors read a body whole, and refuse one that is too large."""

register_url_convertor("graph", _Path())
register_url_convertor("graph_root", _Root())


def routes(catalog: Catalog, engine: Engine, public_url: str, rates: Path) -> list[Route]:
    """For the application that serves the dashboard too; `public_url` is the address under which
    browsers reach this server, `rates` the folder of exchange rates."""
    reader = Reader(catalog, engine, public_url, rates)

    async def one(request: Request) -> Response:
        return await _answer(request, reader.read)

    async def batch(request: Request) -> Response:
        return await _answer(request, lambda call: answer_batch(reader, call))

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Route("/{path:graph_root}", batch, methods=["POST"]),
        Route("/{path:graph}", one, methods=methods),
    ]


async def _answer(request: Request, read: Callable[[Call], Any]) -> Response:
    """What a call gets; whatever is wrong with it is said as Graph says it."""
    try:
        found = await run_in_threadpool(read, await _call(request))
    except Refused as refused:
        return refused.answer
    return Response(msgspec.json.encode(found), media_type="application/json")


async def _call(request: Request) -> Call:
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    scheme = request.headers.get("x-forwarded-proto", "http")
    parameters = {**await _body(request), **request.query_params}
    method = request.method
    # Long lists do not fit into the address of a DELETE: POST may say what it stands for.
    if method == "POST" and parameters.get("method", "").upper() in _METHODS:
        method = parameters.pop("method").upper()
    return Call(
        method,
        f"{scheme}://{request.headers.get('host', '')}",
        request.url.path,
        parameters,
        bearer.strip() if kind.lower() == "bearer" else "",
    )


async def _body(request: Request) -> dict[str, str]:
    """The parameters in a body: a form's fields, or the texts of a JSON object. Raises Refused."""
    if request.method in ("GET", "HEAD"):
        return {}
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            read = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _unreadable("no JSON object") from None
        return {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in read.items()
        }
    try:
        async with request.form(
            max_files=0, max_fields=100, max_part_size=_PART_SIZE_BYTES_MAX
        ) as form:
            return {name: value for name, value in form.items() if isinstance(value, str)}
    except HTTPException as error:
        # The library's words: too many fields, a part that is too large, no boundary.
        raise _unreadable(error.detail) from None


def _unreadable(why: str) -> Refused:
    return Refused(Refusal(Reason.PARAMETER_INVALID, f"(#100) The body cannot be read: {why}"))
