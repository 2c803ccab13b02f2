"""Reports of conversions for programs: each as JSON, as CSV and as a picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.errors import SenderError
from doublet.rates import load_rates
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.reports.asked import read_parameters
from doublet.reports.registry import REPORTS
from doublet.web.access import Access
from doublet.web.chart import Pictures
from doublet.web.parameters import read_choice, read_question
from doublet.web.pictures import specification
from doublet.web.refused import Refused

_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Reports:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, rates: Path) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._rates = rates
        self._pictures = Pictures()

    async def json(self, name: str, request: Request) -> Response:
        """The report."""
        return Response(_encode(await self._ask(name, request)), media_type="application/json")

    async def csv(self, name: str, request: Request) -> Response:
        """Its rows for spreadsheets."""
        report = REPORTS[name]
        rows = report.rows(await self._ask(name, request))
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return Response(as_csv(rows, report.row), 200, headers, "text/csv")

    async def svg(self, name: str, request: Request) -> Response:
        """Its picture, in the colours of `scheme`."""
        answer = await self._ask(name, request)
        scheme = read_choice(request, "scheme", ("light", "dark"))
        drawn = await run_in_threadpool(self._pictures.draw, specification(name, answer, scheme))
        return Response(drawn, media_type="image/svg+xml")

    async def _ask(self, name: str, request: Request) -> Any:
        visitor = await self._door.admit(request)
        question = await read_question(request, visitor, self._catalog)
        report = REPORTS[name]
        given = request.query_params
        known = {
            "pixel_id": question.pixel_id,
            "since": question.since,
            "until": question.until,
        }
        try:
            asked = read_parameters(report.asked, {key: given.getlist(key) for key in given}, known)
            _check_names(given, report.asked.__struct_fields__)
        except SenderError as error:
            raise Refused(Refusal(Reason.PARAMETER_INVALID, str(error))) from error

        def make() -> Any:
            account = question.account
            rates = load_rates(self._rates, account.account_id, account.currency)
            rules = self._catalog.reporting.rules(account.account_id)
            return report.make(self._engine, account, rates, asked.under(rules))

        return await run_in_threadpool(make)


_COMMON = ("account", "pixel", "since", "until", "marked", "access_token", "scheme")


def _check_names(given: Iterable[str], fields: Iterable[str]) -> None:
    """Raises SenderError for a parameter that no report has: a mistyped one would be another
    question."""
    known = sorted({*_COMMON, *fields} - {"pixel_id"})
    for name in given:
        if name not in known:
            raise SenderError(f"There is no parameter {name[:40]!r}; there are {', '.join(known)}.")


def routes(door: Access, catalog: Catalog, engine: Engine, rates: Path) -> list[Route]:
    """`/NAME.json`, `.csv` and `.svg` of each report of `doublet.reports.registry`; `rates` is the
    folder of exchange rates."""
    view = _Reports(door, catalog, engine, rates)
    forms: dict[str, Callable[[str, Request], Awaitable[Response]]] = {
        "json": view.json,
        "csv": view.csv,
        "svg": view.svg,
    }
    return [
        Route(f"/{name}.{form}", partial(endpoint, name))
        for name in REPORTS
        for form, endpoint in forms.items()
    ]
