"""Refused requests as records: what an operator needs to find, mend and replay them.

The content is kept only where the token proved an account and the body could be read; every
personal value in it is hashed. Otherwise size, digest and reason remain.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from doublet import decoding
from doublet.accept.events import EVENTS_PER_REQUEST_MAX, UNREADABLE
from doublet.accept.steps import HASH_VARIANTS, USER_DATA_FLAGS, Arrival, stored_event_id
from doublet.accept.user_data import clean_user_data, with_wire_names
from doublet.event import Refused, WireEvent, encode
from doublet.normalize import sha256_hex
from doublet.redact import redact, redact_url
from doublet.refusal import Refusal, quote_name

_PIXEL_ID_LENGTH_MAX = 20
_PAYLOAD_SIZE_BYTES_MAX = 4 << 20
_KNOWN = frozenset(WireEvent.__struct_fields__)
_URLS = ("event_source_url", "referrer_url")


def refused_record(refusal: Refusal, arrival: Arrival, body: bytes, payload: Any = None) -> bytes:
    """The record of a refused request. `arrival.account_id` is empty unless a token proved it."""
    pixel_id = arrival.pixel_id if arrival.pixel_id.isdecimal() else ""
    return encode(
        Refused(
            "refused",
            arrival.account_id,
            pixel_id[:_PIXEL_ID_LENGTH_MAX],
            arrival.source,
            arrival.received_at,
            refusal.reason.label,
            refusal.message,
            len(body),
            sha256(body).hexdigest(),
            payload,
        )
    )


_decode: Callable[[bytes], Any] = decoding.decoder(object)


def hashed_payload(body: bytes, phone_country: str = "") -> Any:
    """The events of a JSON body, or of a form's `data`, with every personal value hashed; None
    when they are unreadable.

    Keys that are not in Meta's tables lose their values, and their names unless they are plain.
    """
    try:
        data = _decode(body)
        data = data.get("data") if isinstance(data, dict) else data
        data = _decode(data.encode()) if isinstance(data, str) else data
        if not isinstance(data, list):
            return None
        payload = [
            _hashed_event(element, phone_country) for element in data[:EVENTS_PER_REQUEST_MAX]
        ]
        return payload if len(encode(payload)) <= _PAYLOAD_SIZE_BYTES_MAX else None
    except UNREADABLE:
        return None


def _hashed_event(element: Any, phone_country: str) -> Any:
    event = _decode(element.encode()) if isinstance(element, str) else element
    if not isinstance(event, dict):
        return None
    variants: dict[str, list[str]] = {}
    flags: list[str] = []
    if isinstance(event.get("user_data"), dict):
        named = with_wire_names(event["user_data"], event.get("action_source"))
        event = {**event, "user_data": clean_user_data(named, flags, phone_country, variants)}
    kept: dict[str, Any] = {quote_name(key).strip("`"): None for key in event if key not in _KNOWN}
    kept |= {key: _hashed_field(key, value) for key, value in event.items() if key in _KNOWN}
    if variants:
        kept[HASH_VARIANTS] = variants
    if flags:
        kept[USER_DATA_FLAGS] = flags
    return kept


def _hashed_field(key: str, value: Any) -> Any:
    if key == "user_data":
        return value if isinstance(value, dict) else None
    if key in _URLS:
        return redact_url(value) if isinstance(value, str) else None
    if key == "event_id" and isinstance(value, str):
        return stored_event_id(value)
    kept = redact(value)
    if key == "custom_data" and isinstance(value, dict) and isinstance(kept, dict):
        order_id = value.get("order_id")
        # Two ids with an address in them must stay two, as with what is accepted.
        if isinstance(order_id, str) and kept.get("order_id") != order_id:
            kept["order_id"] = sha256_hex(order_id)
    return kept
