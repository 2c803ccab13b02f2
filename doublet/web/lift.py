"""What ads have caused, from a holdout, as JSON."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.lift.report import (
    LIFT_WANTED,
    WINDOW_DAYS,
    WINDOW_DAYS_MAX,
    Asked,
    LiftReport,
    lift_report,
)
from doublet.rates import load_rates
from doublet.refusal import Reason, Refusal
from doublet.web.access import Access
from doublet.web.parameters import read_choice, read_question
from doublet.web.refused import Refused

_encode = msgspec.json.Encoder(decimal_format="number").encode


def routes(door: Access, catalog: Catalog, engine: Engine, rates: Path) -> list[Route]:
    """`/lift.json`, for whom the account's token or the operator's key lets in; `rates` is the
    folder of exchange rates."""

    async def answer(request: Request) -> Response:
        question = await read_question(request, await door.admit(request), catalog)
        if question.pixel_id is not None:
            message = "A person belongs to the account, not to a pixel; leave pixel out."
            raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "pixel"))
        given = request.query_params
        asked = Asked(
            event_name=given.get("event_name") or "Purchase",
            experiment=given.get("experiment") or None,
            campaign_id=given.get("campaign_id") or None,
            by_campaign=read_choice(request, "level", ("campaign", "experiment")) == "campaign",
            window_days=_days(request),
            since=question.since,
            until=question.until,
            holdout=_number(request, "holdout", 0.001, 0.999),
            lift=_number(request, "lift", 0.001, 100) or LIFT_WANTED,
        )

        def read() -> LiftReport:
            account = question.account
            known = load_rates(rates, account.account_id, account.currency)
            return lift_report(engine, account, known, asked, int(time.time()))

        report = await run_in_threadpool(read)
        return Response(_encode(report), media_type="application/json")

    return [Route("/lift.json", answer)]


def _days(request: Request) -> int:
    text = request.query_params.get("window_days") or str(WINDOW_DAYS)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= WINDOW_DAYS_MAX):
        message = f"window_days must be a whole number from 1 to {WINDOW_DAYS_MAX}."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "window_days"))
    return int(text)


def _number(request: Request, name: str, low: float, high: float) -> float | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        message = f"{name} must be a number from {low:g} to {high:g}."
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, name))
    return value
