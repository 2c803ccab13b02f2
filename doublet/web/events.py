"""Single events: the page that finds them with its twins `/events.json` and `.csv`, and the story
of one as page `/event`, `/event.json` and `.csv`; `/explain.json` is its older address."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.accept import ACTION_SOURCES
from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.explain import Copy, Outlook, Story, explain, explain_copy
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.reports.asked import Setting
from doublet.reports.events import (
    LIMIT,
    LIMIT_MAX,
    SEEN_BY,
    SHOWN,
    EventRow,
    EventsAsked,
    EventsFound,
    find_events,
    read_place,
)
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_choice, read_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_TEXT_LENGTH_MAX = 512
_encode = msgspec.json.Encoder(decimal_format="number").encode


class CopyRow(msgspec.Struct):
    """One copy of an event, for spreadsheets; `custom_data` is JSON text."""

    event_name: str
    pixel_id: str
    copy: str
    source: str
    received_at: datetime
    delay_s: float
    rule: str
    is_kept: bool
    event_id: str | None
    event_time: int
    action_source: str | None
    event_source_url: str | None
    user_data_keys: list[str]
    custom_data: str
    flags: list[str]


def copy_rows(stories: list[Story], zone: ZoneInfo) -> list[CopyRow]:
    """The copies of all events that are told, their moments on the clocks of a zone."""
    return [
        CopyRow(
            story.event_name,
            story.pixel_id,
            f"{copy.log_slot}-{copy.log_offset}",
            copy.source,
            copy.received_at.astimezone(zone),
            copy.delay_s,
            copy.rule,
            copy.is_kept,
            copy.fields.get("event_id"),
            copy.fields["event_time"],
            copy.fields.get("action_source"),
            copy.fields.get("event_source_url"),
            copy.user_data_keys,
            json.dumps(copy.custom_data, ensure_ascii=False),
            copy.flags,
        )
        for story in stories
        for copy in story.copies
    ]


class _Events:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, outlook: Outlook) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._outlook = outlook

    async def page(self, request: Request) -> Response:
        """The newest events that fit, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, asked = await self._read(request, visitor)
        found = await self._find(question, asked)
        # The same question, as addresses of the twins and of the next events ask it.
        more = _given(asked)
        return page.answer(
            "events.html",
            question=question,
            asked=asked,
            more=more,
            found=found,
            action_sources=[(name, name) for name in sorted(ACTION_SOURCES)],
        )

    async def json(self, request: Request) -> Response:
        """The same events for programs."""
        found = await self._find(*await self._read(request, await self._door.admit(request)))
        return Response(_encode(found), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """Their rows for spreadsheets, a thousand where nobody says how many."""
        question, asked = await self._read(request, await self._door.admit(request))
        if not request.query_params.get("limit"):
            asked = asked._replace(limit=LIMIT_MAX)
        found = await self._find(question, asked)
        headers = {"content-disposition": 'attachment; filename="events.csv"'}
        return Response(as_csv(found.rows, EventRow), 200, headers, "text/csv")

    async def story(self, request: Request) -> Response:
        """What happened to one event, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, stories = await self._tell(request, visitor)
        if not stories:
            message = "No event of this account is at this address; it may have expired."
            raise Refused(Refusal(Reason.NOT_FOUND, message))
        asked = {key: request.query_params[key] for key in _NAMES if request.query_params.get(key)}
        return page.answer(
            "event.html",
            question=question,
            stories=stories,
            asked=asked,
            as_text=_as_text,
            fields_of=_fields_of,
        )

    async def story_json(self, request: Request) -> Response:
        """The same for programs: the events that the address names."""
        _, stories = await self._tell(request, await self._door.admit(request))
        return Response(_encode(stories), media_type="application/json")

    async def story_csv(self, request: Request) -> Response:
        """Their copies for spreadsheets."""
        question, stories = await self._tell(request, await self._door.admit(request))
        rows = copy_rows(stories, ZoneInfo(question.account.time_zone))
        headers = {"content-disposition": 'attachment; filename="event.csv"'}
        return Response(as_csv(rows, CopyRow), 200, headers, "text/csv")

    async def _find(self, question: Question, asked: EventsAsked) -> EventsFound:
        try:
            return await run_in_threadpool(find_events, self._engine, question.account, asked)
        except SenderError as error:
            raise _invalid("before", str(error)) from None

    async def _tell(self, request: Request, visitor: Visitor) -> tuple[Question, list[Story]]:
        question = await read_question(request, visitor, self._catalog)
        event_id = request.query_params.get("event_id")
        copy = request.query_params.get("copy")
        if bool(event_id) == bool(copy):
            message = "event_id is missing; name the event, as it was sent, or one copy of it."
            raise _invalid("event_id", message)
        try:
            place = read_place(copy) if copy else None
        except SenderError as error:
            raise _invalid("copy", str(error)) from None
        account = question.account

        def tell() -> list[Story]:
            setting = Setting.of(self._catalog.reporting.rules(account.account_id))
            engine, outlook = self._engine, self._outlook
            if place is not None:
                return explain_copy(engine, account, place, outlook, setting)
            assert event_id
            return explain(engine, account, event_id, question.pixel_id, outlook, setting)

        return question, await run_in_threadpool(tell)

    async def _read(self, request: Request, visitor: Visitor) -> tuple[Question, EventsAsked]:
        question = await read_question(request, visitor, self._catalog)
        given = request.query_params
        text = (given.get("q") or "").strip() or None
        if text is not None and "@" in text:
            # What stands in an address is kept by browsers and proxies.
            message = "q looks like an e-mail address; find a person's events on the page Persons."
            raise _invalid("q", message)
        for name in ("q", "event_name", "action_source"):
            if len(given.get(name) or "") > _TEXT_LENGTH_MAX:
                raise _invalid(name, f"{name} has more than {_TEXT_LENGTH_MAX} characters.")
        return question, EventsAsked(
            question.pixel_id,
            question.since,
            question.until,
            given.get("event_name") or None,
            given.get("action_source") or None,
            read_choice(request, "seen_by", ("", *SEEN_BY)) or None,
            read_choice(request, "shown", SHOWN),
            read_choice(request, "odd", ("0", "1")) == "1",
            text,
            given.get("before") or None,
            _limit(given.get("limit")),
        )


_NAMES = ("event_id", "copy")


def _given(asked: EventsAsked) -> dict[str, str]:
    """The parameters of this page's own, but for where it goes on."""
    given = {
        "event_name": asked.event_name,
        "action_source": asked.action_source,
        "seen_by": asked.seen_by,
        "shown": None if asked.shown == SHOWN[0] else asked.shown,
        "odd": "1" if asked.is_odd else None,
        "q": asked.text,
        "limit": None if asked.limit == LIMIT else str(asked.limit),
    }
    return {name: value for name, value in given.items() if value}


def _limit(text: str | None) -> int:
    if not text:
        return LIMIT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LIMIT_MAX:
        raise _invalid("limit", f"limit must be a number from 1 to {LIMIT_MAX}.")
    return int(text)


def _fields_of(copies: list[Copy]) -> list[str]:
    """The fields that at least one of the copies gives, as the first of them has them in order."""
    return list(dict.fromkeys(name for copy in copies for name in copy.fields))


def _as_text(value: Any) -> str:
    """Raw parameters as JSON with one line each."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _invalid(field: str, message: str) -> Refused:
    return Refused(Refusal(Reason.PARAMETER_INVALID, message, field))


def routes(door: Access, catalog: Catalog, engine: Engine, outlook: Outlook) -> list[Route]:
    """Both pages and their twins."""
    view = _Events(door, catalog, engine, outlook)
    return [
        Route("/events", view.page),
        Route("/events.json", view.json),
        Route("/events.csv", view.csv),
        Route("/event", view.story),
        Route("/event.json", view.story_json),
        Route("/event.csv", view.story_csv),
        Route("/explain.json", view.story_json),
    ]
