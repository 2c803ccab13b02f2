"""The order ledger: the orders of each day as page, JSON and CSV, and one order as JSON."""

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
from doublet.reports.orders import OrderLedger, OrdersReport, OrdersRow, order_ledger, orders
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_account_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

# A shop of ten years and three currencies has ten thousand rows.
_ROWS_MAX = 400

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
        return page.answer(
            "orders.html",
            question=question,
            report=report,
            rows=rows,
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

    async def order(self, request: Request) -> Response:
        """The ledger of the order `order_id`."""
        question = await self._ask(request)
        order_id = request.query_params.get("order_id") or ""
        if not order_id:
            message = "order_id is missing, but must be the id of an order."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "order_id"))
        ledger: OrderLedger | None = await run_in_threadpool(
            order_ledger, self._engine, question.account, order_id
        )
        if ledger is None:
            message = "Nothing is known of an order with this order_id."
            raise Refused(Refusal(Reason.NOT_FOUND, message, "order_id"))
        return Response(_encode(ledger), media_type="application/json")

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
        Route("/order.json", view.order),
    ]
