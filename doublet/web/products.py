"""Products over HTTP: how many of the content ids in events the feed knows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog
from doublet.engine import Engine
from doublet.products.match import Feed, Match, match
from doublet.web.access import Access
from doublet.web.parameters import read_question

DAYS_BEFORE = 30
"""So many days before today are looked at when none is named."""


def product_match(
    catalog: Catalog, engine: Engine, account: Account, since: date | None, until: date | None
) -> Match:
    """How events of some days, both included, fit the account's products; without any, of the
    last thirty."""
    account_id = account.account_id
    zone = ZoneInfo(account.time_zone)
    last = until or datetime.now(zone).date()
    first = since or last - timedelta(days=DAYS_BEFORE - 1)
    feed = Feed(catalog.products.ids(account_id), catalog.products.group_ids(account_id))
    return match(
        engine, account_id, feed, _start(first, zone), _start(last + timedelta(days=1), zone)
    )


def _start(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def product_routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """All addresses of it."""

    async def show(request: Request) -> Response:
        question = await read_question(request, await door.admit(request), catalog)
        found = await run_in_threadpool(
            product_match, catalog, engine, question.account, question.since, question.until
        )
        return Response(msgspec.json.encode(found), media_type="application/json")

    return [Route("/v1/products/match", show)]
