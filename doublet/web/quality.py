"""The page on the quality of what arrives, and its twins `/quality.json` and
`/diagnostics.json`, both with `.csv`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import date, datetime
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog
from doublet.engine import Engine
from doublet.errors import MemoryLimitError
from doublet.reports import as_csv, as_json
from doublet.reports.diagnostics import DIAGNOSTICS, DiagnosticRow, diagnostics
from doublet.reports.quality import (
    COVERAGE_GOAL_SHARE,
    LABELS,
    QualityKeyRow,
    QualityRow,
    by_key,
    grade,
    quality,
    window,
)
from doublet.web import page
from doublet.web.access import Access
from doublet.web.kept import Kept
from doublet.web.parameters import Question, read_question
from doublet.web.visitor import Visitor

_Row = TypeVar("_Row")
_SALE = "Purchase"

# Whoever may send events chooses their names, any number of them.
_NAMES_MAX = 50
_FAULTS_MAX = 100
_FAULTS_WAIT_S = 20.0
_DAYS_MAX = 31


class Key(NamedTuple):
    """What one key makes of a score, and what people and the wire call it."""

    label: str
    wire_names: tuple[str, ...]
    row: QualityKeyRow


def chosen_row(rows: Sequence[QualityRow], event_name: str | None) -> QualityRow | None:
    """The row that is shown in full: of the name that was asked for, otherwise purchases,
    otherwise the most frequent that has a score."""
    scored = {row.event_name: row for row in rows if row.score is not None}
    return scored.get(event_name or _SALE) or next(iter(scored.values()), None)


def keys_of(row: QualityRow) -> list[Key]:
    """All keys of a row, what would add most first."""
    keys = [
        Key(LABELS[found.key], _WIRE_NAMES.get(found.key, (found.key,)), found)
        for found in by_key([row])
    ]
    return sorted(keys, key=lambda key: (-key.row.gain, -key.row.points, key.label))


def by_fault(rows: Sequence[DiagnosticRow]) -> list[list[DiagnosticRow]]:
    """The rows of each diagnostic together, the gravest and most frequent first."""
    found: dict[str, list[DiagnosticRow]] = {}
    for row in rows:
        found.setdefault(row.diagnostic, []).append(row)
    return sorted(found.values(), key=lambda rows: _SEVERITIES.index(rows[0].severity))


_SEVERITIES = ("high", "medium", "low")
_WIRE_NAMES = {"ip_and_ua": ("client_ip_address", "client_user_agent"), "fn_and_ln": ("fn", "ln")}


class _Quality:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine, kept: Kept) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._kept = kept

    async def page(self, request: Request) -> Response:
        """Scores, what makes them and what is wrong, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, since, until = await self._read(request, visitor)
        rows, rows_as_of = await self._look_up(quality, question, since, until)
        key, find = asked_of(
            self._engine, diagnostics, question.account, since, until, question.pixel_id
        )
        looked = await run_in_threadpool(self._kept.ask_within, key, find, _FAULTS_WAIT_S)
        faults, faults_as_of = looked or ([], rows_as_of)
        if isinstance(rows, MemoryLimitError):
            raise rows
        problem = faults if isinstance(faults, MemoryLimitError) else None
        faults = [] if isinstance(faults, MemoryLimitError) else faults
        chosen = chosen_row(rows, request.query_params.get("event_name"))
        return page.answer(
            "quality.html",
            question=question,
            since=since,
            until=until,
            rows=rows[:_NAMES_MAX],
            more_rows=len(rows[_NAMES_MAX:]),
            chosen=chosen,
            keys=keys_of(chosen) if chosen else [],
            grade=grade,
            goal=COVERAGE_GOAL_SHARE,
            known=len(DIAGNOSTICS),
            days_max=_DAYS_MAX,
            faults=by_fault(faults[:_FAULTS_MAX]),
            more_faults=len(faults[_FAULTS_MAX:]),
            problem=problem,
            is_looking=looked is None,
            found_at=min(rows_as_of, faults_as_of),
        )

    async def quality_json(self, request: Request) -> Response:
        """Match quality per event name."""
        rows: list[QualityRow] = await self._ask(quality, request)
        return Response(as_json(rows), media_type="application/json")

    async def quality_csv(self, request: Request) -> Response:
        """The same for spreadsheets, a row per event name and key."""
        rows: list[QualityRow] = await self._ask(quality, request)
        headers = {"content-disposition": 'attachment; filename="quality.csv"'}
        return Response(as_csv(by_key(rows), QualityKeyRow), 200, headers, "text/csv")

    async def diagnostics_json(self, request: Request) -> Response:
        """What is wrong, per diagnostic and event name."""
        rows: list[DiagnosticRow] = await self._ask(diagnostics, request)
        return Response(as_json(rows), media_type="application/json")

    async def diagnostics_csv(self, request: Request) -> Response:
        """The same for spreadsheets."""
        rows: list[DiagnosticRow] = await self._ask(diagnostics, request)
        headers = {"content-disposition": 'attachment; filename="diagnostics.csv"'}
        return Response(as_csv(rows, DiagnosticRow), 200, headers, "text/csv")

    async def _ask(self, report: Callable[..., list[_Row]], request: Request) -> list[_Row]:
        visitor = await self._door.admit(request)
        question, since, until = await self._read(request, visitor)
        event_name = request.query_params.get("event_name") or None
        return await self._report(report, question, event_name, since, until)

    async def _read(self, request: Request, visitor: Visitor) -> tuple[Question, date, date]:
        """The question and the days that it means: seven where it names none."""
        question = await read_question(request, visitor, self._catalog)
        today = datetime.now(ZoneInfo(question.account.time_zone)).date()
        return question, *window(question.since, question.until, today)

    async def _report(
        self,
        report: Callable[..., list[_Row]],
        question: Question,
        event_name: str | None,
        since: date,
        until: date,
    ) -> list[_Row]:
        key, find = asked_of(
            self._engine, report, question.account, since, until, question.pixel_id, event_name
        )
        found = await run_in_threadpool(self._kept.ask, key, find)
        if isinstance(found, MemoryLimitError):
            raise found
        return found

    async def _look_up(
        self, report: Callable[..., list[_Row]], question: Question, since: date, until: date
    ) -> tuple[list[_Row] | MemoryLimitError, datetime]:
        """What a page shows, which says of which moment it is."""
        key, find = asked_of(
            self._engine, report, question.account, since, until, question.pixel_id
        )
        return await run_in_threadpool(self._kept.ask_as_of, key, find)


def asked_of(
    engine: Engine,
    report: Callable[..., list[_Row]],
    account: Account,
    since: date,
    until: date,
    pixel_id: str | None = None,
    event_name: str | None = None,
) -> tuple[Hashable, Callable[[], list[_Row] | MemoryLimitError]]:
    """What names a question of quality among the answers that are kept, and what finds its answer;
    `report` is `quality` or `diagnostics`. That the answer needs too much memory is kept like any
    other, so that nobody looks for it in vain again and again."""

    def find() -> list[_Row] | MemoryLimitError:
        try:
            return report(
                engine,
                account,
                pixel_id=pixel_id,
                event_name=event_name,
                since=since,
                until=until,
            )
        except MemoryLimitError as error:
            return error

    names = (account.account_id, account.time_zone, pixel_id, event_name)
    return (report.__name__, *names, since, until), find


def routes(door: Access, catalog: Catalog, engine: Engine, kept: Kept) -> list[Route]:
    """The page and its twins; `kept` has what was found before."""
    view = _Quality(door, catalog, engine, kept)
    return [
        Route("/quality", view.page),
        Route("/quality.json", view.quality_json),
        Route("/quality.csv", view.quality_csv),
        Route("/diagnostics.json", view.diagnostics_json),
        Route("/diagnostics.csv", view.diagnostics_csv),
    ]
