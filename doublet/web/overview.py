"""The first page: what arrived from both sides, what it makes together, what that was worth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import NamedTuple
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.pixel import snippet
from doublet.reports import OverviewRow, as_csv, as_json, overview
from doublet.web import page
from doublet.web.access import Access
from doublet.web.assets import Assets
from doublet.web.parameters import Question, read_question

_SALE = "Purchase"


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
        self, door: Access, catalog: Catalog, engine: Engine, files: Assets, public_url: str
    ) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._files = files
        self._public_url = public_url

    async def page(self, request: Request) -> Response:
        """Figures for people; the first steps while there are none."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await read_question(request, visitor, self._catalog)
        rows = await self._rows(question)
        self._files.prepare()
        pixel = question.pixels[0].pixel_id if question.pixels else None
        return page.answer(
            "overview.html",
            question=question,
            rows=rows,
            by_currency=partial(by_currency, currency=question.account.currency),
            headline=headline(rows, question.account.currency),
            pixel_id=pixel,
            snippet=snippet(pixel, self._public_url) if pixel else "",
            curl=_curl(pixel, self._public_url, question.account.currency) if pixel else "",
            public_url=self._public_url,
            now=datetime.now(ZoneInfo(question.account.time_zone)),
        )

    async def json(self, request: Request) -> Response:
        """The rows for programs."""
        return Response(as_json(await self._ask(request)), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The rows for spreadsheets."""
        text = as_csv(await self._ask(request), OverviewRow)
        headers = {"content-disposition": 'attachment; filename="overview.csv"'}
        return Response(text, 200, headers, "text/csv")

    async def _ask(self, request: Request) -> list[OverviewRow]:
        visitor = await self._door.admit(request)
        return await self._rows(await read_question(request, visitor, self._catalog))

    async def _rows(self, question: Question) -> list[OverviewRow]:
        return await run_in_threadpool(
            overview,
            self._engine,
            question.account,
            pixel_id=question.pixel_id,
            since=question.since,
            until=question.until,
        )


def routes(
    door: Access, catalog: Catalog, engine: Engine, files: Assets, public_url: str
) -> list[Route]:
    """The page and its twins."""
    view = _Overview(door, catalog, engine, files, public_url)
    return [
        Route("/overview", view.page),
        Route("/overview.json", view.json),
        Route("/overview.csv", view.csv),
    ]
