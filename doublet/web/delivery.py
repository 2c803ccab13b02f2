"""Campaigns that this server delivers: what they cost and brought, how far they have learned, and
holding them."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog, Creative, Role
from doublet.catalog.campaigns import GONE, id_of, key_of
from doublet.delivery.learning import stages
from doublet.delivery.listing import DeliveryRow, Figures, brought, listing
from doublet.delivery.objects import LEARNED_AT, Learning
from doublet.engine import Engine
from doublet.rates import load_rates
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access
from doublet.web.forms import Asked
from doublet.web.kept import Kept
from doublet.web.parameters import Question, read_account_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

STATUSES = {"pause": "PAUSED", "activate": "ACTIVE"}
"""What the forms do, by the last part of the address that they post to."""

WORDS = {
    "ACTIVE": "active",
    "PAUSED": "paused",
    "CAMPAIGN_PAUSED": "its campaign is paused",
    "ADSET_PAUSED": "its ad set is paused",
    "LEARNING": "learning",
    "SUCCESS": "learned",
    "FAIL": "learning limited",
    "WAIVING": "nothing to learn",
    "OFFSITE_CONVERSIONS": "conversions",
    "VALUE": "value",
    "LINK_CLICKS": "clicks",
    "IMPRESSIONS": "impressions",
    "REACH": "reach",
    "LOWEST_COST_WITHOUT_CAP": "lowest cost",
    "LOWEST_COST_WITH_BID_CAP": "bid cap",
    "COST_CAP": "cost cap",
    "LOWEST_COST_WITH_MIN_ROAS": "minimum ROAS",
}
"""The Marketing API's words as people say them."""


class _Delivery:
    def __init__(
        self, door: Access, catalog: Catalog, engine: Engine, rates: Path, kept: Kept
    ) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._rates = rates
        self._kept = kept

    async def page(self, request: Request) -> Response:
        """All of an account, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question = await self._question(request, visitor)
        rows, at = await run_in_threadpool(self._rows, question.account)
        return page.answer(
            "delivery.html",
            question=question,
            now=at.astimezone(ZoneInfo(question.account.time_zone)),
            rows=rows,
            words=WORDS,
            learned_at=LEARNED_AT,
        )

    async def json(self, request: Request) -> Response:
        """The same for programs."""
        question = await self._question(request, await self._door.admit(request))
        rows, _ = await run_in_threadpool(self._rows, question.account)
        body = msgspec.json.Encoder(decimal_format="number").encode(rows)
        return Response(body, media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        question = await self._question(request, await self._door.admit(request))
        rows, _ = await run_in_threadpool(self._rows, question.account)
        headers = {"content-disposition": 'attachment; filename="delivery.csv"'}
        return Response(as_csv(rows, DeliveryRow), 200, headers, "text/csv")

    def changing(self, name: str) -> Any:
        """The endpoint of a form that pauses or activates something."""

        async def endpoint(request: Request) -> Response:
            asked = await self._door.admit_to_change(request, Role.OWNER)
            await run_in_threadpool(self._change, asked, STATUSES[name])
            return RedirectResponse(f"/delivery?account={asked.account.account_id}", 303)

        return endpoint

    def _change(self, asked: Asked, status: str) -> None:
        object_id = asked.fields.get("object", "")
        found = self._catalog.campaigns.find(asked.account.account_id, object_id)
        if found is None or isinstance(found, Creative) or found.status in GONE:
            raise Refused(Refusal(Reason.NOT_FOUND, "There is nothing like it here.", "object"))
        self._catalog.campaigns.change(found, status=status)
        verb = f"{key_of(type(found)).removesuffix('_id')}.changed"
        asked.record(self._catalog, verb, found.name, id=id_of(found), status=status)

    async def _question(self, request: Request, visitor: Visitor) -> Question:
        message = "Campaigns are of the account, not of a pixel; leave pixel out."
        return await read_account_question(request, visitor, self._catalog, message)

    def _rows(self, account: Account) -> tuple[list[DeliveryRow], datetime]:
        """The rows as the catalog has them now, with figures as of a moment."""
        today = datetime.fromtimestamp(self._door.now(), ZoneInfo(account.time_zone)).date()
        version = self._catalog.campaigns.version()
        key = ("delivery", account, today, version)
        (learned, figures), at = self._kept.ask_as_of(key, lambda: self._figures(account, today))
        return listing(self._catalog, account, learned, figures), at

    def _figures(
        self, account: Account, today: Any
    ) -> tuple[dict[str, Learning], dict[str, Figures]]:
        account_id = account.account_id
        ad_sets = self._catalog.campaigns.ad_sets(account_id)
        if not ad_sets:
            return {}, {}
        rules = self._catalog.reporting.rules(account_id)
        rates = load_rates(self._rates, account_id, account.currency)
        return (
            stages(self._engine, account_id, rules, ad_sets, int(time.time())),
            brought(self._engine, account, rules, rates, today),
        )


def routes(door: Access, catalog: Catalog, engine: Engine, rates: Path, kept: Kept) -> list[Route]:
    """The page, its twins, and what its forms post to; `rates` is the folder of exchange rates,
    `kept` has what was found before."""
    view = _Delivery(door, catalog, engine, rates, kept)
    return [
        Route("/delivery", view.page),
        Route("/delivery.json", view.json),
        Route("/delivery.csv", view.csv),
        *(Route(f"/delivery/{name}", view.changing(name), methods=["POST"]) for name in STATUSES),
    ]
