"""Destinations of an account: how each is doing, what it did not take, and sending that again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doublet.catalog import Catalog, Destination, Role
from doublet.destinations.kinds import KINDS
from doublet.destinations.status import (
    DeadLetter,
    DestinationStatus,
    dead_letters,
    opened,
    replay,
    status,
)
from doublet.errors import OperatorError
from doublet.refusal import Reason, Refusal
from doublet.reports import as_csv
from doublet.web import page
from doublet.web.access import Access
from doublet.web.forms import Asked
from doublet.web.parameters import Question, read_question
from doublet.web.refused import Refused
from doublet.web.visitor import Visitor

_LETTERS_MAX = 50


class RelayRow(msgspec.Struct):
    """A destination for spreadsheets; its events by state, see DestinationStatus."""

    name: str
    kind: str
    is_paused: bool
    events: int
    waiting: int
    ready: int
    sent: int
    failed: int
    withheld: int
    lag_s: float
    hindrance: str


class _Found(NamedTuple):
    row: DestinationStatus
    letters: list[DeadLetter]


class _Relay:
    def __init__(self, door: Access, catalog: Catalog, outbox_file: Path) -> None:
        self._door = door
        self._catalog = catalog
        self._file = outbox_file

    async def page(self, request: Request) -> Response:
        """All destinations, for people."""
        visitor = await self._door.admit_to_page(request)
        if isinstance(visitor, Response):
            return visitor
        question, found = await self._ask(request, visitor)
        titles = {name: kind.title for name, kind in KINDS.items()}
        done = request.query_params.get("done") or ""
        replayed = int(done) if done.isascii() and done.isdigit() and len(done) < 10 else None
        return page.answer(
            "relay.html", question=question, found=found, titles=titles, replayed=replayed
        )

    async def json(self, request: Request) -> Response:
        """The same for programs."""
        _, found = await self._ask(request, await self._door.admit(request))
        body = msgspec.json.encode([each.row for each in found])
        return Response(body, media_type="application/json")

    async def csv(self, request: Request) -> Response:
        """The counters for spreadsheets."""
        _, found = await self._ask(request, await self._door.admit(request))
        rows = [
            RelayRow(
                row.name,
                row.kind,
                row.is_paused,
                *(row.events, row.waiting, row.ready, row.sent, row.failed, row.withheld),
                row.lag_s,
                row.hindrance.message if row.hindrance else "",
            )
            for row, _ in found
        ]
        headers = {"content-disposition": 'attachment; filename="relay.csv"'}
        return Response(as_csv(rows, RelayRow), 200, headers, "text/csv")

    async def replay(self, request: Request) -> Response:
        """Send again what failed for a reason, mended by a merge patch if there is one."""
        asked = await self._door.admit_to_change(request, Role.ANALYST)
        patch = _read_patch(asked.fields.get("patch", ""))
        reason = asked.fields.get("reason") or None

        def act() -> int:
            destination = self._own(asked)
            with opened(self._file) as outbox:
                if outbox is None:
                    return 0
                found = replay(outbox, destination.destination_id, reason=reason, patch=patch)
            details = {"events": len(found), "reason": reason or "", "mended": sorted(patch)}
            asked.record(self._catalog, "destination.replayed", destination.name, **details)
            return len(found)

        return _back(asked, done=str(await run_in_threadpool(_told, act)))

    async def pause(self, request: Request) -> Response:
        """Hold a destination, or let it go on."""
        asked = await self._door.admit_to_change(request, Role.OWNER)
        is_paused = asked.fields.get("paused") == "1"

        def act() -> None:
            destination = self._own(asked)
            changed = msgspec.structs.replace(destination, is_paused=is_paused)
            self._catalog.save_destination(changed)
            what = "destination.paused" if is_paused else "destination.resumed"
            asked.record(self._catalog, what, destination.name)

        await run_in_threadpool(_told, act)
        return _back(asked)

    def _own(self, asked: Asked) -> Destination:
        which = asked.fields.get("destination", "")
        return self._catalog.destination(which, asked.account.account_id)

    async def _ask(self, request: Request, visitor: Visitor) -> tuple[Question, list[_Found]]:
        question = await read_question(request, visitor, self._catalog)

        def read() -> list[_Found]:
            with opened(self._file) as outbox:
                rows = status(outbox, self._catalog.destinations(question.account.account_id))
                return [
                    _Found(
                        row,
                        dead_letters(outbox, row.destination_id, limit=_LETTERS_MAX)
                        if outbox
                        else [],
                    )
                    for row in rows
                ]

        return question, await run_in_threadpool(read)


def _told(act: Any) -> Any:
    """What an action gives. Raises Refused where an operator has to do something else."""
    try:
        return act()
    except OperatorError as error:
        message = f"{error.message} {error.hint or ''}".strip()
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message)) from None


def _read_patch(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except (msgspec.MsgspecError, UnicodeError):
        message = 'The patch is a JSON object, such as {"currency": "EUR"}.'
        raise Refused(Refusal(Reason.PARAMETER_INVALID, message, "patch")) from None


def _back(asked: Asked, **parameters: str) -> Response:
    """To the page, so that loading it again repeats nothing."""
    if asked.visitor.names_account:
        parameters["account"] = asked.account.account_id
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return RedirectResponse(f"/relay?{query}" if query else "/relay", 303)


def routes(door: Access, catalog: Catalog, outbox_file: Path) -> list[Route]:
    """The page, its twins, and what it changes."""
    view = _Relay(door, catalog, outbox_file)
    return [
        Route("/relay", view.page),
        Route("/relay.json", view.json),
        Route("/relay.csv", view.csv),
        Route("/relay/replay", view.replay, methods=["POST"]),
        Route("/relay/pause", view.pause, methods=["POST"]),
    ]
