"""Reports of conversions for programs: each as JSON, as CSV and as a picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

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
from doublet.reports.asked import Asked, parameters, read_parameters
from doublet.reports.conversions import event_names
from doublet.reports.registry import REPORTS
from doublet.web.access import Access
from doublet.web.chart import Pictures
from doublet.web.kept import Kept
from doublet.web.parameters import Question, read_choice, read_question
from doublet.web.pictures import specification
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_encode = msgspec.json.Encoder(decimal_format="number").encode

_SHOWN = timedelta(seconds=20)

Usual = Mapping[str, Sequence[str]]
"""Parameters that an address has where they are not given."""


class Answered(NamedTuple):
    """A report with what it was asked: `asked` as it stands in the address, `meant` with what was
    left open as the account says. `at` is the moment that the report is of."""

    question: Question
    asked: Asked
    meant: Any
    report: Any
    at: datetime
    usual: Usual = {}  # noqa: RUF012 - nobody changes it

    def address(self, path: str, **changes: Any) -> str:
        """A path that asks the same but for these parameters; None leaves one out."""
        # What is usual here is not what is usual of the report, and has to be said.
        said = {name: [*getattr(self.asked, name)] for name in self.usual}
        given = {**self.question.filters, **parameters(self.asked), **said, **changes}
        kept = {name: value for name, value in given.items() if value is not None}
        return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


class Reports:
    """Answers what addresses ask of the reports of `doublet.reports.registry`."""

    def __init__(
        self, door: Access, catalog: Catalog, engine: Engine, rates: Path, kept: Kept
    ) -> None:
        self.door = door
        self.catalog = catalog
        self.engine = engine
        self._rates = rates
        self._pictures = Pictures()
        self._kept = kept

    def event_names(self, question: Question) -> Sequence[str]:
        """The names of the account's conversions, as a page offers them."""
        account = question.account
        find = partial(event_names, self.engine, account)
        names, _ = self._kept.ask_as_of(("event_names", account.account_id), find)
        return names

    async def json(self, name: str, usual: Usual, request: Request) -> Response:
        """The report."""
        found = await self._asked(name, usual, request)
        return Response(_encode(found.report), media_type="application/json")

    async def csv(self, name: str, usual: Usual, request: Request) -> Response:
        """Its rows for spreadsheets."""
        report = REPORTS[name]
        rows = report.rows((await self._asked(name, usual, request)).report)
        file = request.url.path.removeprefix("/")
        headers = {"content-disposition": f'attachment; filename="{file}"'}
        return Response(as_csv(rows, report.row), 200, headers, "text/csv")

    async def svg(self, name: str, usual: Usual, request: Request) -> Response:
        """Its picture, in the colours of `scheme`."""
        visitor = await self.door.admit(request)
        found = await self.ask(name, usual, request, visitor, is_picture=True)
        scheme = read_choice(request, "scheme", ("light", "dark"))
        made = specification(name, found.report, scheme)
        drawn = await run_in_threadpool(self._pictures.draw, made)
        return Response(drawn, media_type="image/svg+xml")

    async def _asked(self, name: str, usual: Usual, request: Request) -> Answered:
        return await self.ask(name, usual, request, await self.door.admit(request))

    async def ask(
        self,
        name: str,
        usual: Usual,
        request: Request,
        visitor: Visitor,
        also: Collection[str] | None = None,
        *,
        is_picture: bool = False,
    ) -> Answered:
        """The report for a visitor; a page has parameters of its own `also`, and a picture is of
        what a page was told a moment ago. Raises Refused."""
        question = await read_question(request, visitor, self.catalog)
        report = REPORTS[name]
        given = request.query_params
        known = {
            "pixel_id": question.pixel_id,
            "since": question.since,
            "until": question.until,
        }
        lists = {key: given.getlist(key) for key in given}
        lists |= {key: list(values) for key, values in usual.items() if not any(given.getlist(key))}
        try:
            asked = read_parameters(report.asked, lists, known)
            _check_names(given, (*report.asked.__struct_fields__, *(also or ())))
        except SenderError as error:
            raise Refused(Refusal(Reason.PARAMETER_INVALID, str(error))) from error
        account = question.account

        def make() -> Answered:
            meant = asked.under(self.catalog.reporting.rules(account.account_id))
            rates = load_rates(self._rates, account.account_id, account.currency)
            key = (name, account, msgspec.json.encode(meant), tuple(rates.spans()))
            find = partial(report.make, self.engine, account, rates, meant)
            if also is None and not is_picture:
                return Answered(question, asked, meant, self._kept.ask(key, find), _now(), usual)
            # A picture is of the figures that its page has just shown.
            told = self._kept.known(key, find, lasting=_SHOWN) if is_picture else None
            made, at = told or self._kept.ask_as_of(key, find)
            return Answered(question, asked, meant, made, at, usual)

        return await run_in_threadpool(make)


def _now() -> datetime:
    return datetime.now(UTC)


_COMMON = ("account", "pixel", "since", "until", "marked", "access_token", "scheme")


def _check_names(given: Iterable[str], fields: Iterable[str]) -> None:
    """Raises SenderError for a parameter that no report has: a mistyped one would be another
    question."""
    known = sorted({*_COMMON, *fields} - {"pixel_id"})
    for name in given:
        if name not in known:
            raise SenderError(f"There is no parameter {name[:40]!r}; there are {', '.join(known)}.")


def twins(reports: Reports, path: str, name: str, usual: Usual) -> list[Route]:
    """`PATH.json`, `.csv` and `.svg` of a report."""
    forms: dict[str, Callable[[str, Usual, Request], Awaitable[Response]]] = {
        "json": reports.json,
        "csv": reports.csv,
        "svg": reports.svg,
    }
    return [
        Route(f"{path}.{form}", partial(endpoint, name, usual)) for form, endpoint in forms.items()
    ]


def routes(reports: Reports) -> list[Route]:
    """The three forms of each report of `doublet.reports.registry`, by its name."""
    return [route for name in REPORTS for route in twins(reports, f"/{name}", name, {})]
