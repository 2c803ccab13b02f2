"""Alerts of an account: what is unusual now, and what was."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.alerts.book import Alert, as_alert
from doublet.catalog import Catalog
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_question
from doublet.web.visitor import Visitor


def routes(door: Access, catalog: Catalog) -> list[Route]:
    """The page and its twins."""

    async def ask(request: Request, visitor: Visitor) -> tuple[Question, list[Alert]]:
        question = await read_question(request, visitor, catalog)
        rows = await run_in_threadpool(catalog.alerts, question.account.account_id)
        wanted = [row for row in rows if question.pixel_id in (None, row.pixel_id)]
        return question, [as_alert(row) for row in wanted]

    async def for_people(request: Request) -> Response:
        visitor = await door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, found = await ask(request, visitor)
        is_open = [alert for alert in found if alert.closed_at is None]
        over = [alert for alert in found if alert.closed_at is not None]
        return page.answer("alerts.html", question=question, parts=(is_open, over))

    async def for_programs(request: Request) -> Response:
        _, found = await ask(request, await door.admit(request))
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def for_spreadsheets(request: Request) -> Response:
        _, found = await ask(request, await door.admit(request))
        headers = {"content-disposition": 'attachment; filename="alerts.csv"'}
        return Response(as_csv(found, Alert), 200, headers, "text/csv")

    return [
        Route("/alerts", for_people),
        Route("/alerts.json", for_programs),
        Route("/alerts.csv", for_spreadsheets),
    ]
