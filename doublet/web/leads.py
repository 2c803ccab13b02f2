"""Leads and their stages as page, JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.reports import as_csv, as_percent
from doublet.reports.leads import LeadsReport, LeadStageRow, duration, leads
from doublet.web import page
from doublet.web.access import Access
from doublet.web.kept import Kept
from doublet.web.parameters import Question, read_question

_ROWS_MAX = 200

_encode = msgspec.json.Encoder().encode


class _Leads:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, kept: Kept) -> None:
        self._kept = kept
        self._door = door
        self._catalog = catalog
        self._engine = engine

    async def page(self, request: Request) -> Response:
        """The stages for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await read_question(request, visitor, self._catalog)
        key, find = self._asked(question)
        report, at = await run_in_threadpool(self._kept.ask_as_of, key, find)
        return page.answer(
            "leads.html",
            question=question,
            now=at.astimezone(ZoneInfo(question.account.time_zone)),
            report=report,
            rows=[
                (row, as_percent(row.leads, report.leads), duration(row.median_s))
                for row in report.rows[:_ROWS_MAX]
            ],
            hidden=max(0, len(report.rows) - _ROWS_MAX),
        )

    async def json(self, request: Request) -> Response:
        """The report for programs."""
        report = await self._report(await self._ask(request))
        return Response(_encode(report), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """Its rows for spreadsheets."""
        report = await self._report(await self._ask(request))
        headers = {"content-disposition": 'attachment; filename="leads.csv"'}
        return Response(as_csv(report.rows, LeadStageRow), 200, headers, "text/csv")

    async def _ask(self, request: Request) -> Question:
        return await read_question(request, await self._door.admit(request), self._catalog)

    async def _report(self, question: Question) -> LeadsReport:
        key, find = self._asked(question)
        return await run_in_threadpool(self._kept.ask, key, find)

    def _asked(self, question: Question) -> tuple[Hashable, Callable[[], LeadsReport]]:
        account, limits = question.account, (question.pixel_id, question.since, question.until)
        find = partial(
            leads,
            self._engine,
            account,
            pixel_id=question.pixel_id,
            since=question.since,
            until=question.until,
        )
        return ("leads", account, *limits), find


def routes(door: Access, catalog: Catalog, engine: Engine, kept: Kept) -> list[Route]:
    """The page with its twins; `kept` has what was found before."""
    view = _Leads(door, catalog, engine, kept)
    return [
        Route("/leads", view.page),
        Route("/leads.json", view.json),
        Route("/leads.csv", view.csv),
    ]
