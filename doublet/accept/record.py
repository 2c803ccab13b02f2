"""A wire event that has passed all steps, as a record of the log."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from doublet.accept.steps import STEPS, Arrival, Draft
from doublet.event import Event, WireEvent, encode
from doublet.refusal import Reason, Refusal

REPLAY_OF = "replay_of"
"""Field of a record's `extra`: the refused event that it was, as `slot-offset-index`."""

RECORD_SIZE_BYTES_MAX = 1 << 20
"""A record is larger than the input: control characters become escapes, short ids hashes."""


def event_key(pixel_id: str, event_name: str, unique: str) -> int:
    """64-bit key that all copies of one event share: BLAKE2b of pixel, name and what is unique.

    Stamped here because the engines' own hash functions differ. The name's length keeps a name
    with line breaks in it apart from a shorter name and an id.

    >>> event_key("1", "a\\nb", "c") == event_key("1", "a", "b\\nc")
    False
    """
    text = f"{pixel_id}\n{len(event_name)}\n{event_name}\n{unique}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _unique(draft: Draft, index: int) -> str:
    """What copies of one event share besides pixel and name. The first letter keeps each kind of
    key apart from every id that a client could send."""
    wire, arrival = draft.wire, draft.arrival
    if wire.action_source == "physical_store":
        # Meta, Offline events: the same time, item and order, or without an order the same person.
        item = (wire.custom_data or {}).get("item_number")
        whose = draft.order_id or encode(sorted((draft.user_data or {}).items())).decode()
        return f"p{draft.event_time}\n{item}\n{whose}"
    if draft.event_id:
        kind = "m" if wire.action_source == "business_messaging" else "i"
        return f"{kind}{draft.event_id}"
    if draft.extra and REPLAY_OF in draft.extra:
        return f"r{draft.extra[REPLAY_OF]}"
    # Such an event is its own: slot, microsecond and index are unique for ever.
    return f"o{arrival.slot}\n{arrival.received_at}\n{index}"


def event_record(
    wire: WireEvent, arrival: Arrival, index: int, extra: dict[str, Any] | None
) -> bytes | Refusal:
    """The record of the event at `index` of its request, or why there is none."""
    draft = Draft(wire, arrival, extra)
    for step in STEPS:
        refusal = step(draft)
        if refusal is not None:
            return refusal
    pixel_id = arrival.pixel_id
    unique = _unique(draft, index)
    record = encode(
        Event(
            "event",
            arrival.account_id,
            pixel_id,
            arrival.source,
            arrival.received_at,
            event_key(pixel_id, draft.event_name, unique),
            draft.event_name,
            draft.event_time,
            draft.event_id,
            wire.action_source,
            wire.event_source_url or None,
            draft.user_data,
            draft.value,
            draft.currency,
            draft.order_id,
            wire.custom_data or None,
            draft.extra,
            sorted(draft.flags) or None,
            arrival.is_test,
        )
    )
    if len(record) > RECORD_SIZE_BYTES_MAX:
        return Refusal(
            Reason.TOO_LARGE,
            f"The event takes {len(record)} bytes, at most {RECORD_SIZE_BYTES_MAX} are allowed.",
        )
    return record
