"""What of an event goes to a destination: gates, enrichment, value rules, new names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from doublet.accept.steps import LIMITED
from doublet.catalog import Destination
from doublet.destinations.contract import Kind, Outgoing
from doublet.event import MONEY_MAX, money

DEDUPLICATION_WINDOW_S = 48 * 3600
"""So long Meta joins a server's copy to the browser's (*Deduplicate pixel and server events*)."""

BROWSERS_MAX = 20
"""An identifier that came from more browsers is not one person's."""

_CONNECTION_AGE_MAX_S = 7 * 86_400
"""So long address and browser are taken for those of the same person."""

_CONSENT = "consent"
_FROM_CONNECTION = ("client_ip_address", "client_user_agent")
_FILLED = ("fbc", "fbp", *_FROM_CONNECTION, "external_id")
_CONSENT_KEYS = ("external_id", "em", "ph", "fbp")
_STEP = Decimal("0.0001")


class Stored(msgspec.Struct):
    """A row of `events_deduplicated` as the outbox holds it. `first_received_at` is in
    microseconds; the place is that of the copy that stands for the event in the ledger."""

    account_id: str
    pixel_id: str
    event_name: str
    event_time: int
    log_slot: int
    log_offset: int
    first_received_at: int
    event_id: str | None = None
    action_source: str | None = None
    event_source_url: str | None = None
    user_data: dict[str, Any] | None = None
    value: str | None = None
    currency: str | None = None
    order_id: str | None = None
    custom_data: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    consent: dict[str, Any] | None = None
    flags: list[str] | None = None
    browser_copies: int = 0
    server_copies: int = 0
    is_correction: bool = False
    corrects: str | None = None


decode_stored = msgspec.json.Decoder(Stored).decode


class Seen(NamedTuple):
    """What was last seen of an identifier in a browser's event."""

    event_time: int
    event_name: str
    facts: dict[str, Any]
    consent: dict[str, Any] | None
    consent_at: int | None
    browsers: int


Look = Callable[[str], Seen | None]
"""Finds an identifier, as `KEY=VALUE`, of the event's account."""


class Origin(msgspec.Struct):
    """Where a value was filled in from: by which key, from which event."""

    of: str
    event_name: str
    event_time: int


class Planned(NamedTuple):
    """An event to be sent, which of its user data were filled in, and whose consent counted."""

    event: Outgoing
    filled: dict[str, Origin]
    consent_of: str | None


class Kept(NamedTuple):
    """An event that is not sent: withheld on purpose, or a dead letter that somebody may mend."""

    is_failure: bool
    reason: str
    message: str


def plan(
    stored: Stored, destination: Destination, kind: Kind, now_s: float, look: Look
) -> Planned | Kept:
    """What becomes of an event at this moment (Unix seconds)."""
    rules = destination.rules
    user_data = {key: value for key, value in (stored.user_data or {}).items() if value}
    consent, consent_of = _consent(stored, user_data, look)
    if (kept := _gate_of_consent(consent, destination, kind)) is not None:
        return kept
    extra = dict(stored.extra or {})
    # A browser that names no purpose has said nothing on consent, but may ask for privacy.
    said = [consent, extra.get(_CONSENT)]
    has_gpc = any(isinstance(each, dict) and each.get("gpc") for each in said)
    is_limited = LIMITED in (stored.flags or ()) or has_gpc
    if consent is not None:
        # What counted, also where it is not that of the copy whose `extra` stands.
        extra[_CONSENT] = consent
    if is_limited and (rules.limited == "withhold" or not kind.tells_limits):
        return Kept(False, "limited", "Its data may be used in a limited way only.")
    # Who gives no source may mean the website.
    may_be_reported = stored.action_source in (None, "website") or stored.browser_copies > 0
    if rules.mode == "beside" and may_be_reported and not stored.is_correction:
        if stored.event_id is None:
            return Kept(False, "no_event_id", "The platform could not know it from its pixel's.")
        if now_s - stored.event_time > DEDUPLICATION_WINDOW_S:
            message = "The platform's own pixel may have reported it more than 48 hours ago."
            return Kept(False, "beyond_48_h", message)
    filled = _fill(stored, user_data, look) if not stored.browser_copies else {}
    value = _value(stored, destination)
    if isinstance(value, Kept):
        return value
    event = Outgoing(
        rules.rename.get(stored.event_name, stored.event_name),
        stored.event_id or f"doublet-{stored.log_slot}-{stored.log_offset}",
        stored.event_time,
        stored.pixel_id,
        stored.action_source,
        stored.event_source_url,
        user_data,
        value,
        stored.currency,
        stored.order_id,
        stored.custom_data or {},
        extra,
        is_limited,
        stored.corrects,
    )
    if unfit := kind.unfit(destination, event):
        return Kept(False, "unfit", unfit)
    age_max_s = kind.age_max_s(event)
    if age_max_s is not None and now_s - event.event_time > age_max_s:
        days = f"{(now_s - event.event_time) / 86_400:.1f}"
        return Kept(True, "too_old", f"It is {days} days old; {age_max_s / 86_400:g} are allowed.")
    return Planned(event, filled, consent_of)


# --- consent ---------------------------------------------------------------------------------


def _consent(
    stored: Stored, user_data: dict[str, Any], look: Look
) -> tuple[dict[str, Any] | None, str | None]:
    """The event's own word on consent, else the last one of its person."""
    if stored.consent is not None:
        return stored.consent, "event"
    latest: Seen | None = None
    for identifier in _identifiers(user_data, _CONSENT_KEYS):
        seen = look(identifier)
        if seen is None or seen.consent is None or seen.browsers > BROWSERS_MAX:
            continue
        if latest is None or (seen.consent_at or 0) > (latest.consent_at or 0):
            latest = seen
    return (latest.consent, "person") if latest is not None else (None, None)


def _gate_of_consent(
    consent: dict[str, Any] | None, destination: Destination, kind: Kind
) -> Kept | None:
    rule = destination.rules.consent
    if rule == "ignored":
        return None
    said = {purpose: (consent or {}).get(purpose) for purpose in kind.purposes}
    denied = [purpose for purpose, word in said.items() if word == "denied"]
    if denied:
        return Kept(False, "consent_denied", f"{', '.join(denied)} was denied.")
    missing = [purpose for purpose, word in said.items() if word != "granted"]
    if rule == "granted" and missing:
        return Kept(False, "consent_missing", f"{', '.join(missing)} was not granted.")
    return None


# --- enrichment ------------------------------------------------------------------------------


def _identifiers(user_data: dict[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        values = user_data.get(key) or ()
        for value in [values] if isinstance(values, str) else values:
            yield f"{key}={value}"


def _fill(stored: Stored, user_data: dict[str, Any], look: Look) -> dict[str, Origin]:
    """Fill what a server or CRM event lacks from the browser's event of the same order, lead or
    person; the first that has it gives it."""
    filled: dict[str, Origin] = {}
    missing = [key for key in _FILLED if not user_data.get(key)]
    if not missing:
        return filled
    order = [f"order_id={stored.order_id}"] if stored.order_id else []
    persons = _identifiers(user_data, ("lead_id", "external_id", "em", "ph"))
    for identifier in [*order, *persons]:
        seen = look(identifier)
        if seen is None or seen.browsers > BROWSERS_MAX:
            continue
        is_recent = abs(stored.event_time - seen.event_time) <= _CONNECTION_AGE_MAX_S
        origin = Origin(identifier.partition("=")[0], seen.event_name, seen.event_time)
        for key in missing:
            if key in filled or (key in _FROM_CONNECTION and not is_recent):
                continue
            if found := seen.facts.get(key):
                user_data[key] = found
                filled[key] = origin
        if len(filled) == len(missing):
            break
    return filled


# --- value -----------------------------------------------------------------------------------


def _value(stored: Stored, destination: Destination) -> str | Kept | None:
    """The value after the destination's rules; an event without one has none after them."""
    rules = destination.rules
    if stored.value is None or not (
        rules.value_from or rules.value_minus or rules.value_times != 1.0
    ):
        return stored.value
    if stored.is_correction and (rules.value_from or rules.value_minus):
        return Kept(False, "refund_value", "What of a refund is profit or tax is not known.")
    custom = stored.custom_data or {}
    source = money(custom.get(rules.value_from)) if rules.value_from else stored.value
    if source is None:
        message = f"custom_data.{rules.value_from}, which value_from names, is no number."
        return Kept(True, "value_missing", message)
    value = Decimal(source)
    for field in rules.value_minus:
        value -= Decimal(money(custom.get(field)) or "0")
    value *= Decimal(repr(rules.value_times))
    if abs(value) >= MONEY_MAX:
        return Kept(True, "value_missing", "The value after the rules is no sensible number.")
    return f"{value.quantize(_STEP):f}"
