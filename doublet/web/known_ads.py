"""What is known of ads, as JSON and CSV."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.reports import as_csv
from doublet.reports.known_ads import KnownAdRow, known_ads
from doublet.web.access import Access
from doublet.web.parameters import read_account_question

_encode = msgspec.json.Encoder(decimal_format="number").encode


class _KnownAds:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine

    async def json(self, request: Request) -> Response:
        """The rows for programs."""
        return Response(_encode(await self._rows(request)), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The rows for spreadsheets."""
        rows = await self._rows(request)
        headers = {"content-disposition": 'attachment; filename="ads.csv"'}
        return Response(as_csv(rows, KnownAdRow), 200, headers, "text/csv")

    async def _rows(self, request: Request) -> list[KnownAdRow]:
        visitor = await self._door.admit(request)
        message = "Ads belong to the account, not to a pixel; leave pixel out."
        question = await read_account_question(request, visitor, self._catalog, message)

        def read() -> list[KnownAdRow]:
            limits = {"since": question.since, "until": question.until}
            return known_ads(self._engine, question.account, **limits)

        return await run_in_threadpool(read)


def routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """The twins."""
    view = _KnownAds(door, catalog, engine)
    return [Route("/ads.json", view.json), Route("/ads.csv", view.csv)]
