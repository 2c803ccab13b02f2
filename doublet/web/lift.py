"""What ads have caused, from a holdout: the page with its twins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.lift.estimate import Effect
from doublet.lift.report import (
    LIFT_WANTED,
    WINDOW_DAYS,
    WINDOW_DAYS_MAX,
    Asked,
    LiftReport,
    LiftRow,
    OutcomeRow,
    lift_report,
    outcome_rows,
)
from doublet.rates import load_rates
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.reports.conversions import event_names
from doublet.reports.credit import campaign_names
from doublet.web import page
from doublet.web.access import Access
from doublet.web.parameters import Question, read_account_question, read_choice
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_encode = msgspec.json.Encoder(decimal_format="number").encode

_ROWS_MAX = 60
_AXIS = 1000


class Interval(NamedTuple):
    """A lift as a line on an axis from 0 to 1000 that all rows share: where nothing changes, where
    the interval begins, how long it is, and where the figure lies."""

    zero: int
    start: int
    length: int
    figure: int


class _Lift:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, rates: Path) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._rates = rates

    async def page(self, request: Request) -> Response:
        """The rows for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, asked, report = await self._ask(request, visitor)

        def look_up() -> tuple[dict[str, str], list[str]]:
            given = {"account_id": question.account.account_id}
            return campaign_names(self._engine, given), event_names(self._engine, question.account)

        names, events = await run_in_threadpool(look_up)
        rows = report.rows[:_ROWS_MAX]
        given = request.query_params
        typed = {name: given[name] for name in _TYPED if given.get(name)}
        return page.answer(
            "lift.html",
            question=question,
            asked=asked,
            typed=typed,
            report=report,
            rows=list(zip(rows, intervals(rows), strict=True)),
            hidden=len(report.rows) - len(rows),
            names=names,
            event_names=list(dict.fromkeys([asked.event_name, *events])),
            percent=_percent,
            signed=_signed,
            verdicts=_VERDICTS,
        )

    async def json(self, request: Request) -> Response:
        """The report for programs."""
        _, _, report = await self._ask(request, await self._door.admit(request))
        return Response(_encode(report), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """Its outcomes for spreadsheets."""
        _, _, report = await self._ask(request, await self._door.admit(request))
        headers = {"content-disposition": 'attachment; filename="lift.csv"'}
        return Response(as_csv(outcome_rows(report), OutcomeRow), 200, headers, "text/csv")

    async def _ask(self, request: Request, visitor: Visitor) -> tuple[Question, Asked, LiftReport]:
        message = "A person belongs to the account, not to a pixel; leave pixel out."
        question = await read_account_question(request, visitor, self._catalog, message)
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
            known = load_rates(self._rates, account.account_id, account.currency)
            return lift_report(self._engine, account, known, asked, int(time.time()))

        return question, asked, await run_in_threadpool(read)


_TYPED = ("event_name", "experiment", "campaign_id", "level", "window_days", "holdout", "lift")
_VERDICTS = {
    "more": "More with the ads",
    "fewer": "Fewer with the ads",
    "not shown": "No effect shown",
    "not enough data": "Not enough data",
    "mismatched": "The arms do not compare",
}


def routes(door: Access, catalog: Catalog, engine: Engine, rates: Path) -> list[Route]:
    """The page with its twins; `rates` is the folder of exchange rates."""
    view = _Lift(door, catalog, engine, rates)
    return [
        Route("/lift", view.page),
        Route("/lift.json", view.json),
        Route("/lift.csv", view.csv),
    ]


def intervals(rows: list[LiftRow]) -> list[Interval | None]:
    """The lift of each row's conversions on one axis; None where no figure is given."""
    effects = [row.conversions for row in rows]
    known = [effect for effect in effects if effect is not None]
    low = min((effect.lift_low for effect in known), default=0.0)
    high = max((effect.lift_high for effect in known), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    width = (high - low) or 1.0

    def place(share: float) -> int:
        return round((share - low) / width * _AXIS)

    def drawn(effect: Effect | None) -> Interval | None:
        if effect is None:
            return None
        start, end = place(effect.lift_low), place(effect.lift_high)
        return Interval(place(0.0), start, max(end - start, 1), place(effect.lift))

    return [drawn(effect) for effect in effects]


def _percent(share: float, *, is_signed: bool = True) -> str:
    return f"{100 * share:{'+' if is_signed else ''},.1f} %".replace("-", "\N{MINUS SIGN}")


def _signed(number: float) -> str:
    return f"{number:+,.0f}".replace("-", "\N{MINUS SIGN}")


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
