"""The page that compares a shop's own list of orders with what is here; its twin for programs is
`POST /v1/reconcile`. The list may hold personal data, so it stays in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, Role
from doublet.errors import DoubletError
from doublet.reconcile import Question, Reconciliation, words
from doublet.reconcile.findings import FINDINGS
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question as PageQuestion
from doublet.web.parameters import read_account_question, read_day

FORM_SIZE_BYTES_MAX = 4 << 20
_LISTED = 20
_TITLES = {name: finding.title for name, finding in FINDINGS.items()}

Compare = Callable[[Account, Question, str], tuple[Any, Reconciliation]]
"""Compares a text of orders with what an account has: what was read of it, and the comparison."""


class _Reconcile:
    def __init__(self, door: Access, catalog: Catalog, compare: Compare) -> None:
        self._door = door
        self._catalog = catalog
        self._compare = compare

    async def show(self, request: Request) -> Response:
        """The form."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        message = "An order belongs to the account, not to a pixel; leave pixel out."
        question = await read_account_question(request, visitor, self._catalog, message)
        return _answer(question, since=question.since, until=question.until)

    async def compare(self, request: Request) -> Response:
        """The form with what was found."""
        asked = await self._door.admit_to_change(
            request, Role.ANALYST, size_bytes_max=FORM_SIZE_BYTES_MAX
        )
        message = "An order belongs to the account, not to a pixel; leave pixel out."
        question = await read_account_question(request, asked.visitor, self._catalog, message)
        question = question._replace(account=asked.account)
        since, until = (read_day(name, asked.fields.get(name)) for name in ("since", "until"))
        if since and until and until < since:
            problem = f"To ({until}) is before From ({since}); swap them."
            return _answer(question, 400, since=since, until=until, problem=problem)
        if not asked.fields.get("export", "").strip():
            problem = "Nothing was pasted. Export the orders from the shop, and paste them here."
            return _answer(question, 400, since=since, until=until, problem=problem)
        wanted = Question(since, until, limit=_LISTED)
        try:
            export, told = await run_in_threadpool(
                self._compare, asked.account, wanted, asked.fields.get("export", "")
            )
        except DoubletError as error:
            problem = f"{error.message} {error.hint or ''}".strip()
            return _answer(question, 400, since=since, until=until, problem=problem)
        return _answer(question, since=since, until=until, told=told, export=export)


def _answer(question: PageQuestion, status: int = 200, **found: Any) -> Response:
    told: Reconciliation | None = found.pop("told", None)
    return page.answer(
        "reconcile.html",
        status,
        question=question,
        told=told,
        sentences=list(words.sentences(told)) if told else [],
        titles=_TITLES,
        money=words.money,
        **{"problem": "", "export": None, **found},
    )


def reconcile_page_routes(door: Access, catalog: Catalog, compare: Compare) -> list[Route]:
    """The page."""
    view = _Reconcile(door, catalog, compare)
    return [
        Route("/reconcile", view.show),
        Route("/reconcile", view.compare, methods=["POST"]),
    ]
