"""What each side alone would have missed: the section of the first page, and its twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.reports import OverviewRow, as_csv, as_json
from doublet.reports.coverage import (
    CoverageCurrencyRow,
    CoverageRow,
    coverage,
    coverage_by_currency,
)
from doublet.web.access import Access
from doublet.web.parameters import Question, read_choice, read_question

_Row = TypeVar("_Row")
_SALE = "Purchase"


class Part(NamedTuple):
    """A stretch of a bar: its kind (a class of the style sheet), its beginning, its length."""

    kind: str
    start: int
    length: int


class Bar(NamedTuple):
    """What one way of counting gives, drawn so that the same events stand above each other: those
    of the browser only, of both, of the server only, and behind them what is counted twice."""

    title: str
    events: int
    parts: tuple[Part, ...]
    off: int
    """How many events are missed, or counted too many."""
    verdict: str
    value: list[tuple[str, Decimal]]
    """What they are worth by currency, the account's own first."""


class Section(NamedTuple):
    """The coverage of one event name, with a word for so many of its events."""

    row: CoverageRow
    noun: str
    bars: tuple[Bar, ...]


def foremost(rows: Sequence[OverviewRow]) -> str | None:
    """The event name that the section is about: purchases, otherwise the most frequent."""
    names = [row.event_name for row in rows]
    return _SALE if _SALE in names else next(iter(names), None)


def section(row: CoverageRow, currency: str) -> Section:
    """The bars of a row; values in the account's `currency` come first, then by amount."""
    codes = sorted(row.value, key=lambda code: (code != currency, -row.value[code].value, code))

    def worth(counted: str) -> list[tuple[str, Decimal]]:
        return [(code, getattr(row.value[code], counted)) for code in codes]

    edge = row.browser_alone
    browser_only = Part("browser-only", 0, row.browser_only)
    both = Part("both", row.browser_only, row.both)
    server_only = Part("server-only", edge, row.server_only)
    by_server = Part("missed", 0, row.browser_only)
    by_browser = Part("missed", edge, row.server_only)
    twice = Part("twice", row.events, row.both)
    browser = (browser_only, both, by_browser)
    server = (by_server, both, server_only)
    whole = (browser_only, both, server_only)
    bars = (
        Bar(
            "Browser alone",
            row.browser_alone,
            browser,
            row.server_only,
            "missed",
            worth("browser_alone"),
        ),
        Bar(
            "Server alone",
            row.server_alone,
            server,
            row.browser_only,
            "missed",
            worth("server_alone"),
        ),
        Bar("Added up", row.added, (*whole, twice), row.both, "too many", worth("added")),
        Bar("Doublet", row.events, whole, 0, "", worth("value")),
    )
    return Section(row, _noun(row), bars)


def _noun(row: CoverageRow) -> str:
    name = row.event_name
    if name == _SALE:
        return "purchase" if row.events == 1 else "purchases"
    return f"{name} event" if row.events == 1 else f"{name} events"


class _Coverage:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine

    async def json(self, request: Request) -> Response:
        """The rows for programs."""
        rows: list[CoverageRow] = await self._ask(coverage, request)
        return Response(as_json(rows), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The rows for spreadsheets, one per event name, day and currency."""
        rows: list[CoverageCurrencyRow] = await self._ask(coverage_by_currency, request)
        text = as_csv(rows, CoverageCurrencyRow)
        headers = {"content-disposition": 'attachment; filename="coverage.csv"'}
        return Response(text, 200, headers, "text/csv")

    async def _ask(self, report: Callable[..., list[_Row]], request: Request) -> list[_Row]:
        visitor = await self._door.admit(request)
        question = await read_question(request, visitor, self._catalog)
        by = read_choice(request, "by", ("name", "day"))
        return await run_in_threadpool(
            report,
            self._engine,
            question.account,
            by_day=by == "day",
            pixel_id=question.pixel_id,
            event_name=request.query_params.get("event_name") or None,
            since=question.since,
            until=question.until,
            with_marked=question.with_marked,
        )


async def read_section(
    engine: Engine, question: Question, rows: Sequence[OverviewRow]
) -> Section | None:
    """The section for a page that shows these rows; None where there are none."""
    name = foremost(rows)
    if name is None:
        return None
    found = await run_in_threadpool(
        coverage,
        engine,
        question.account,
        pixel_id=question.pixel_id,
        event_name=name,
        since=question.since,
        until=question.until,
        with_marked=question.with_marked,
    )
    return section(found[0], question.account.currency) if found else None


def routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """The twins."""
    view = _Coverage(door, catalog, engine)
    return [Route("/coverage.json", view.json), Route("/coverage.csv", view.csv)]
