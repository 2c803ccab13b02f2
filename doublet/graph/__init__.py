"""The Graph API's readable nodes and edges: pixels, their stats, checks and dataset quality.

Meta's clients read here what they read at Meta: same paths, fields, pages and errors, any version
or none. Every answer needs an account's access token and tells of that account alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, is_proven
from doublet.engine import Engine
from doublet.graph.checks import da_checks
from doublet.graph.fields import Selection, Shape, check, parse_fields, pick
from doublet.graph.pixel import ACCOUNT, PIXEL, Pixels, account_row
from doublet.graph.quality import dataset_quality
from doublet.graph.question import Question, Row
from doublet.graph.refused import (
    Refused,
    invalid,
    no_token,
    nonexisting,
    unknown_object,
    unknown_path,
    wrong_proof,
)
from doublet.graph.stats import stats

Edge = Callable[[Question], dict[str, Any]]


class _Path(PathConvertor):
    """The paths that Graph owns: those with a version, ids, `me` and `dataset_quality`."""

    regex = r"(?:v[0-9]{1,2}[.][0-9]+|(?:act_)?[0-9]{5,20}|me|dataset_quality)(?:/.*)?"


register_url_convertor("graph", _Path())
_version = re.compile(r"v[0-9]{1,2}[.][0-9]+(?:/|$)")


class _Graph:
    def __init__(self, catalog: Catalog, engine: Engine, public_url: str) -> None:
        self._catalog = catalog
        self._engine = engine
        self._public_url = public_url
        self._pixels = Pixels(catalog, engine, public_url)

    async def answer(self, request: Request) -> Response:
        """One request; whatever is wrong with it is said as Graph says it."""
        try:
            found = await run_in_threadpool(self._read, request)
        except Refused as refused:
            return refused.answer
        return Response(msgspec.json.encode(found), media_type="application/json")

    def _read(self, request: Request) -> Row:
        path = _version.sub("", request.path_params["path"], count=1).strip("/")
        node, _, rest = path.partition("/")
        edge, _, beyond = rest.partition("/")
        account = self._account(request)
        if request.method not in ("GET", "HEAD"):
            raise unknown_object(node, request.method)
        if not node or beyond:
            raise unknown_path(beyond)
        parameters = dict(request.query_params)
        question = Question(
            account,
            parameters,
            parse_fields(parameters.get("fields", "")),
            _address(request),
            datetime.now(UTC),
        )
        if node == "dataset_quality" and not edge:
            return self._quality(question)
        if node == "me" or node == account.account_id:
            row = account_row(question)
            return self._node(question, edge, ACCOUNT, {"adspixels": self._pixels.edge}, row)
        pixel = self._pixels.find(account, node)
        if pixel is None:
            raise unknown_object(node)
        edges: dict[str, Edge] = {
            "stats": lambda asked: stats(self._engine, asked, node),
            "da_checks": lambda asked: da_checks(self._engine, asked, node, self._public_url),
        }
        return self._node(question, edge, PIXEL, edges, partial(self._pixels.node, pixel=pixel))

    def _account(self, request: Request) -> Account:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = request.query_params.get("access_token") or (
            bearer.strip() if kind.lower() == "bearer" else ""
        )
        account = self._catalog.account_of_token(token) if token else None
        if account is None:
            raise no_token(token)
        proof = request.query_params.get("appsecret_proof")
        if proof and not is_proven(self._catalog.app_secret(account.account_id), token, proof):
            raise wrong_proof()
        return account

    def _quality(self, question: Question) -> Row:
        pixel_id = question.parameters.get("dataset_id", "")
        if not pixel_id:
            raise invalid("dataset_id", "(#100) The parameter dataset_id is required")
        if self._pixels.find(question.account, pixel_id) is None:
            raise unknown_object(pixel_id)
        return dataset_quality(self._engine, question, pixel_id)

    def _node(
        self,
        question: Question,
        edge: str,
        shape: Shape,
        edges: dict[str, Edge],
        row: Row | Callable[[Question], Row],
    ) -> Row:
        """An edge of a node, or its fields, of which edges may be some."""
        if edge:
            if edge not in edges:
                raise nonexisting(edge, shape.type)
            return edges[edge](question)
        own: Selection = {n: f for n, f in question.fields.items() if n not in edges}
        check(own, shape)
        asked = question._replace(fields=own)
        picked = pick(row(asked) if callable(row) else row, own, shape)
        for name, field in question.fields.items():
            if name in edges:
                picked[name] = edges[name](
                    question._replace(
                        fields=field.fields,
                        parameters=_own(question, field.parameters),
                        address=f"{question.address.rstrip('/')}/{name}",
                    )
                )
        return picked


def _own(question: Question, parameters: dict[str, str]) -> dict[str, str]:
    """The parameters of an edge that is a field; its next page needs the token too."""
    token = question.parameters.get("access_token")
    return {"access_token": token, **parameters} if token else parameters


def _address(request: Request) -> str:
    """This address as the client knows it, whose own words Host is."""
    scheme = request.headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{request.headers.get('host', '')}{request.url.path}"


def routes(catalog: Catalog, engine: Engine, public_url: str) -> list[Route]:
    """For the application that serves the dashboard too; `public_url` is the address under which
    browsers reach this server."""
    graph = _Graph(catalog, engine, public_url)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [Route("/{path:graph}", graph.answer, methods=methods)]
