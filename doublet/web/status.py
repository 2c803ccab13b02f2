"""How an account is doing: freshness, faults, relay, alerts, and the one thing to do next.

Faults are looked for in the background, since that reads many files: what is known is told at once,
with its moment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
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
from doublet.health import Health
from doublet.reports import OverviewRow
from doublet.reports.diagnostics import DiagnosticRow, diagnostics
from doublet.reports.quality import LABELS, QualityRow, quality, window
from doublet.web.access import Access
from doublet.web.parameters import Question, read_account_question

logger = logging.getLogger(__name__)

_LASTING_S = 120.0
_PAUSE = 9
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


class _Known(NamedTuple):
    at: datetime
    again_at_s: float
    faults: list[DiagnosticRow]
    quality: list[QualityRow]


class Checkup:
    """Looks for the faults of accounts, one at a time, and not again for two minutes, or for nine
    times as long as it took; what was found stays known meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, _Known] = {}
        self._looking = threading.Lock()

    def known(self, account: Account) -> _Known | None:
        """What was found last, None for nothing yet; begins to look again when that is old."""
        found = self._known.get(account.account_id)
        is_old = found is None or time.monotonic() > found.again_at_s
        if is_old and self._looking.acquire(blocking=False):
            threading.Thread(
                target=self._look, args=(account,), name="checkup", daemon=True
            ).start()
        return found

    def _look(self, account: Account) -> None:
        try:
            started_s = time.monotonic()
            today = datetime.now(ZoneInfo(account.time_zone)).date()
            since, until = window(None, None, today)
            faults = diagnostics(self._engine, account, since=since, until=until)
            found = quality(self._engine, account, since=since, until=until)
            now_s = time.monotonic()
            again_at_s = now_s + max(_LASTING_S, _PAUSE * (now_s - started_s))
            self._known[account.account_id] = _Known(datetime.now(UTC), again_at_s, faults, found)
        except Exception:
            # The page does without; the next one tries again.
            logger.exception("checkup-failed")
        finally:
            self._looking.release()


class Statuses:
    """Tells how an account is doing."""

    def __init__(
        self, catalog: Catalog, engine: Engine, outbox: Path, health: Callable[[], Health]
    ) -> None:
        self._catalog = catalog
        self._outbox = outbox
        self._health = health
        self._checkup = Checkup(engine)

    def of(self, account: Account, rows: Sequence[OverviewRow]) -> AccountStatus:
        """The status of an account whose overview has these rows."""
        known = self._checkup.known(account)
        freshness, relay = self._health(), self._relay(account)
        alerts = sum(
            row.closed_at is None
            for row in self._catalog.alerts(account.account_id, unsettled=True)
        )
        faults = None if known is None else _count(known)
        action = next_action(rows, freshness, relay, alerts, known)
        return AccountStatus(freshness, faults, relay, alerts, action)

    def _relay(self, account: Account) -> RelayState:
        with opened(self._outbox) as outbox:
            found = status(outbox, self._catalog.destinations(account.account_id))
        return RelayState(
            len(found),
            sum(each.hindrance is not None for each in found),
            sum(each.failed for each in found),
            max((each.lag_s for each in found), default=0.0),
        )


def _count(known: _Known) -> Faults:
    # A fault of three event names is one fault.
    by = {row.diagnostic: row.severity for row in known.faults}
    count = list(by.values()).count
    return Faults(count("high"), count("medium"), count("low"), known.at)


def next_action(
    rows: Sequence[OverviewRow],
    freshness: Health,
    relay: RelayState,
    alerts: int,
    known: _Known | None,
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
    return _one_sided(rows) or _advice(known) or _NOTHING


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


def _advice(known: _Known | None) -> Action | None:
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


def tell_age(as_of: datetime, now: datetime) -> str:
    """How long ago, as people say it.

    >>> tell_age(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
    '5 min ago'
    """
    age = now - as_of
    if age < timedelta(minutes=1):
        return "just now"
    if age < timedelta(hours=2):
        return f"{age // timedelta(minutes=1)} min ago"
    return f"{age // timedelta(hours=1)} h ago"
