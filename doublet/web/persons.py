"""Persons over HTTP: who has an identifier, what was merged and why, and keeping persons apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, Role
from doublet.engine import Engine
from doublet.person import GivenError, read_identifiers
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.reports.persons import DecisionRow, MergeRow, decisions, find_persons, merges
from doublet.web.access import Access
from doublet.web.forms import record_change
from doublet.web.parameters import account_of, read_question
from doublet.web.person import read_body
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_encode = msgspec.json.Encoder().encode

Unmerge = Callable[[str, str, str, str, bool], None]
"""Makes a decision durable: account id, the two identifiers, the reason, whether it is revoked."""


class Who(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `/v1/person/show`; `user_data` is that of an event."""

    user_data: dict[str, Any]
    account: str | None = None


class Apart(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `/v1/person/unmerge`: an identifier of each of two persons, as KEY=VALUE, plain
    or hashed; `undo` takes an earlier decision on them back."""

    identifiers: tuple[str, str]
    reason: str
    account: str | None = None
    undo: bool = False


class _Persons:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, unmerge: Unmerge) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._unmerge = unmerge

    async def show(self, request: Request) -> Response:
        """Who has the identifiers."""
        ask, account, _ = await self._read(request, Who, Role.ANALYST)
        identifiers = _checked(lambda: read_identifiers(ask.user_data), "user_data")
        found = await run_in_threadpool(find_persons, self._engine, account, identifiers)
        return Response(_encode(found), media_type="application/json")

    async def apart(self, request: Request) -> Response:
        """Keep two persons apart from now on."""
        ask, account, visitor = await self._read(request, Apart, Role.OWNER)
        a, b = ask.identifiers

        def decide() -> None:
            self._unmerge(account.account_id, a, b, ask.reason, ask.undo)

        await run_in_threadpool(lambda: _checked(decide, "identifiers"))
        await run_in_threadpool(
            record_change,
            self._catalog,
            visitor,
            account.account_id,
            "person.unmerged",
            "",
            undo=ask.undo,
        )
        return JSONResponse({"success": True})

    async def merges(self, request: Request) -> Response:
        """The merges as JSON."""
        return Response(_encode(await self._merges(request)), media_type="application/json")

    async def merges_csv(self, request: Request) -> Response:
        """The merges for spreadsheets."""
        headers = {"content-disposition": 'attachment; filename="merges.csv"'}
        text = as_csv(await self._merges(request), MergeRow)
        return Response(text, 200, headers, "text/csv")

    async def decisions(self, request: Request) -> Response:
        """What was decided."""
        question = await read_question(request, await self._door.admit(request), self._catalog)
        rows: list[DecisionRow] = await run_in_threadpool(decisions, self._engine, question.account)
        return Response(_encode(rows), media_type="application/json")

    async def _merges(self, request: Request) -> list[MergeRow]:
        question = await read_question(request, await self._door.admit(request), self._catalog)

        def read() -> list[MergeRow]:
            return merges(
                self._engine, question.account, since=question.since, until=question.until
            )

        return await run_in_threadpool(read)

    async def _read(
        self, request: Request, form: type[Any], role: Role
    ) -> tuple[Any, Account, Visitor]:
        visitor = await self._door.admit(request)
        body = await read_body(request)
        try:
            ask = msgspec.json.decode(body, type=form)
        except (msgspec.MsgspecError, UnicodeError):
            # The decoder's own words may hold a value.
            fields = ", ".join(form.__struct_fields__)
            raise _invalid(f"Send JSON with {fields}, the last ones if wanted.", "") from None
        account = await run_in_threadpool(account_of, ask.account, visitor, self._catalog)
        visitor.demand(account.account_id, role)
        return ask, account, visitor


def persons_routes(door: Access, catalog: Catalog, engine: Engine, unmerge: Unmerge) -> list[Route]:
    """All addresses of it."""
    persons = _Persons(door, catalog, engine, unmerge)
    return [
        Route("/v1/person/show", persons.show, methods=["POST"]),
        Route("/v1/person/unmerge", persons.apart, methods=["POST"]),
        Route("/merges.json", persons.merges),
        Route("/merges.csv", persons.merges_csv),
        Route("/decisions.json", persons.decisions),
    ]


def _checked(read: Callable[[], Any], field: str) -> Any:
    try:
        return read()
    except GivenError as error:
        raise _invalid(str(error), field) from None


def _invalid(message: str, field: str) -> Refused:
    return Refused(Refusal(Reason.PARAMETER_INVALID, message, field))
