"""Reads one node or edge: finds out whose it is, what it is, and which of its fields are asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from doublet.catalog import Account, Catalog, is_proven
from doublet.engine import Engine
from doublet.graph.checks import da_checks
from doublet.graph.fields import Selection, Shape, check, parse_fields, pick
from doublet.graph.pixel import ACCOUNT, PIXEL, Pixels, account_row
from doublet.graph.quality import dataset_quality
from doublet.graph.question import Question, Row
from doublet.graph.refused import (
    invalid,
    no_token,
    nonexisting,
    unknown_object,
    unknown_path,
    wrong_proof,
)
from doublet.graph.stats import stats

Edge = Callable[[Question], dict[str, Any]]

_version = re.compile(r"v[0-9]{1,2}[.][0-9]+(?:/|$)")


class Call(NamedTuple):
    """One call of the Graph API. `host` is this server's address as the client knows it, `path`
    begins with a slash, and `token` is the one that did not come among the parameters."""

    method: str
    host: str
    path: str
    parameters: Mapping[str, str]
    token: str = ""


class Reader:
    """Answers calls; `public_url` is the address under which browsers reach this server."""

    def __init__(self, catalog: Catalog, engine: Engine, public_url: str) -> None:
        self._catalog = catalog
        self._engine = engine
        self._public_url = public_url
        self._pixels = Pixels(catalog, engine, public_url)

    def read(self, call: Call) -> Row:
        """What the call asks for. Raises Refused."""
        path = _version.sub("", call.path.strip("/"), count=1)
        node, _, rest = path.partition("/")
        edge, _, beyond = rest.partition("/")
        account = self.account(call)
        if call.method not in ("GET", "HEAD"):
            raise unknown_object(node, call.method)
        if not node or beyond:
            raise unknown_path(beyond)
        question = Question(
            account,
            call.parameters,
            parse_fields(call.parameters.get("fields", "")),
            call.host + call.path,
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

    def account(self, call: Call) -> Account:
        """Whose token the call bears. Raises Refused."""
        token = call.parameters.get("access_token") or call.token
        account = self._catalog.account_of_token(token) if token else None
        if account is None:
            raise no_token(token)
        proof = call.parameters.get("appsecret_proof")
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
