"""How each destination is doing: counters that add up, how far behind it is, what hinders it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from doublet.accept.user_data import clean_user_data
from doublet.catalog import Destination
from doublet.destinations.policy import Stored
from doublet.errors import OperatorError
from doublet.event import money
from doublet.outbox import TO_DO, Outbox, now_us
from doublet.redact import redact
from doublet.refused.replay import merge_patch

_HOUR_US = 3_600_000_000
_STATES = ("waiting", "ready", "sent", "failed", "withheld")


class Hindrance(msgspec.Struct):
    """Why nothing is sent at present: the `verdict` of an answer (later, blocked, or done with a
    rate limit nearly used up), its message, since when, how often, and when it is tried again."""

    verdict: str
    message: str
    since: datetime
    failures: int
    until: datetime


class DestinationStatus(msgspec.Struct):
    """A destination's events by state; `events` is their sum. `reasons` says of failed and withheld
    ones why. `lag_s` is how long the longest waiting of those that are due has been due;
    `requests_last_hour` and their median and largest `seconds` tell how it answers."""

    destination_id: str
    name: str
    kind: str
    is_paused: bool
    events: int = 0
    waiting: int = 0
    ready: int = 0
    sent: int = 0
    failed: int = 0
    withheld: int = 0
    reasons: dict[str, dict[str, int]] = {}
    lag_s: float = 0.0
    hindrance: Hindrance | None = None
    requests_last_hour: int = 0
    seconds_median: float | None = None
    seconds_max: float | None = None
    last_answer: str | None = None
    last_sent_at: datetime | None = None


@contextmanager
def opened(file: Path) -> Iterator[Outbox | None]:
    """The outbox in a file; None where nothing was ever relayed."""
    if not file.exists():
        yield None
        return
    outbox = Outbox(file)
    try:
        yield outbox
    finally:
        outbox.close()


def status(outbox: Outbox | None, destinations: Iterable[Destination]) -> list[DestinationStatus]:
    """Of each of these; `outbox` is None where nothing was ever relayed."""
    return [_status(outbox, destination) for destination in destinations]


def _status(outbox: Outbox | None, destination: Destination) -> DestinationStatus:
    found = DestinationStatus(
        destination.destination_id,
        destination.name,
        destination.kind,
        destination.is_paused,
        reasons={"failed": {}, "withheld": {}},
    )
    if outbox is None:
        return found
    which = (destination.destination_id,)
    for state, reason, events in outbox.rows(
        "select state, reason, events from tallies where destination_id = ? and events > 0", which
    ):
        setattr(found, state, getattr(found, state) + events)
        if state in found.reasons:
            found.reasons[state][reason] = events
    found.events = sum(getattr(found, state) for state in _STATES)
    now = now_us()
    found.lag_s = _lag_s(outbox, destination.destination_id, now)
    pause = outbox.pauses().get(destination.destination_id)
    if pause is not None:
        found.hindrance = Hindrance(
            pause.verdict, pause.message, _at(pause.since_at), pause.failures, _at(pause.until_at)
        )
    seconds = [
        second
        for (second,) in outbox.rows(
            "select seconds from requests where destination_id = ? and sent_at >= ? "
            "order by seconds",
            (*which, now - _HOUR_US),
        )
    ]
    found.requests_last_hour = len(seconds)
    if seconds:
        found.seconds_median, found.seconds_max = seconds[len(seconds) // 2], seconds[-1]
    for sent_at, verdict, http_status, code in outbox.rows(
        "select sent_at, verdict, http_status, code from requests where destination_id = ? "
        "order by sent_at desc limit 1",
        which,
    ):
        found.last_sent_at = _at(sent_at)
        found.last_answer = " ".join(filter(None, (verdict, str(http_status or ""), code)))
    return found


def _lag_s(outbox: Outbox, destination_id: str, now: int) -> float:
    oldest = [
        due_at
        for state in ("waiting", "ready")
        for (due_at,) in outbox.rows(
            f"select min(due_at) from emissions where destination_id = ? and state = ? and {TO_DO}",
            (destination_id, state),
        )
        if due_at is not None
    ]
    return max(0.0, round((now - min(oldest)) / 1_000_000, 1)) if oldest else 0.0


def _at(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


class DeadLetter(msgspec.Struct):
    """An event that a destination did not take: the `reason` and what it said of it; `event` is
    what would be sent again, null when it is no longer kept."""

    emission_id: int
    reason: str
    message: str
    event_name: str
    event_id: str | None
    event_time: int
    failed_at: datetime
    event: dict[str, object] | None


def dead_letters(
    outbox: Outbox, destination_id: str, reason: str | None = None, limit: int = 1000
) -> list[DeadLetter]:
    """Newest first."""
    return [
        DeadLetter(*row[:6], _at(row[6]), msgspec.json.decode(row[7]) if row[7] else None)
        for row in outbox.failed(destination_id, reason, limit)
    ]


def replay(
    outbox: Outbox,
    destination_id: str,
    *,
    emission_ids: Collection[int] | None = None,
    reason: str | None = None,
    patch: dict[str, Any] | None = None,
) -> list[int]:
    """Let dead letters be sent again, mended by a merge patch (RFC 7396) of the event; see
    `Outbox.replay`. Raises OperatorError, and nothing is sent, where the patch makes of one what is
    no event."""

    def mend(payload: bytes) -> bytes:
        return _mended(msgspec.json.decode(payload), patch) if patch else payload

    return outbox.replay(destination_id, emission_ids=emission_ids, reason=reason, mend=mend)


_FIXED = ("account_id", "log_slot", "log_offset", "first_received_at")
_HINT = "`doublet destination failed DESTINATION --json` shows the event that is patched."


def _without_personal(patch: dict[str, Any]) -> dict[str, Any]:
    """The patch as an event is taken in: what is personal hashed, or removed."""
    clean: dict[str, Any] = redact({key: patch[key] for key in patch if key != "user_data"})
    user_data = patch.get("user_data")
    if not isinstance(user_data, dict):
        return clean | {key: patch[key] for key in patch if key == "user_data"}
    hashed: dict[str, Any] = {}
    for key, value in user_data.items():
        hashed[key] = None if value is None else clean_user_data({key: value}, []).get(key)
        if value is not None and hashed[key] is None:
            raise OperatorError(f"A value of {key} is none that an event could have.", _HINT)
    return clean | {"user_data": hashed}


def _mended(event: dict[str, Any], patch: dict[str, Any]) -> bytes:
    for name in patch:
        if name not in Stored.__struct_fields__ or name in _FIXED:
            raise OperatorError(f"An event has no field {name!r} that can be mended.", _HINT)
    merged = merge_patch(event, _without_personal(patch))
    if (value := merged.get("value")) is not None:
        merged["value"] = money(value)
        if merged["value"] is None:
            raise OperatorError(f"The value {value!r} is no sensible number.", _HINT)
    try:
        return msgspec.json.encode(msgspec.convert(merged, Stored))
    except msgspec.ValidationError as error:
        raise OperatorError(f"The patch does not fit: {error}.", _HINT) from None
