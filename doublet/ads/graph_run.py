"""The import of days from a host of the Graph Insights API: each page is durable before its place
is written down, so that whoever was cut off goes on behind it. A page that comes twice changes
nothing: of one ad and day the last row counts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doublet.accept import ad_day_record
from doublet.ads.graph import AdAccount, Asked, CursorError, GraphHost, TooMuchError, day_of
from doublet.catalog import Account
from doublet.deposit import deposit
from doublet.errors import DestinationError
from doublet.processes import FileLock
from doublet.refusal import Refusal
from doublet.settings import Settings

DAYS_AT_ONCE = 7
STALE_S = 86_400.0
"""An import that was cut off longer ago begins anew: what it has is no longer the latest."""

_TOLD_MAX = 20


class GraphPlan(NamedTuple):
    """What to ask of which host, and whose it is here. `platform` names the ads' platform. The days
    of a plan that is not `dated` are the latest, whichever they are when it goes on."""

    url: str
    asked: Asked
    account: Account
    platform: str
    dated: bool = True

    def key(self) -> str:
        """Names the same question, so that an import can go on."""
        asked = self.asked if self.dated else self.asked[:2]
        said = msgspec.json.encode((self.url, asked, self.account.account_id, self.platform))
        return blake2b(said, digest_size=12).hexdigest()


class State(msgspec.Struct):
    """How far an import is: the first day of those that are asked for now, how many at once, the
    last of them once a page has come, the place within them, and what was imported. `forgotten` is
    the first day of those whose place the host has forgotten once."""

    began_at: float
    since: date
    days_at_once: int = DAYS_AT_ONCE
    last: date | None = None
    after: str = ""
    rows: int = 0
    left_out: int = 0
    is_resumed: bool = False
    forgotten: date | None = None


class Outcome(NamedTuple):
    """What an import did: rows that are durable, with those of before it was cut off; rows that
    were left out, and why the first of them were; whether it went on."""

    rows: int
    left_out: int
    why: list[str]
    is_resumed: bool


OnProgress = Callable[[date, int], None]
"""Is told the first day that is not done yet, and how many rows are durable."""


def import_days(
    settings: Settings, host: GraphHost, plan: GraphPlan, on_progress: OnProgress | None = None
) -> Outcome:
    """Import all days that are asked for. Raises OperatorError and DestinationError; what was
    imported until then stays, and the next call goes on behind it."""
    lock = FileLock(settings.run_folder / "graph_import.lock", "An import from a Graph API")
    try:
        for old in settings.run_folder.glob("graph_import_*.json"):
            if _kept(old) is None:
                old.unlink(missing_ok=True)
        file = settings.run_folder / f"graph_import_{plan.key()}.json"
        state = _kept(file) or State(time.time(), plan.asked.since)
        why: list[str] = []
        resumed = state.is_resumed
        account = host.account(plan.asked.ad_account)
        while state.since <= plan.asked.until:
            _import_page(settings, host, plan, account, state, why)
            state.is_resumed = True
            _keep(file, state)
            if on_progress is not None:
                on_progress(state.since, state.rows)
        file.unlink(missing_ok=True)
        return Outcome(state.rows, state.left_out, why, resumed)
    finally:
        lock.release()


def _import_page(
    settings: Settings,
    host: GraphHost,
    plan: GraphPlan,
    account: AdAccount,
    state: State,
    why: list[str],
) -> None:
    """Make one page durable, and move the state behind it."""
    last = state.last or min(state.since + timedelta(state.days_at_once - 1), plan.asked.until)
    asked = plan.asked._replace(since=state.since, until=last)
    try:
        page = host.page(asked, state.after)
    except CursorError:
        # It has forgotten the place; its days begin anew, once.
        if state.forgotten == state.since:
            raise DestinationError(
                f"The host forgets its own place in the days from {state.since} on.",
                "Ask for less with --level adset or --level campaign, or run it again later.",
            ) from None
        state.last, state.after, state.forgotten = None, "", state.since
        return
    except TooMuchError:
        if state.days_at_once == 1:
            raise DestinationError(
                f"The host does not give as much as {state.since} has.",
                "Ask for less with --level adset or --level campaign.",
            ) from None
        state.days_at_once, state.last, state.after = max(1, state.days_at_once // 2), None, ""
        return
    with deposit(settings, plan.account.account_id) as slot:
        records = []
        for row in page.rows:
            made = ad_day_record(day_of(row, asked, account, plan.platform), slot.arrival())
            problem = made.message if isinstance(made, Refusal) else _several_days(row)
            if problem:
                state.left_out += 1
                if len(why) < _TOLD_MAX:
                    why.append(problem)
            elif isinstance(made, bytes):
                records.append(made)
        if records:
            slot.append(records)
    state.rows += len(records)
    state.last, state.after = (last, page.after) if page.after else (None, "")
    if not page.after:
        state.since = last + timedelta(days=1)


def _several_days(row: Mapping[str, Any]) -> str:
    """What is wrong with a row that is of more than a day; empty where it is of one."""
    begins, ends = row.get("date_start"), row.get("date_stop")
    if ends in (None, begins):
        return ""
    return f"A row is of the days from {begins} to {ends}: the host tells no single days."


def _kept(file: Path) -> State | None:
    try:
        state = msgspec.json.decode(file.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return state if time.time() - state.began_at < STALE_S else None


def _keep(file: Path, state: State) -> None:
    new = file.with_suffix(".new")
    with new.open("wb") as stream:
        stream.write(msgspec.json.encode(state))
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
