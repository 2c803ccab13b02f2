"""The page on persons: found by an identifier, exported, erased, kept apart; and what was merged.

What is typed into its forms is hashed in memory and stands in no address, answer or line of a log.
Between two forms it waits here, under a ticket.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.accept.hits import PURPOSES
from doublet.catalog import Account, Catalog, Role
from doublet.consent import last_word
from doublet.engine import Engine
from doublet.errors import OperatorError
from doublet.person import GivenError, Wish, read_identifiers
from doublet.person.identifiers import DEVICE_KEYS, PEOPLE_KEYS
from doublet.reports import as_csv
from doublet.reports.persons import (
    DecisionRow,
    MergeRow,
    PersonsFound,
    PersonTold,
    decisions,
    find_persons,
    merges,
    tell_persons,
)
from doublet.web import page
from doublet.web.access import Access
from doublet.web.forms import Asked
from doublet.web.parameters import Question, read_account_question
from doublet.web.person import Persons, as_lines, shown
from doublet.web.persons import Unmerge
from doublet.web.tickets import Search, Tickets
from doublet.web.visitor import Visitor

_ROWS_MAX = 20
_NOT_OF_A_PIXEL = "A person belongs to the account, not to a pixel; leave pixel out."
_GONE = "This search is over. Type the identifier once more."

KEYS = {
    "em": "E-mail address",
    "ph": "Phone, with country code",
    "external_id": "Your own id (external_id)",
    "fbp": "Browser cookie (_fbp)",
    "fbc": "Click cookie (_fbc)",
    "anon_id": "App install (anon_id)",
    "madid": "Advertising id (madid)",
    "lead_id": "Lead id",
}
_OTHERS = {key: key for key in (*PEOPLE_KEYS, *DEVICE_KEYS) if key not in KEYS}
_JOINING = {key: title for key, title in KEYS.items() if key != "fbc"}

_encode = msgspec.json.Encoder(decimal_format="number").encode


class PersonsKept(msgspec.Struct):
    """What the page lists: merges, the latest first; decisions; and erasures with their state."""

    merges: list[MergeRow]
    decisions: list[DecisionRow]
    erasures: list[dict[str, Any]]


class _Found(NamedTuple):
    """The answer to a search, as the page shows it."""

    ticket: str
    key: str
    found: PersonsFound
    told: list[PersonTold]
    consent: dict[str, Any] | None


class _Plan(NamedTuple):
    """What an erasure would take: counts, never values."""

    ticket: str
    figures: dict[str, Any]
    exact: bool
    shared: bool


class _View:
    def __init__(
        self,
        door: Access,
        catalog: Catalog,
        engine: Engine,
        unmerge: Unmerge,
        persons: Persons,
    ) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._unmerge = unmerge
        self._persons = persons
        self._tickets = Tickets()

    async def page(self, request: Request) -> Response:
        """Where one looks for persons, and what is kept of all of them."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        return await self._answer(await self._question(request, visitor))

    async def json(self, request: Request) -> Response:
        """What the page lists, for programs."""
        question = await self._question(request, await self._door.admit(request))
        kept = await run_in_threadpool(self._kept, question)
        return Response(_encode(kept), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The merges for spreadsheets."""
        question = await self._question(request, await self._door.admit(request))
        kept = await run_in_threadpool(self._kept, question)
        headers = {"content-disposition": 'attachment; filename="persons.csv"'}
        return Response(as_csv(kept.merges, MergeRow), 200, headers, "text/csv")

    async def find(self, request: Request) -> Response:
        """Who has what was typed."""
        asked, question = await self._form(request, Role.ANALYST)
        key = asked.fields.get("key", "")
        try:
            identifiers = _typed(key, asked.fields.get("value", ""))
        except GivenError as error:
            return await self._answer(question, 400, problem=str(error), key=key)
        found = await run_in_threadpool(self._find, asked.account, key, identifiers)
        return await self._answer(question, found=found, key=key)

    def _find(self, account: Account, key: str, identifiers: frozenset[str]) -> _Found:
        found = find_persons(self._engine, account, identifiers)
        told = tell_persons(self._engine, account, found, identifiers)
        values: dict[str, list[str]] = {}
        for identifier in sorted(identifiers):
            name, _, value = identifier.partition("=")
            values.setdefault(name, []).append(value)
        by_key: dict[str, Any] = {**values, "fbp": next(iter(values.get("fbp", [])), None)}
        consent = last_word(self._engine, account.account_id, by_key, int(time.time()))
        ticket = self._tickets.issue(Search(account.account_id, identifiers))
        return _Found(ticket, key, found, told, consent)

    async def export(self, request: Request) -> Response:
        """All that is kept of who was found, as a file."""
        asked, question = await self._form(request, Role.OWNER)
        wish = self._wish(asked)
        if wish is None:
            return await self._answer(question, 410, problem=_GONE)
        try:
            rows = await run_in_threadpool(self._persons.export_person, wish)
        except OperatorError as error:
            return await self._answer(question, 400, problem=str(error))
        # Who it was must not be known after an erasure: the record tells of the act alone.
        await run_in_threadpool(
            lambda: asked.record(self._catalog, "person.exported", "", rows=len(rows))
        )
        headers = {"content-disposition": 'attachment; filename="person.jsonl"'}
        return Response(as_lines(rows), 200, headers, "application/x-ndjson")

    async def erase(self, request: Request) -> Response:
        """First what would go; with the word of who has read that, the erasure."""
        asked, question = await self._form(request, Role.OWNER)
        wish = self._wish(asked)
        if wish is None:
            return await self._answer(question, 410, problem=_GONE)
        if asked.fields.get("confirm") != "erase":
            try:
                found = await run_in_threadpool(self._persons.find_person, wish)
            except OperatorError as error:
                return await self._answer(question, 400, problem=str(error))
            ticket = asked.fields["ticket"]
            plan = _Plan(ticket, found.figures(), wish.exact, wish.shared)
            is_asked_twice = asked.fields.get("step") == "confirm"
            problem = "Tick the box to say that it is meant." if is_asked_twice else ""
            return await self._answer(question, 400 if problem else 200, problem=problem, plan=plan)
        erasure = await run_in_threadpool(self._persons.ask_to_erase, wish)
        await run_in_threadpool(
            lambda: asked.record(self._catalog, "person.erased", erasure.erasure_id)
        )
        return RedirectResponse(f"{question.address('/persons')}#erasures", 303)

    async def apart(self, request: Request) -> Response:
        """Keep two persons apart, or no longer."""
        asked, question = await self._form(request, Role.OWNER)
        fields = asked.fields
        a, b = (
            f"{fields.get(f'key_{n}', '')}={fields.get(f'value_{n}', '').strip()}" for n in "ab"
        )
        is_undone = fields.get("undo") == "1"
        reason = fields.get("reason", "").strip()
        if not reason:
            return await self._answer(question, 400, problem="Say why, for who reads it later.")
        account_id = asked.account.account_id
        try:
            await run_in_threadpool(self._unmerge, account_id, a, b, reason, is_undone)
        except GivenError as error:
            return await self._answer(question, 400, problem=str(error))
        await run_in_threadpool(
            lambda: asked.record(self._catalog, "person.unmerged", "", undo=is_undone)
        )
        return RedirectResponse(f"{question.address('/persons')}#decisions", 303)

    def _wish(self, asked: Asked) -> Wish | None:
        search = self._tickets.search(asked.fields.get("ticket", ""), asked.account.account_id)
        if search is None:
            return None
        exact, shared = (asked.fields.get(name) == "1" for name in ("exact", "shared"))
        return Wish(search.account_id, search.identifiers, exact, shared)

    async def _form(self, request: Request, role: Role) -> tuple[Asked, Question]:
        asked = await self._door.admit_to_change(request, role)
        question = await self._question(request, asked.visitor)
        return asked, question._replace(account=asked.account)

    async def _question(self, request: Request, visitor: Visitor) -> Question:
        return await read_account_question(request, visitor, self._catalog, _NOT_OF_A_PIXEL)

    def _kept(self, question: Question) -> PersonsKept:
        account = question.account
        return PersonsKept(
            merges(self._engine, account, since=question.since, until=question.until),
            decisions(self._engine, account),
            [
                shown(erasure)
                for erasure in reversed(self._persons.erasures.all())
                if erasure.account_id == account.account_id
            ],
        )

    async def _answer(
        self,
        question: Question,
        status: int = 200,
        *,
        problem: str = "",
        key: str = "em",
        found: _Found | None = None,
        plan: _Plan | None = None,
    ) -> Response:
        kept = await run_in_threadpool(self._kept, question)
        return page.answer(
            "persons.html",
            status,
            question=question,
            kept=kept,
            rows_max=_ROWS_MAX,
            problem=problem,
            found=found,
            plan=plan,
            purposes=PURPOSES,
            keys=[(name, title, name == key) for name, title in {**KEYS, **_OTHERS}.items()],
            joining=list(_JOINING.items()),
        )


def _typed(key: str, value: str) -> frozenset[str]:
    """The identifiers that were typed, in all forms that clients may have made of them. Raises
    GivenError, which names keys and no value."""
    if not value.strip():
        raise GivenError("No identifier was given.", "Type one.")
    return read_identifiers({key: value.strip()})


def persons_page_routes(
    door: Access, catalog: Catalog, engine: Engine, unmerge: Unmerge, persons: Persons
) -> list[Route]:
    """The page with its twins, and what its forms ask."""
    view = _View(door, catalog, engine, unmerge, persons)
    return [
        Route("/persons", view.page),
        Route("/persons.json", view.json),
        Route("/persons.csv", view.csv),
        Route("/persons/find", view.find, methods=["POST"]),
        Route("/persons/export", view.export, methods=["POST"]),
        Route("/persons/erase", view.erase, methods=["POST"]),
        Route("/persons/apart", view.apart, methods=["POST"]),
    ]
