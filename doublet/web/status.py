"""How an account is doing: freshness, faults, relay, alerts, and the one thing to do next.

Faults are looked for in the background, since that reads many files: what is known is told at once,
with its moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doublet.catalog import Account, Catalog
from doublet.destinations.status import opened, status
from doublet.engine import Engine
from doublet.errors import MemoryLimitError
from doublet.health import Health
from doublet.reports import OverviewRow
from doublet.reports.diagnostics import DiagnosticRow, diagnostics
from doublet.reports.quality import LABELS, QualityRow, quality, window
from doublet.web.access import Access
from doublet.web.kept import Kept
from doublet.web.parameters import Question, read_account_question
from doublet.web.quality import asked_of

_LASTING = timedelta(minutes=5)
_GAIN_MIN = 0.5
_SHARE_MIN = 0.5
_SALE = "Purchase"


class Action(msgspec.Struct):
    """The next best action: what to do, why, and the page where it is done."""

    title: str
    why: str
    path: str


class RelayState(msgspec.Struct):
    """All destinations of an account together: how many there are, how many of them cannot send,
    events that failed, and how long the longest waiting one has been due."""

    destinations: int
    hindered: int
    failed: int
    lag_s: float


class Faults(msgspec.Struct):
    """How many diagnostics were found in the last seven days, by severity, as of when."""

    high: int
    medium: int
    low: int
    as_of: datetime


class AccountStatus(msgspec.Struct):
    """How an account is doing. `faults` is None until they have been looked for."""

    freshness: Health
    faults: Faults | None
    relay: RelayState
    alerts: int
    next: Action


class Known(NamedTuple):
    """What is known of the last seven days, as of the older moment of both."""

    at: datetime
    faults: list[DiagnosticRow]
    quality: list[QualityRow]


class Statuses:
    """Tells how an account is doing."""

    def __init__(
        self,
        catalog: Catalog,
        engine: Engine,
        outbox: Path,
        health: Callable[[], Health],
        kept: Kept,
    ) -> None:
        self._catalog = catalog
        self._outbox = outbox
        self._health = health
        self._engine = engine
        self._kept = kept

    def of(self, account: Account, rows: Sequence[OverviewRow]) -> AccountStatus:
        """The status of an account whose overview has these rows."""
        known = self._known(account)
        freshness, relay = self._health(), self._relay(account)
        alerts = sum(
            row.closed_at is None
            for row in self._catalog.alerts(account.account_id, unsettled=True)
        )
        faults = None if known is None else _count(known)
        action = next_action(rows, freshness, relay, alerts, known)
        return AccountStatus(freshness, faults, relay, alerts, action)

    def _known(self, account: Account) -> Known | None:
        today = datetime.now(ZoneInfo(account.time_zone)).date()
        since, until = window(None, None, today)
        faults = self._kept.known(
            *asked_of(self._engine, diagnostics, account, since, until), lasting=_LASTING
        )
        found = self._kept.known(
            *asked_of(self._engine, quality, account, since, until), lasting=_LASTING
        )
        if faults is None or found is None:
            return None
        if isinstance(faults[0], MemoryLimitError) or isinstance(found[0], MemoryLimitError):
            return None
        return Known(min(faults[1], found[1]), faults[0], found[0])

    def _relay(self, account: Account) -> RelayState:
        with opened(self._outbox) as outbox:
            found = status(outbox, self._catalog.destinations(account.account_id))
        return RelayState(
            len(found),
            sum(each.hindrance is not None for each in found),
            sum(each.failed for each in found),
            max((each.lag_s for each in found), default=0.0),
        )


def _count(known: Known) -> Faults:
    # A fault of three event names is one fault.
    by = {row.diagnostic: row.severity for row in known.faults}
    count = list(by.values()).count
    return Faults(count("high"), count("medium"), count("low"), known.at)


def next_action(
    rows: Sequence[OverviewRow],
    freshness: Health,
    relay: RelayState,
    alerts: int,
    known: Known | None,
) -> Action:
    """What would help most now: what is broken goes first, then what misleads, then what could be
    better."""
    if not rows:
        return Action(
            "Bring the first event here",
            "The guide writes the code for your site and waits with you.",
            "/setup",
        )
    if freshness.status == "degraded":
        return Action("Look at the server", freshness.problem, "/overview")
    if alerts:
        return Action(
            "Look at the open alerts" if alerts > 1 else "Look at the open alert",
            "Something is unlike the same hour of earlier weeks.",
            "/alerts",
        )
    if relay.hindered:
        return Action(
            "Mend a destination", "An ad platform takes nothing from here at present.", "/relay"
        )
    if relay.failed:
        return Action(
            "Replay what an ad platform did not take",
            f"{relay.failed:,} events failed and can be sent again, mended if need be.",
            "/relay",
        )
    # Before faults have been looked for, nobody can say that there are none.
    return _one_sided(rows) or _advice(known) or (_UNKNOWN if known is None else _NOTHING)


_UNKNOWN = Action(
    "Wait a moment",
    "Whether something is wrong with the events is being looked at.",
    "/quality",
)


_NOTHING = Action(
    "Nothing needs doing",
    "Events arrive from both sides, and nothing grave is wrong with them.",
    "/quality",
)


def _one_sided(rows: Sequence[OverviewRow]) -> Action | None:
    row = next((row for row in rows if row.event_name == _SALE), None)
    if row is None or not row.events:
        return None
    if not row.server:
        return Action(
            "Report purchases from the server too",
            "Only browsers report them, and ad blockers hide a part of those.",
            "/setup",
        )
    if not row.browser:
        return Action(
            "Put the pixel on the site too",
            "Only the server reports purchases; the browser knows the click before them.",
            "/setup",
        )
    if row.both < _SHARE_MIN * min(row.browser_only + row.both, row.server_only + row.both):
        return Action(
            "Give both sides the same event id",
            f"Only {row.both:,} of {row.events:,} purchases are known to be the same on both.",
            "/quality",
        )
    return None


def _advice(known: Known | None) -> Action | None:
    if known is None:
        return None
    grave = next((row for row in known.faults if row.severity == "high"), None)
    if grave is not None:
        return Action(
            f"Mend: {grave.title}",
            f"{grave.affected:,} of {grave.total:,} {grave.event_name} events. {grave.fix}",
            "/quality",
        )
    scored = [row for row in known.quality if row.score is not None and row.gain]
    best = max(
        ((row, *max(row.gain.items(), key=lambda pair: pair[1])) for row in scored),
        key=lambda found: (found[0].event_name == _SALE, found[2]),
        default=None,
    )
    if best is None or best[2] < _GAIN_MIN:
        return None
    row, key, gain = best
    return Action(
        f"Send more of: {LABELS[key]}",
        f"It would lift the match quality of {row.event_name} by up to {gain:.1f} points of 10.",
        "/quality",
    )


def routes(
    door: Access,
    catalog: Catalog,
    statuses: Statuses,
    read_rows: Callable[[Question], list[OverviewRow]],
) -> list[Route]:
    """`/status.json`, for the account whose overview `read_rows` reads."""

    async def json(request: Request) -> Response:
        visitor = await door.admit(request)
        message = "A status is of an account, not of a pixel; leave pixel out."
        question = await read_account_question(request, visitor, catalog, message)
        found = await run_in_threadpool(lambda: statuses.of(question.account, read_rows(question)))
        return Response(msgspec.json.encode(found), media_type="application/json")

    return [Route("/status.json", json)]
