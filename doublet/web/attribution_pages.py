"""The pages of attribution: what ads brought, paths, times, windows, differences.

Each shows a report of `doublet.reports.registry`, and has its twins at the same address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.reports.campaigns import claimed_by
from doublet.reports.credit import LEVELS
from doublet.reports.leads import duration
from doublet.reports.paths import PathsReport
from doublet.reports.time_to_conversion import TimeReport, TimeRow, span_label
from doublet.reports.windows import DEFAULT
from doublet.web import attribution_words as words
from doublet.web import page
from doublet.web.attribution import Answered, Reports, Usual, twins
from doublet.web.parameters import read_choice

USUAL: Usual = {"window": (DEFAULT,), "model": ("last_touch", "position_based")}
"""What the page of ads sets side by side where nobody chooses: the account's setting, by what
platforms report and by what also sees who opened the way. Models that learn from all journeys take
many times as long, and are for who asks for them."""

SHOW = ("all", "conversions", "value", "cost_per_action", "roas")
_ROWS_MAX = 200

Details = Callable[[Reports, Request, Answered], Mapping[str, Any]]


def _choices(given: Mapping[str, str], chosen: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Values and titles to choose from, and whether each is chosen."""
    return [(value, title, value in chosen) for value, title in given.items()]


def _cut(lines: Sequence[words.Line]) -> tuple[list[words.Line], int]:
    """The first rows, with what no ad claims behind them, and how many are left out."""
    claimed = [line for line in lines if line.row.is_attributed]
    others = [line for line in lines if not line.row.is_attributed]
    return [*claimed[:_ROWS_MAX], *others], max(0, len(claimed) - _ROWS_MAX)


def _ads(reports: Reports, request: Request, found: Answered) -> Mapping[str, Any]:
    """What ads cost and brought."""
    report, asked = found.report, found.meant
    lowest = max(
        (LEVELS.index("adset" if name == "adset_id" else "campaign") for name in asked.beneath),
        default=0,
    )
    shown = read_choice(request, "show", SHOW)
    shown_lines, hidden = _cut(words.lines(found))
    return {
        "claimed": claimed_by(
            report.rows, [(model, window) for model in asked.model for window in asked.windows()]
        ),
        "lines": shown_lines,
        "hidden": hidden,
        "moves": list(words.moves(report)),
        "crumbs": words.crumbs(found),
        "columns": [words.column_title(each, report) for each in report.total.results],
        "first_title": words.column_title(report.total.results[0], report),
        "models": _choices(words.MODELS, asked.model),
        "hints": words.MODEL_HINTS,
        "windows": _choices(words.WINDOWS, [each.window for each in report.total.results]),
        "levels": _levels(LEVELS[lowest:], asked.level),
        "row_title": words.row_title(asked.level),
        "shown": shown,
        "figures": _choices(
            {
                "all": "All figures",
                "conversions": "Conversions",
                "value": "Value",
                "cost_per_action": "Cost per conversion",
                "roas": "ROAS",
            },
            [shown],
        ),
        "setting": words.setting_in_words(report.setting),
    }


def _levels(names: Sequence[str], chosen: str) -> list[tuple[str, str, bool]]:
    return _choices({name: words.LEVEL_TITLES[name] for name in names}, [chosen])


def _paths(reports: Reports, request: Request, found: Answered) -> Mapping[str, Any]:
    """By which touches people came."""
    report: PathsReport = found.report
    several = sum(row.conversions for row in report.lengths if row.steps > 1)
    return {
        "rows": report.rows[:_ROWS_MAX],
        "hidden": max(0, len(report.rows) - _ROWS_MAX),
        "several": several,
        "bys": _choices({"channel": "Channels", "campaign": "Campaigns"}, [found.meant.by]),
    }


def _times(reports: Reports, request: Request, found: Answered) -> Mapping[str, Any]:
    """How long people take."""
    report: TimeReport = found.report
    by_touch: dict[str, list[TimeRow]] = {}
    for row in report.rows:
        by_touch.setdefault(row.from_touch, []).append(row)
    return {
        "quantiles": {each.from_touch: each for each in report.quantiles},
        "spans": list(zip(by_touch.get("first", []), by_touch.get("last", []), strict=True)),
    }


def _windows(reports: Reports, request: Request, found: Answered) -> Mapping[str, Any]:
    """What the window changes."""
    shown_lines, hidden = _cut(words.lines(found))
    return {
        "lines": shown_lines,
        "hidden": hidden,
        "levels": _levels(LEVELS, found.meant.level),
        "row_title": words.row_title(found.meant.level),
        "setting": words.setting_in_words(found.report.setting),
    }


def _differences(reports: Reports, request: Request, found: Answered) -> Mapping[str, Any]:
    """What platforms say otherwise."""
    levels = {"platform": "Platforms", "campaign": "Campaigns"}
    return {
        "levels": _choices(levels, [found.meant.level]),
        "setting": words.setting_in_words(found.report.setting),
        "platform_setting": words.setting_in_words(found.report.platform_setting),
        "parts": {
            "window": "Other window",
            "view_through": "Views",
            "time_zone": "Time zone",
            "deduplication": "Deduplication",
            "unattributed": "Not claimed here",
            "unexplained": "Unexplained",
        },
        "rows": found.report.rows[:_ROWS_MAX],
        "hidden": max(0, len(found.report.rows) - _ROWS_MAX),
    }


def _events(found: Answered, names: Sequence[str]) -> list[str]:
    """Names of events to choose from: those that there are, and what was asked for."""
    return list(dict.fromkeys([*found.asked.event_name, *names]))


async def _page(
    reports: Reports,
    name: str,
    template: str,
    usual: Usual,
    details: Details,
    request: Request,
) -> Response:
    """One page for people."""
    visitor = await reports.door.admit_to_page(request)
    if isinstance(visitor, Response):
        return visitor
    found = await reports.ask(name, usual, request, visitor, also=("show",))
    names = await run_in_threadpool(reports.event_names, found.question)
    return page.answer(
        template,
        question=found.question,
        now=found.at.astimezone(ZoneInfo(found.question.account.time_zone)),
        found=found,
        report=found.report,
        meant=found.meant,
        event_names=_events(found, names),
        duration=duration,
        span_label=span_label,
        window_titles=words.WINDOWS,
        as_share=as_share,
        conversions=conversions,
        **details(reports, request, found),
    )


def as_share(share: float | None) -> str:
    """A share (0–1) as people read it.

    >>> as_share(0.3334), as_share(None)
    ('33.3 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f}".removesuffix(".0") + " %"


def conversions(number: Decimal | int | None) -> str:
    """Conversions, of which models give parts.

    >>> conversions(Decimal("1234.56")), conversions(Decimal(7)), conversions(None)
    ('1,234.6', '7', 'not seen')
    """
    if number is None:
        return "not seen"
    return f"{number:,.1f}".removesuffix(".0").replace("-", "\N{MINUS SIGN}")


async def _to_attribution(reports: Reports, request: Request) -> Response:
    visitor = await reports.door.admit_to_page(request)
    if isinstance(visitor, Response):
        return visitor
    query = request.url.query
    return RedirectResponse(f"/attribution{'?' * bool(query)}{query}", 303)


_PAGES: tuple[tuple[str, str, str, Usual, Details], ...] = (
    ("/attribution", "campaigns", "attribution.html", USUAL, _ads),
    ("/paths", "paths", "paths.html", {}, _paths),
    ("/time_to_conversion", "time_to_conversion", "time_to_conversion.html", {}, _times),
    ("/windows", "windows", "windows.html", {}, _windows),
    ("/differences", "differences", "differences.html", {}, _differences),
)


def routes(reports: Reports) -> list[Route]:
    """The pages. The twins of all but the first have the names of their reports."""
    endpoints: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        (path, partial(_page, reports, name, template, usual, details))
        for path, name, template, usual, details in _PAGES
    ]
    return [
        *(Route(path, endpoint) for path, endpoint in endpoints),
        *twins(reports, "/attribution", "campaigns", USUAL),
        Route("/campaigns", partial(_to_attribution, reports)),
    ]
