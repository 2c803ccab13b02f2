"""The import of days from a host of the Graph Insights API: each page is durable before its place
is written down, so that whoever was cut off goes on behind it. A page that comes twice changes
nothing: of one ad and day the last row counts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doublet.accept import ad_day_record
from doublet.accept.ad_days import AD_LEVELS
from doublet.accept.fields import Fault, plain, read_amount
from doublet.accept.steps import CURRENCIES
from doublet.ads.graph import AdAccount, Asked, CursorError, GraphHost, TooMuchError, day_of
from doublet.catalog import Account
from doublet.deposit import deposit
from doublet.errors import DestinationError
from doublet.event import WireAdDay
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
    left_out_impressions: int = 0
    left_out_spend: dict[str, Decimal] = msgspec.field(default_factory=dict)
    is_resumed: bool = False
    forgotten: date | None = None


class Outcome(NamedTuple):
    """What an import did: rows that are durable, with those of before it was cut off; rows that
    were left out, and why the first of them were; whether it went on. What was left out has so many
    impressions, and so much spend in each currency."""

    rows: int
    left_out: int
    why: list[str]
    is_resumed: bool
    left_out_impressions: int
    left_out_spend: dict[str, str]


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
        spend = {code: plain(amount) for code, amount in sorted(state.left_out_spend.items())}
        lost = (state.left_out_impressions, spend)
        return Outcome(state.rows, state.left_out, why, resumed, *lost)
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
            wire = day_of(row, asked, account, plan.platform)
            made = ad_day_record(wire, slot.arrival())
            problem = (
                _refused(made, asked.level) if isinstance(made, Refusal) else _several_days(row)
            )
            if problem:
                _leave_out(wire, state)
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


def _leave_out(wire: WireAdDay, state: State) -> None:
    """Count a row that is left out, with what it says in figures."""
    state.left_out += 1
    state.left_out_impressions += int(_figure(wire.impressions))
    spend = _figure(wire.spend)
    if spend:
        code = wire.currency if wire.currency in CURRENCIES else ""
        state.left_out_spend[code] = state.left_out_spend.get(code, Decimal()) + spend


def _figure(given: object) -> Decimal:
    """A figure of a row that may be wrong in any way; zero where it is no number."""
    try:
        return read_amount("figure", given)
    except Fault:
        return Decimal()


def _refused(refusal: Refusal, level: str) -> str:
    """Why a row is left out, and how to keep rows that name nothing of the level."""
    if refusal.field != f"{level}_id" or level == AD_LEVELS[0]:
        return refusal.message
    above = " or ".join(f"--level {each}" for each in AD_LEVELS[: AD_LEVELS.index(level)])
    return f"{refusal.message} Run it again with {above} to keep such rows."


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
