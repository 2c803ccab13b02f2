"""Reads one node or edge: finds out whose it is, what it is, and which of its fields are asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from doublet.catalog import Account, Ad, AdSet, Audience, Catalog, Creative, ReportRun, is_proven
from doublet.engine import Engine
from doublet.graph.ad_writes import AdWrites
from doublet.graph.ads import EDGES, SHAPES, Ads, Found, level_of, shape_of
from doublet.graph.audience_rows import AUDIENCE
from doublet.graph.audience_users import AudienceUsers
from doublet.graph.checks import da_checks
from doublet.graph.custom_audiences import CustomAudiences
from doublet.graph.custom_conversions import CUSTOM_CONVERSION, CustomConversions
from doublet.graph.fields import Selection, Shape, check, parse_fields, pick
from doublet.graph.insights import Insights, Target
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
from doublet.graph.runs import RUN, Runs
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
    """Answers calls; `public_url` is the address under which browsers reach this server, `rates`
    the folder of exchange rates."""

    def __init__(self, catalog: Catalog, engine: Engine, public_url: str, rates: Path) -> None:
        self._catalog = catalog
        self._engine = engine
        self._public_url = public_url
        self._pixels = Pixels(catalog, engine, public_url)
        self._ads = Ads(catalog, engine)
        self._ad_writes = AdWrites(catalog)
        self._insights = Insights(catalog, engine, rates)
        self._runs = Runs(catalog, self._insights)
        self._customs = CustomConversions(catalog, engine)
        self._audiences = CustomAudiences(catalog)
        self._audience_users = AudienceUsers(catalog)

    def read(self, call: Call) -> Row:
        """What the call asks for. Raises Refused."""
        path = _version.sub("", call.path.strip("/"), count=1)
        node, _, rest = path.partition("/")
        edge, _, beyond = rest.partition("/")
        account, token_name = self._holder(call)
        if not node or beyond:
            raise unknown_path(beyond)
        question = Question(
            account,
            call.parameters,
            parse_fields(call.parameters.get("fields", "")),
            call.host + call.path,
            datetime.now(UTC),
            f"access token {token_name}",
        )
        if call.method not in ("GET", "HEAD"):
            return self._write(question, call.method, node, edge)
        if node == "dataset_quality" and not edge:
            return self._quality(question)
        if node == "me" or node == account.account_id:
            row = account_row(question)
            return self._node(question, edge, ACCOUNT, self._account_edges(), row)
        return self._object(question, node, edge)

    def _account_edges(self) -> dict[str, Edge]:
        return {
            "adcreatives": self._ads.creatives,
            "adspixels": self._pixels.edge,
            "customaudiences": self._audiences.edge,
            "customconversions": self._customs.edge,
            "insights": lambda asked: self._insights.page(asked, Target()),
            **{name: self._listing(level) for name, level in EDGES.items()},
        }

    def _listing(self, level: str, parent_id: str | None = None) -> Edge:
        return lambda asked: self._ads.edge(asked, level, parent_id)

    def _object(self, question: Question, node: str, edge: str) -> Row:
        """A node that has a number of its own: a pixel, an audience, a report, an ad."""
        if (pixel := self._pixels.find(question.account, node)) is not None:
            edges: dict[str, Edge] = {
                "stats": lambda asked: stats(self._engine, asked, node),
                "da_checks": lambda asked: da_checks(self._engine, asked, node, self._public_url),
            }
            return self._node(question, edge, PIXEL, edges, partial(self._pixels.node, pixel=pixel))
        if (custom := self._customs.find(question, node)) is not None:
            custom_row = partial(self._customs.node, each=custom)
            return self._node(question, edge, CUSTOM_CONVERSION, {}, custom_row)
        if (audience := self._audiences.find(question, node)) is not None:
            audience_row = partial(self._audiences.node, audience=audience)
            return self._node(question, edge, AUDIENCE, {}, audience_row)
        if (run := self._runs.find(question, node)) is not None:
            run = self._runs.resume(question, run, partial(self._asked_by, question))
            edges = {"insights": lambda asked: self._runs.page(asked, run)}
            return self._node(question, edge, RUN, edges, self._runs.node(run))
        if (found := self._ads.find(question, node)) is not None:
            edges = self._edges_of(found, node)
            ad_row = partial(self._ads.node, each=found)
            return self._node(question, edge, shape_of(found), edges, ad_row)
        raise unknown_object(node)

    def _edges_of(self, found: Found, node: str) -> dict[str, Edge]:
        """The edges of a campaign, ad set, ad or creative."""
        if isinstance(found, Creative):
            return {}
        target = Target(level_of(found), node)
        edges: dict[str, Edge] = {"insights": lambda asked: self._insights.page(asked, target)}
        finer = list(SHAPES)[list(SHAPES).index(target.level) + 1 :]
        for name, level in EDGES.items():
            if level in finer:
                edges[name] = self._listing(level, node)
        if isinstance(found, AdSet | Ad):
            edges["adcreatives"] = lambda asked: self._ads.creatives(asked, found)
        return edges

    def _write(self, question: Question, method: str, node: str, edge: str) -> Row:
        """What a call makes, changes or deletes. Raises Refused."""
        is_account = node in ("me", question.account.account_id)
        if method == "POST" and edge == "customconversions" and is_account:
            return self._customs.create(question)
        if method == "POST" and edge == "insights":
            return self._runs.start(question, node, self._target(question, node))
        if is_account and (method, edge) == ("POST", "customaudiences"):
            return self._audiences.create(question)
        if is_account and method == "POST" and edge in self._ad_writes.makers:
            return self._ad_writes.makers[edge](question)
        if is_account and (method, edge) == ("DELETE", "usersofanyaudience"):
            return self._audience_users.remove_everywhere(question)
        if (audience := self._audiences.find(question, node)) is not None:
            return self._write_audience(question, method, audience, edge)
        custom = None if edge else self._customs.find(question, node)
        if method == "POST" and custom is not None:
            return self._customs.update(question, custom)
        if method == "DELETE" and custom is not None:
            return self._customs.delete(question, custom)
        if not edge and (own := self._ads.own(question, node)) is not None:
            if method == "POST":
                return self._ad_writes.update(question, own)
            if method == "DELETE":
                return self._ad_writes.delete(question, own)
        raise unknown_object(node, method)

    def _write_audience(
        self, question: Question, method: str, audience: Audience, edge: str
    ) -> Row:
        """What a call changes of an audience, or of the people in it. Raises Refused."""
        match method, edge:
            case "POST", "":
                return self._audiences.update(question, audience)
            case "DELETE", "":
                return self._audiences.delete(question, audience)
            case "POST", "users":
                return self._audience_users.change(question, audience, "add")
            case "DELETE", "users":
                return self._audience_users.change(question, audience, "remove")
            case "POST", "usersreplace":
                return self._audience_users.change(question, audience, "replace")
        raise unknown_object(audience.audience_id, method)

    def _target(self, question: Question, node: str) -> Target:
        """Whose insights a report is of. Raises Refused."""
        if node in ("me", question.account.account_id):
            return Target()
        found = self._ads.find(question, node)
        if found is None or isinstance(found, Creative):
            raise unknown_object(node, "POST")
        return Target(level_of(found), node)

    def _asked_by(self, question: Question, run: ReportRun) -> tuple[Question, Target]:
        """What a report was asked for."""
        fields = parse_fields(run.parameters.get("fields", ""))
        asked = question._replace(parameters=run.parameters, fields=fields)
        return asked, self._target(asked, run.node)

    def account(self, call: Call) -> Account:
        """Whose token the call bears. Raises Refused."""
        return self._holder(call)[0]

    def _holder(self, call: Call) -> tuple[Account, str]:
        token = call.parameters.get("access_token") or call.token
        holder = self._catalog.tokens.holder(token) if token else None
        if holder is None:
            raise no_token(token)
        account = holder[0]
        proof = call.parameters.get("appsecret_proof")
        if proof and not is_proven(self._catalog.app_secret(account.account_id), token, proof):
            raise wrong_proof()
        return holder

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
