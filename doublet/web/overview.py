"""The first page: what arrived from both sides, what it makes together, what that was worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.pixel import snippet
from doublet.reports import (
    CurrencyRow,
    OverviewRow,
    add_counts,
    as_csv,
    as_json,
    marked_events,
    overview,
    overview_by_currency,
)
from doublet.reports.today import TodayRow, sum_of, today
from doublet.web import page
from doublet.web.access import Access
from doublet.web.assets import Assets
from doublet.web.coverage import read_section
from doublet.web.parameters import Question, read_question
from doublet.web.status import Statuses
from doublet.web.status import routes as status_routes

_Row = TypeVar("_Row")
_SALE = "Purchase"

# Whoever may send events chooses their names and currencies, any number of them.
_NAMES_MAX = 200
_CURRENCIES_MAX = 20


class Headline(NamedTuple):
    """Totals over all event names; `value` is that of purchases, the account's currency first."""

    events: int
    copies: int
    server_only: int
    value: list[tuple[str, Decimal]]

    @property
    def repeats(self) -> int:
        """Copies that would have been counted twice."""
        return self.copies - self.events


def by_currency(value: dict[str, Decimal], currency: str) -> list[tuple[str, Decimal]]:
    """Amounts with the account's own currency first, the others by their codes."""
    return sorted(value.items(), key=lambda pair: (pair[0] != currency, pair[0]))


class Others(NamedTuple):
    """The rows that a page leaves out: how many, and their counts together."""

    names: int
    row: OverviewRow


def fold(rows: list[OverviewRow]) -> tuple[list[OverviewRow], Others | None]:
    """The most frequent names, each with a row of its own, and all others in one. The value of
    the others is left out: a cart filled and a purchase do not add up."""
    shown, rest = rows[:_NAMES_MAX], rows[_NAMES_MAX:]
    if not rest:
        return shown, None
    others = Others(len(rest), OverviewRow("", 0, 0, 0, 0, 0, 0, {}))
    for row in rest:
        add_counts(others.row, row)
    return shown, others


def headline(rows: Sequence[OverviewRow], currency: str) -> Headline:
    """The figures above the table. Values of other events (a product viewed, a cart filled) are
    not sales, so that they are left to their own rows."""
    value = {
        c: amount for row in rows if row.event_name == _SALE for c, amount in row.value.items()
    }
    return Headline(
        sum(row.events for row in rows),
        sum(row.browser + row.server for row in rows),
        sum(row.server_only for row in rows),
        by_currency(value, currency),
    )


def _curl(pixel_id: str, public_url: str, currency: str) -> str:
    """A purchase as any shell can report it; its e-mail address is that of test@example.com."""
    digest = sha256(b"test@example.com").hexdigest()
    return f"""curl '{public_url}/v25.0/{pixel_id}/events' \\
  -H "Authorization: Bearer $ACCESS_TOKEN" -H 'Content-Type: application/json' \\
  -d '{{"data": [{{
    "event_name": "Purchase", "event_time": '$(date +%s)', "event_id": "order-1001",
    "action_source": "website", "event_source_url": "https://shop.example/thanks",
    "user_data": {{
      "em": ["{digest}"],
      "client_user_agent": "curl"
    }},
    "custom_data": {{"value": 49.90, "currency": "{currency}"}}
  }}]}}'"""


class _Overview:
    def __init__(
        self,
        door: Access,
        catalog: Catalog,
        engine: Engine,
        files: Assets,
        statuses: Statuses,
        public_url: str,
    ) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._files = files
        self._public_url = public_url
        self._statuses = statuses

    async def page(self, request: Request) -> Response:
        """Figures for people; the first steps while there are none."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await read_question(request, visitor, self._catalog)
        rows = await self._read(overview, question)
        shown, others = fold(rows)
        days = await self._today(question)
        state = await run_in_threadpool(self._statuses.of, question.account, rows)
        self._files.prepare()
        name = request.query_params.get("event_name")
        chart_of = name if any(row.event_name == name for row in rows) else None
        pixel = question.pixels[0].pixel_id if question.pixels else None
        return page.answer(
            "overview.html",
            question=question,
            rows=shown,
            others=others,
            currencies_max=_CURRENCIES_MAX,
            by_currency=partial(by_currency, currency=question.account.currency),
            coverage=await read_section(self._engine, question, rows),
            headline=headline(rows, question.account.currency),
            pixel_id=pixel,
            snippet=snippet(pixel, self._public_url) if pixel else "",
            curl=_curl(pixel, self._public_url, question.account.currency) if pixel else "",
            public_url=self._public_url,
            marked=await self._marked(question),
            days=days,
            sum_of=sum_of,
            sale=_SALE,
            state=state,
            one_week=timedelta(days=7),
            chart_of=chart_of,
            chart_filter={"event_name": chart_of} if chart_of else {},
            now=datetime.now(ZoneInfo(question.account.time_zone)),
        )

    async def json(self, request: Request) -> Response:
        """The rows for programs."""
        rows = await self._read(overview, await self._ask(request))
        return Response(as_json(rows), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The rows for spreadsheets, one per event name and currency."""
        rows = await self._read(overview_by_currency, await self._ask(request))
        text = as_csv(rows, CurrencyRow)
        headers = {"content-disposition": 'attachment; filename="overview.csv"'}
        return Response(text, 200, headers, "text/csv")

    async def today_json(self, request: Request) -> Response:
        """Today against a week before, for programs."""
        rows = await self._today(await self._ask(request))
        return Response(as_json(rows), media_type="application/json")

    async def today_csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        rows = await self._today(await self._ask(request))
        headers = {"content-disposition": 'attachment; filename="today.csv"'}
        return Response(as_csv(rows, TodayRow), 200, headers, "text/csv")

    async def _today(self, question: Question) -> list[TodayRow]:
        return await run_in_threadpool(
            today,
            self._engine,
            question.account,
            datetime.now(UTC),
            pixel_id=question.pixel_id,
            with_marked=question.with_marked,
        )

    def rows(self, question: Question) -> list[OverviewRow]:
        """The rows of the overview that a question asks for."""
        return overview(
            self._engine,
            question.account,
            pixel_id=question.pixel_id,
            since=question.since,
            until=question.until,
            with_marked=question.with_marked,
        )

    async def _ask(self, request: Request) -> Question:
        visitor = await self._door.admit(request)
        return await read_question(request, visitor, self._catalog)

    async def _marked(self, question: Question) -> int:
        return await run_in_threadpool(
            marked_events,
            self._engine,
            question.account,
            pixel_id=question.pixel_id,
            since=question.since,
            until=question.until,
        )

    async def _read(self, report: Callable[..., list[_Row]], question: Question) -> list[_Row]:
        return await run_in_threadpool(
            report,
            self._engine,
            question.account,
            pixel_id=question.pixel_id,
            since=question.since,
            until=question.until,
            with_marked=question.with_marked,
        )


def routes(
    door: Access,
    catalog: Catalog,
    engine: Engine,
    files: Assets,
    statuses: Statuses,
    public_url: str,
) -> list[Route]:
    """The page and its twins, today's figures, and how the account is doing."""
    view = _Overview(door, catalog, engine, files, statuses, public_url)
    return [
        Route("/overview", view.page),
        Route("/overview.json", view.json),
        Route("/overview.csv", view.csv),
        Route("/today.json", view.today_json),
        Route("/today.csv", view.today_csv),
        *status_routes(door, catalog, statuses, view.rows),
    ]
