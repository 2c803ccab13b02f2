"""What goes into the outbox and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

State = Literal["waiting", "ready", "sent", "failed", "withheld"]
Place = tuple[int, int]
"""Log slot and offset of a copy."""


class NewEmission(NamedTuple):
    """An event or correction that a destination may be sent; see the table `emissions`."""

    destination_id: str
    log_slot: int
    log_offset: int
    pixel_id: str
    event_name: str
    event_id: str | None
    event_time: int
    state: State
    reason: str
    due_at: int
    is_correction: bool = False


class Ready(NamedTuple):
    """An event that can be sent, as JSON; due at a moment in µs since 1970."""

    emission_id: int
    due_at: int
    payload: bytes


class Sent(NamedTuple):
    """An event that arrived, with what was sent of it as JSON."""

    emission_id: int
    trace: bytes


class Aside(NamedTuple):
    """An event that is not sent: `failed` (a dead letter) or `withheld`. `message` is the
    platform's answer or a sentence of ours; `trace` what was sent, where something was."""

    emission_id: int
    state: Literal["failed", "withheld"]
    reason: str
    message: str
    trace: bytes | None = None


class Asked(NamedTuple):
    """A request and what became of it."""

    destination_id: str
    sent_at: int
    seconds: float
    events: int
    verdict: str
    http_status: int
    code: str
    message: str


class Settled(NamedTuple):
    """A request, if there was one, and what it settles."""

    asked: Asked | None
    sent: Sequence[Sent]
    aside: Sequence[Aside]


class Pause(NamedTuple):
    """Until when a destination must not be asked; since when it has failed, how often, and why."""

    destination_id: str
    until_at: int
    since_at: int
    failures: int
    verdict: str
    message: str


class Sighting(NamedTuple):
    """What was last seen of an identifier in a browser's event at a place. `facts` and `consent`
    are JSON."""

    account_id: str
    identifier: str
    event_time: int
    log_slot: int
    log_offset: int
    event_name: str
    fbp: str | None
    facts: str
    consent: str | None
    consent_at: int | None
