"""Match quality and diagnostics for programs: `/quality.json`, `/diagnostics.json` and `.csv`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.reports import as_csv, as_json
from doublet.reports.diagnostics import DiagnosticRow, diagnostics
from doublet.reports.quality import QualityRow, quality, window
from doublet.web.access import Access
from doublet.web.parameters import read_question

_Row = TypeVar("_Row")


class _Quality:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine

    async def quality_json(self, request: Request) -> Response:
        """Match quality per event name."""
        rows: list[QualityRow] = await self._ask(quality, request)
        return Response(as_json(rows), media_type="application/json")

    async def diagnostics_json(self, request: Request) -> Response:
        """What is wrong, per diagnostic and event name."""
        rows: list[DiagnosticRow] = await self._ask(diagnostics, request)
        return Response(as_json(rows), media_type="application/json")

    async def diagnostics_csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        rows: list[DiagnosticRow] = await self._ask(diagnostics, request)
        headers = {"content-disposition": 'attachment; filename="diagnostics.csv"'}
        return Response(as_csv(rows, DiagnosticRow), 200, headers, "text/csv")

    async def _ask(self, report: Callable[..., list[_Row]], request: Request) -> list[_Row]:
        visitor = await self._door.admit(request)
        question = await read_question(request, visitor, self._catalog)
        today = datetime.now(ZoneInfo(question.account.time_zone)).date()
        since, until = window(question.since, question.until, today)
        return await run_in_threadpool(
            report,
            self._engine,
            question.account,
            pixel_id=question.pixel_id,
            event_name=request.query_params.get("event_name") or None,
            since=since,
            until=until,
        )


def routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """The twins."""
    view = _Quality(door, catalog, engine)
    return [
        Route("/quality.json", view.quality_json),
        Route("/diagnostics.json", view.diagnostics_json),
        Route("/diagnostics.csv", view.diagnostics_csv),
    ]
