"""The order ledger: the orders of each day, the newest orders, and the ledger of one; each as page,
JSON and CSV."""

from __future__ import annotations

from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.rates import load_rates
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.reports.events import EventsAsked, find_events
from doublet.reports.orders import (
    LatestOrderRow,
    OrderEntry,
    OrderLedger,
    OrdersReport,
    OrdersRow,
    latest_orders,
    order_ledger,
    orders,
    sentences,
)
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_account_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

# A shop of ten years and three currencies has ten thousand rows.
_ROWS_MAX = 400
_LATEST_SHOWN = 15
_LATEST_MAX = 1000
_EVENTS_SHOWN = 50

_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Orders:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, rates: Path) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._rates = rates

    async def page(self, request: Request) -> Response:
        """The newest rows for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await self._question(request, visitor)
        report = await self._report(question)
        rows = report.rows[::-1][:_ROWS_MAX]
        latest = await self._latest(question, _LATEST_SHOWN + 1)
        return page.answer(
            "orders.html",
            question=question,
            report=report,
            rows=rows,
            latest=latest[:_LATEST_SHOWN],
            has_more=len(latest) > _LATEST_SHOWN,
            hidden=len(report.rows) - len(rows),
        )

    async def json(self, request: Request) -> Response:
        """The report for programs."""
        report = await self._report(await self._ask(request))
        return Response(_encode(report), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """Its rows for spreadsheets."""
        report = await self._report(await self._ask(request))
        headers = {"content-disposition": 'attachment; filename="orders.csv"'}
        return Response(as_csv(report.rows, OrdersRow), 200, headers, "text/csv")

    async def latest_json(self, request: Request) -> Response:
        """The newest orders for programs."""
        rows = await self._latest(await self._ask(request), _LATEST_MAX)
        return Response(_encode(rows), media_type="application/json")

    async def latest_csv(self, request: Request) -> Response:
        """The newest orders for spreadsheets."""
        rows = await self._latest(await self._ask(request), _LATEST_MAX)
        headers = {"content-disposition": 'attachment; filename="latest_orders.csv"'}
        return Response(as_csv(rows, LatestOrderRow), 200, headers, "text/csv")

    async def order(self, request: Request) -> Response:
        """The ledger of the order `order_id` for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await self._question(request, visitor)
        ledger = await self._ledger(request, question)
        events = await run_in_threadpool(
            find_events,
            self._engine,
            question.account,
            EventsAsked(shown="all", text=ledger.order_id, limit=_EVENTS_SHOWN),
        )
        return page.answer(
            "order.html",
            question=question,
            ledger=ledger,
            sentences=list(sentences(ledger)),
            events=[row for row in events.rows if row.order_id == ledger.order_id],
        )

    async def order_json(self, request: Request) -> Response:
        """The same for programs."""
        ledger = await self._ledger(request, await self._ask(request))
        return Response(_encode(ledger), media_type="application/json")

    async def order_csv(self, request: Request) -> Response:
        """Its entries for spreadsheets."""
        ledger = await self._ledger(request, await self._ask(request))
        headers = {"content-disposition": 'attachment; filename="order.csv"'}
        return Response(as_csv(ledger.entries, OrderEntry), 200, headers, "text/csv")

    async def _ledger(self, request: Request, question: Question) -> OrderLedger:
        order_id = (request.query_params.get("order_id") or "").strip()
        if not order_id:
            message = "order_id is missing, but must be the id of an order."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "order_id"))
        ledger: OrderLedger | None = await run_in_threadpool(
            order_ledger, self._engine, question.account, order_id
        )
        if ledger is None:
            message = "Nothing is known of an order with this order_id."
            raise Refused(Refusal(Reason.NOT_FOUND, message, "order_id"))
        return ledger

    async def _latest(self, question: Question, limit: int) -> list[LatestOrderRow]:
        def read() -> list[LatestOrderRow]:
            limits = {"since": question.since, "until": question.until}
            return latest_orders(self._engine, question.account, limit=limit, **limits)

        return await run_in_threadpool(read)

    async def _ask(self, request: Request) -> Question:
        return await self._question(request, await self._door.admit(request))

    async def _question(self, request: Request, visitor: Visitor) -> Question:
        message = "An order belongs to the account, not to a pixel; leave pixel out."
        return await read_account_question(request, visitor, self._catalog, message)

    async def _report(self, question: Question) -> OrdersReport:
        def read() -> OrdersReport:
            account = question.account
            rates = load_rates(self._rates, account.account_id, account.currency)
            limits = {"since": question.since, "until": question.until}
            return orders(self._engine, account, rates, **limits)

        return await run_in_threadpool(read)


def routes(door: Access, catalog: Catalog, engine: Engine, rates: Path) -> list[Route]:
    """The page with its twins, and the ledger of one order; `rates` is the folder of rates."""
    view = _Orders(door, catalog, engine, rates)
    return [
        Route("/orders", view.page),
        Route("/orders.json", view.json),
        Route("/orders.csv", view.csv),
        Route("/latest_orders.json", view.latest_json),
        Route("/latest_orders.csv", view.latest_csv),
        Route("/order", view.order),
        Route("/order.json", view.order_json),
        Route("/order.csv", view.order_csv),
    ]
