"""What is told of one event: its copies, what became of each, and the sentences for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec


class Copy(msgspec.Struct):
    """One copy, by time of receipt. `rule` says why it is of this event, `delay_s` how long after
    the first copy it came. Of user data only the keys are told."""

    source: str
    received_at: datetime
    delay_s: float
    rule: str
    is_kept: bool
    log_slot: int
    log_offset: int
    fields: dict[str, Any]
    custom_data: dict[str, Any]
    user_data_keys: list[str]
    flags: list[str]


class Difference(msgspec.Struct):
    """A field on which copies disagree: what each says, by the copy's number from 1. The values of
    user data are not told."""

    field: str
    says: dict[int, Any]


class Relayed(msgspec.Struct):
    """What became of the event at one destination; `name` and `kind` are empty once it is removed.

    `state` is waiting, ready, sent, failed or withheld, `reason` and `message` say why; `due_at` is
    when it was to be sent. The request, as long as it is remembered: when it was sent, with how
    many events, and what was answered. `trace` holds the event as it was `sent` and where what it
    lacked was taken from.
    """

    destination_id: str
    name: str
    kind: str
    state: str
    reason: str
    message: str
    due_at: datetime
    sent_at: datetime | None = None
    events: int | None = None
    http_status: int | None = None
    code: str = ""
    answer: str = ""
    trace: dict[str, Any] | None = None


Outlook = Callable[[Sequence[tuple[int, int]]], list[Relayed]]
"""What the relay did with an event that has copies at these places of the log."""


def nowhere(places: Sequence[tuple[int, int]]) -> list[Relayed]:
    """Nothing is relayed."""
    return []


class Touch(msgspec.Struct):
    """A click or view of an ad, or a visit from a campaign, by the event's person, that may claim
    the event: `age_s` before it. Names are those that the platform or an import gave."""

    touched_at: datetime
    age_s: int
    kind: str
    platform: str | None
    channel: str | None
    is_ad: bool
    campaign_id: str | None
    campaign_name: str | None
    adset_id: str | None
    adset_name: str | None
    ad_id: str | None
    ad_name: str | None
    is_last: bool
    """Whether the last touch under the account's attribution setting is this one."""


class Attributed(msgspec.Struct):
    """Whose the event is and which touches may claim it, the newest first, at most 50. `person_id`
    are digits, None when nobody is known; `events` is how many of the account's the person has."""

    person_id: str | None
    events: int
    setting: str
    touches: list[Touch] = []


class Story(msgspec.Struct):
    """One event, its copies and what was made of them; `sentences` tell it to people.

    `attributed` says which ads may claim it; None of what is no conversion, such as a PageView.
    `consent` is by purpose, null when nobody has said anything; `consent_of` says whether one of
    the copies bears it or the person's earlier events do.
    """

    account_id: str
    pixel_id: str
    event_name: str
    event_id: str | None
    event_time: int
    value: Decimal | None
    currency: str | None
    order_id: str | None
    kept_rule: str
    is_test: bool
    consent: dict[str, Any] | None
    consent_of: Literal["event", "person"] | None
    copies: list[Copy]
    differences: list[Difference]
    sentences: list[str]
    relayed: list[Relayed] = []
    attributed: Attributed | None = None
