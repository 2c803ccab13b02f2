"""Audiences on pages: who is in them, what became of them, and making new ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.audiences.presets import PRESETS
from doublet.audiences.report import Lately, Overlap, Reach, lately, overlap, reach
from doublet.catalog import Audience, Catalog, Role
from doublet.engine import Engine
from doublet.errors import DoubletError
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access
from doublet.web.audience_acts import ACTS, Act
from doublet.web.audience_pictures import line_of
from doublet.web.kept import Kept
from doublet.web.parameters import Question, read_account_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

SUBTYPES = {"WEBSITE": "Rule", "CUSTOM": "Customer list", "LOOKALIKE": "Lookalike"}
"""What makes people of an audience, in the words of pages."""

_HISTORY_S = 90 * 86_400
_FORM_SIZE_BYTES_MAX = 640 << 10
"""Of a rule as a browser sends it, in which JSON is up to three times as long."""


class AudienceRow(msgspec.Struct, frozen=True):
    """An audience with its members now; `joined` and `departed` are of the last 24 hours. `state`
    is empty until the worker has looked at it, then ready or failed, with a `message`."""

    audience_id: str
    name: str
    subtype: str
    preset: str
    description: str
    members: int
    joined: int
    departed: int
    state: str
    message: str
    created_at: datetime


class Size(msgspec.Struct, frozen=True):
    """How many members there were at a moment."""

    at: datetime
    members: int


class Shared(msgspec.Struct, frozen=True):
    """Another audience and how many of its members are in this one too."""

    audience_id: str
    name: str
    members: int
    shared: int


class AudienceStory(msgspec.Struct, frozen=True):
    """All that is told of one audience. `said` is what the worker noted: of a lookalike the
    figures it was chosen by, of a list its matches."""

    audience: AudienceRow
    rule: Any
    retention_days: int
    lookalike_spec: Any
    origin_audience_id: str
    sizes: list[Size]
    reach: list[Reach]
    overlap: list[Shared]
    said: dict[str, Any]


class _Counted(NamedTuple):
    reach: list[Reach]
    overlap: list[Overlap]


class _Audiences:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._kept = Kept(lambda: engine.changes)

    async def page(self, request: Request) -> Response:
        """All of an account, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await self._question(request, visitor)
        return await run_in_threadpool(self._page, question)

    def _page(self, question: Question, status: int = 200, problem: str = "") -> Response:
        return page.answer(
            "audiences.html",
            status,
            question=question,
            rows=self._rows(question.account.account_id),
            subtypes=SUBTYPES,
            problem=problem,
            presets=PRESETS,
            example=_example(self._catalog, question.account.account_id),
        )

    async def json(self, request: Request) -> Response:
        """The same for programs."""
        question = await self._question(request, await self._door.admit(request))
        rows = await run_in_threadpool(self._rows, question.account.account_id)
        return Response(msgspec.json.encode(rows), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        question = await self._question(request, await self._door.admit(request))
        rows = await run_in_threadpool(self._rows, question.account.account_id)
        headers = {"content-disposition": 'attachment; filename="audiences.csv"'}
        return Response(as_csv(rows, AudienceRow), 200, headers, "text/csv")

    async def one(self, request: Request) -> Response:
        """One audience, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await self._question(request, visitor)
        audience_id = request.query_params.get("id", "")
        return await run_in_threadpool(self._one, question, audience_id)

    def _one(
        self, question: Question, audience_id: str, status: int = 200, problem: str = ""
    ) -> Response:
        account_id = question.account.account_id
        key, find = self._counting(account_id, audience_id)
        counted, counted_at = self._kept.ask_as_of(key, find)
        story = self._story(account_id, audience_id, counted)
        return page.answer(
            "audience.html",
            status,
            question=question,
            story=story,
            counted_at=counted_at,
            row=story.audience,
            subtypes=SUBTYPES,
            line=line_of([(each.at.timestamp(), each.members) for each in story.sizes]),
            rule_text=json.dumps(story.rule, indent=2, ensure_ascii=False) if story.rule else "",
            problem=problem,
        )

    async def one_json(self, request: Request) -> Response:
        """The same for programs."""
        question = await self._question(request, await self._door.admit(request))
        audience_id = request.query_params.get("id", "")
        story = await run_in_threadpool(
            self._story_of_now, question.account.account_id, audience_id
        )
        return Response(msgspec.json.encode(story), media_type="application/json")

    async def one_csv(self, request: Request) -> Response:
        """Its sizes over time, for spreadsheets."""
        question = await self._question(request, await self._door.admit(request))
        audience_id = request.query_params.get("id", "")
        story = await run_in_threadpool(
            self._story_of_now, question.account.account_id, audience_id
        )
        headers = {"content-disposition": 'attachment; filename="audience.csv"'}
        return Response(as_csv(story.sizes, Size), 200, headers, "text/csv")

    def doing(self, act: Act) -> Any:
        """The endpoint of a form, which leads to the audience that it made or changed."""

        async def endpoint(request: Request) -> Response:
            asked = await self._door.admit_to_change(
                request, Role.ANALYST, size_bytes_max=_FORM_SIZE_BYTES_MAX
            )
            try:
                made = await run_in_threadpool(act, self._catalog, asked)
            except DoubletError as error:
                account = asked.account
                named = asked.visitor.names_account
                question = Question(account, [], None, None, None, named, visitor=asked.visitor)
                return await run_in_threadpool(self._page, question, 400, str(error))
            query = f"account={asked.account.account_id}"
            target = f"/audience?{query}&id={made}" if made else f"/audiences?{query}"
            return RedirectResponse(target, 303)

        return endpoint

    async def _question(self, request: Request, visitor: Visitor) -> Question:
        message = "Audiences are of the account, not of a pixel; leave pixel out."
        return await read_account_question(request, visitor, self._catalog, message)

    def _rows(self, account_id: str) -> list[AudienceRow]:
        """Newest first."""
        now = lately(self._engine, account_id, int(time.time()))
        found = self._catalog.audiences.all(account_id)
        return [self._row(each, now.get(each.audience_id, Lately())) for each in reversed(found)]

    def _row(self, each: Audience, now: Lately) -> AudienceRow:
        said = self._catalog.audiences.state(each.audience_id)
        return AudienceRow(
            each.audience_id,
            each.name,
            each.subtype,
            each.preset,
            each.description,
            now.members,
            now.joined,
            now.departed,
            said.get("state", ""),
            said.get("message", ""),
            _at(each.created_at),
        )

    def _find(self, account_id: str, audience_id: str) -> Audience:
        found = self._catalog.audiences.find(account_id, audience_id)
        if found is None:
            raise Refused(Refusal(Reason.NOT_FOUND, "There is no such audience.", "id"))
        return found

    def _counting(
        self, account_id: str, audience_id: str
    ) -> tuple[tuple[str, ...], Callable[[], _Counted]]:
        """What takes long in a large audience, as a question that is kept."""
        self._find(account_id, audience_id)

        def find() -> _Counted:
            return _Counted(
                reach(self._engine, audience_id), overlap(self._engine, account_id, audience_id)
            )

        return (account_id, audience_id), find

    def _story_of_now(self, account_id: str, audience_id: str) -> AudienceStory:
        counted = self._kept.ask(*self._counting(account_id, audience_id))
        return self._story(account_id, audience_id, counted)

    def _story(self, account_id: str, audience_id: str, counted: _Counted) -> AudienceStory:
        each = self._find(account_id, audience_id)
        names = {other.audience_id: other.name for other in self._catalog.audiences.all(account_id)}
        now = lately(self._engine, account_id, int(time.time()))
        since = int(time.time()) - _HISTORY_S
        sizes = self._catalog.audiences.sizes(audience_id, since)
        return AudienceStory(
            self._row(each, now.get(audience_id, Lately())),
            _read(each.rule),
            each.retention_days,
            _read(each.lookalike_spec),
            each.origin_audience_id,
            [Size(_at(at), members) for at, members in sizes],
            counted.reach,
            _named(counted.overlap, names),
            self._catalog.audiences.state(audience_id),
        )


def _example(catalog: Catalog, account_id: str) -> str:
    """A rule to begin with."""
    pixels = [pixel.pixel_id for pixel in catalog.pixels(account_id)]
    text = PRESETS[0].make(pixels) if pixels else "{}"
    return json.dumps(json.loads(text), indent=2)


def _named(rows: Sequence[Overlap], names: dict[str, str]) -> list[Shared]:
    return [
        Shared(row.audience_id, names[row.audience_id], row.members, row.shared)
        for row in rows
        if row.audience_id in names
    ]


def _read(text: str) -> Any:
    """A rule or a spec as it was given; null where there is none."""
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return text


def _at(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """Both pages, their twins, and what their forms post to."""
    view = _Audiences(door, catalog, engine)
    return [
        Route("/audiences", view.page),
        Route("/audiences.json", view.json),
        Route("/audiences.csv", view.csv),
        Route("/audience", view.one),
        Route("/audience.json", view.one_json),
        Route("/audience.csv", view.one_csv),
        *(Route(f"/audiences/{name}", view.doing(act), methods=["POST"]) for name, act in ACTS),
    ]
