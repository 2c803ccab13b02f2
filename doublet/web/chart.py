"""Events over time: the rows, and the picture that a browser without script shows."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.refusal import Reason, Refusal
from doublet.reports import TimelineRow, as_csv, as_json, timeline
from doublet.web.access import Access
from doublet.web.parameters import read_choice, read_question
from doublet.web.refused import Refused
from doublet.web.render import render

_SIZE = {"width": 960, "height": 220}
_PICTURES_MAX = 64


@cache
def chart_file(name: str) -> Any:
    """What a file of `charts` holds; not to be changed."""
    text = files("doublet.web").joinpath("charts", name).read_text("utf-8")
    return json.loads(text)


def timeline_specification(rows: Sequence[TimelineRow], scheme: str) -> dict[str, Any]:
    """The chart with its rows and a size of its own, in a colour scheme (light or dark).

    Moments become milliseconds on the clocks of the account's zone, drawn as if they were UTC, so
    that the picture is the same wherever it is drawn.
    """
    values = [
        {
            "start": _clock_ms(row.start),
            "end": _clock_ms(row.end),
            "both": row.both,
            "browser_only": row.browser_only,
            "server_only": row.server_only,
        }
        for row in rows
    ]
    specification = chart_file("timeline.vl.json")
    config = chart_file("schemes.json")[scheme]
    return {
        **specification,
        **_SIZE,
        "data": {"name": "timeline", "values": values},
        "config": config,
    }


def _clock_ms(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1000


class Pictures:
    """Draws one picture at a time and keeps the newest, by what they show."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._drawing = threading.Lock()

    def draw(self, specification: dict[str, Any]) -> str:
        """A specification as SVG. Raises Refused when the drawing engine fails."""
        text = json.dumps(specification)
        with self._drawing:
            if text not in self._kept:
                try:
                    self._kept[text] = render("svg", text)
                except RuntimeError as error:
                    raise Refused(Refusal(Reason.BUSY, "The chart could not be drawn.")) from error
            self._kept.move_to_end(text)
            if len(self._kept) > _PICTURES_MAX:
                self._kept.popitem(last=False)
            return self._kept[text]


class _Chart:
    def __init__(self, door: Access, catalog: Catalog, engine: Engine) -> None:
        self._door = door
        self._catalog = catalog
        self._engine = engine
        self._pictures = Pictures()

    async def json(self, request: Request) -> Response:
        """The rows for programs, and for the page's own script."""
        return Response(as_json(await self._ask(request)), media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The rows for spreadsheets."""
        text = as_csv(await self._ask(request), TimelineRow)
        headers = {"content-disposition": 'attachment; filename="timeline.csv"'}
        return Response(text, 200, headers, "text/csv")

    async def svg(self, request: Request) -> Response:
        """The picture, in the colours of `scheme`."""
        rows = await self._ask(request)
        scheme = read_choice(request, "scheme", ("light", "dark"))
        specification = timeline_specification(rows, scheme)
        picture = await run_in_threadpool(self._pictures.draw, specification)
        return Response(picture, media_type="image/svg+xml")

    async def _ask(self, request: Request) -> list[TimelineRow]:
        visitor = await self._door.admit(request)
        question = await read_question(request, visitor, self._catalog)
        return await run_in_threadpool(
            timeline,
            self._engine,
            question.account,
            pixel_id=question.pixel_id,
            event_name=request.query_params.get("event_name") or None,
            since=question.since,
            until=question.until,
            with_marked=question.with_marked,
        )


def routes(door: Access, catalog: Catalog, engine: Engine) -> list[Route]:
    """The twins of the chart on the first page."""
    view = _Chart(door, catalog, engine)
    return [
        Route("/timeline.json", view.json),
        Route("/timeline.csv", view.csv),
        Route("/timeline.svg", view.svg),
    ]
