"""The record of who changed what in an account: the page and its twins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Change
from doublet.catalog.changes import VERBS
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_account_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

ROWS_MAX = 200


class ChangeRow(msgspec.Struct, frozen=True):
    """One change; `details` say to what, without secrets. `change_id` rises with time."""

    change_id: int
    at: datetime
    who: str
    what: str
    target: str
    details: dict[str, Any]


class _CsvRow(msgspec.Struct, frozen=True):
    change_id: int
    at: datetime
    who: str
    what: str
    target: str
    details: str


class _Changes:
    def __init__(self, door: Access) -> None:
        self._door = door

    async def page(self, request: Request) -> Response:
        """The newest for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, rows = await self._read(request, visitor)
        return page.answer(
            "changes.html",
            question=question,
            rows=[(row, details_of(row.details)) for row in rows],
            verbs=VERBS,
            before=_before(request),
            next=rows[-1].change_id if len(rows) == ROWS_MAX else None,
        )

    async def json(self, request: Request) -> Response:
        """The same for programs."""
        _, rows = await self._read(request, await self._door.admit(request))
        return Response(msgspec.json.encode(rows), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        _, rows = await self._read(request, await self._door.admit(request))
        flat = [
            _CsvRow(r.change_id, r.at, r.who, r.what, r.target, details_of(r.details)) for r in rows
        ]
        headers = {"content-disposition": 'attachment; filename="changes.csv"'}
        return Response(as_csv(flat, _CsvRow), 200, headers, "text/csv")

    async def _read(self, request: Request, visitor: Visitor) -> tuple[Question, list[ChangeRow]]:
        catalog = self._door.catalog
        message = "Changes are of the account, not of a pixel; leave pixel out."
        question = await read_account_question(request, visitor, catalog, message)
        found = await run_in_threadpool(
            lambda: catalog.changes.newest(
                question.account.account_id,
                # What is of no account is for those who own all.
                with_general=visitor.is_operator,
                before=_before(request),
                limit=ROWS_MAX,
            )
        )
        return question, [_row(change) for change in found]


def _before(request: Request) -> int | None:
    text = request.query_params.get("before") or ""
    if not text:
        return None
    if not text.isdecimal() or len(text) > 18:
        message = "before must be the number of a change."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "before"))
    return int(text)


def _row(change: Change) -> ChangeRow:
    at = datetime.fromtimestamp(change.at, UTC)
    return ChangeRow(change.change_id, at, change.who, change.what, change.target, change.details)


def details_of(details: dict[str, Any]) -> str:
    """Details as a person reads them.

    >>> details_of({"name": "Shop", "mark_bots": True, "domains": ["a.example", "b.example"]})
    'name: Shop, mark_bots: yes, domains: a.example b.example'
    """
    return ", ".join(f"{name}: {_words(value)}" for name, value in details.items())


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def routes(door: Access) -> list[Route]:
    """The page and its twins."""
    changes = _Changes(door)
    return [
        Route("/changes", changes.page),
        Route("/changes.json", changes.json),
        Route("/changes.csv", changes.csv),
    ]
