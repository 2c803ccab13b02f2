"""The door of the pixel: the parameters of a `/tr` request (Meta's browser library)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from doublet.accept.events import UNREADABLE, unreadable
from doublet.accept.record import event_record
from doublet.accept.steps import Arrival, clean_url
from doublet.accept.user_data import HASHED
from doublet.event import WireEvent
from doublet.redact import redact
from doublet.refusal import Refusal

# Parameters that are kept as they are; whatever else arrives is dropped, since it may hold
# personal data in a form that nobody has looked at.
EXTRA_KEYS = tuple("if sw sh v a ec es tm dpo dpoco dpost noscript rqm ler tz".split())
_EXTRA_LENGTH_MAX = 200


class Hit(msgspec.Struct):
    """The parameters of one request, sorted into their groups."""

    fields: dict[str, str]
    custom_data: dict[str, Any]
    user_data: dict[str, Any]


def read_hit(pairs: Iterable[tuple[str, str]]) -> Hit:
    """Sort decoded parameters: `cd[…]`, `ud[…]`, known others. The first of a name counts."""
    fields: dict[str, str] = {}
    custom: dict[str, Any] = {}
    user: dict[str, Any] = {}
    for name, value in pairs:
        if name[-1:] != "]":
            fields.setdefault(name, value)
        elif name[:3] == "cd[":
            custom.setdefault(name[3:-1], _structured(value) if value[:1] in ("[", "{") else value)
        elif name[:3] == "ud[":
            user.setdefault(name[3:-1], value)
        else:
            fields.setdefault(name, value)
    return Hit(fields, custom, user)


def _structured(text: str) -> Any:
    """Arrays and objects inside `cd[…]` are JSON text; the server's copy has them as values."""
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return text


def accept_hit(hit: Hit, arrival: Arrival) -> bytes | Refusal:
    """The record of one hit; address and browser are those of the connection."""
    fields = hit.fields
    user_data = hit.user_data
    if user_data:
        user_data = {key: value for key, value in user_data.items() if key in HASHED}
    user_data["client_ip_address"] = arrival.client_ip
    user_data["client_user_agent"] = arrival.user_agent
    user_data["fbc"] = fields.get("fbc")
    user_data["fbp"] = fields.get("fbp")
    wire = WireEvent(
        event_name=fields.get("ev", ""),
        event_time=_from_milliseconds(fields.get("ts")),
        user_data=user_data,
        custom_data=hit.custom_data,
        event_id=fields.get("eid") or fields.get("eid[]"),
        action_source="website",
        event_source_url=fields.get("dl") or arrival.referer,
    )
    extra = {key: fields[key][:_EXTRA_LENGTH_MAX] for key in EXTRA_KEYS if key in fields}
    if arrival.suspect or _may_hold_pairs("".join(extra.values())):
        # Before they are cut, since half an address no longer looks like one.
        whole = redact({key: fields[key] for key in extra})
        extra = {key: text[:_EXTRA_LENGTH_MAX] for key, text in whole.items()}
    if "test_event_code" in fields:
        arrival.test_event_code = fields["test_event_code"]
    if fields.get("rl"):
        extra["referrer_url"] = clean_url(fields["rl"])
    try:
        return event_record(wire, arrival, 0, extra or None)
    except UNREADABLE as error:
        return unreadable(error)


def _may_hold_pairs(text: str) -> bool:
    return "=" in text or "%" in text or '"' in text


def _from_milliseconds(text: str | None) -> int | None:
    return int(text) // 1000 if text and text.isdecimal() and len(text) < 20 else None
