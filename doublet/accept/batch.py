"""Requests of one account's messages, `{"data": […]}`: read, and accepted all or none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from doublet.accept.events import EVENTS_PER_REQUEST_MAX, UNREADABLE, unreadable
from doublet.accept.steps import EVENT_ID_LENGTH_MAX
from doublet.redact import redact
from doublet.refusal import Reason, Refusal

R = TypeVar("R")
W = TypeVar("W")


def read_batch(body: bytes, decode: Callable[[bytes], R], reason: Reason) -> R | Refusal:
    """A JSON body as a request, or why it cannot be read; `reason` is that of wrong fields."""
    try:
        return decode(body)
    except UNREADABLE as error:
        refusal = unreadable(error)
        if refusal.reason is not Reason.INVALID_EVENT:
            return refusal
        return Refusal(reason, refusal.message, refusal.field)


def accept_batch(
    data: Sequence[W] | None,
    nouns: tuple[str, str],
    make: Callable[[W, int], bytes | Refusal],
) -> list[bytes] | Refusal:
    """The records that `make` makes of each message and its index; one bad message refuses all.
    `nouns` are what one and what many are called."""
    one, many = nouns
    if not data:
        return Refusal(Reason.NO_EVENTS, f"The parameter data holds no {many}.", "data")
    if len(data) > EVENTS_PER_REQUEST_MAX:
        return Refusal(
            Reason.TOO_MANY_EVENTS,
            f"The request holds {len(data)} {many}, at most {EVENTS_PER_REQUEST_MAX} are allowed.",
            "data",
        )
    records = []
    for index, wire in enumerate(data):
        record = make(wire, index)
        if isinstance(record, Refusal):
            field = f"data.{index}.{record.field}".rstrip(".")
            return Refusal(record.reason, f"{one.capitalize()} {index}: {record.message}", field)
        records.append(record)
    return records


def kept_batch(
    body: bytes, shapes: Mapping[str, Callable[[str], object]], ids: Collection[str]
) -> Any:
    """What an operator may see of a refused request: of each message the fields in `shapes` that
    look like what they should be (others are None), and those in `ids`, redacted; None when it is
    unreadable."""

    def keep(name: str, value: Any) -> Any:
        text = str(value)[:EVENT_ID_LENGTH_MAX]
        if name in ids:
            return redact(text) if isinstance(value, str | int) else None
        return value if shapes[name](text) else None

    names = (*shapes, *ids)
    try:
        data = msgspec.json.decode(body)["data"][:EVENTS_PER_REQUEST_MAX]
        return [
            {name: keep(name, entry[name]) for name in names if name in entry} for entry in data
        ]
    except (*UNREADABLE, TypeError, KeyError):
        return None
