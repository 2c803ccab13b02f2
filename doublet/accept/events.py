"""The door of the Conversions API: the body of `POST /vN.N/<pixel_id>/events`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from doublet.accept.record import REPLAY_OF, event_record
from doublet.accept.steps import HASH_VARIANTS, USER_DATA_FLAGS, Arrival
from doublet.decoding import decoder
from doublet.event import EventsRequest, WireEvent
from doublet.refusal import Reason, Refusal, unexpected_key

EVENTS_PER_REQUEST_MAX = 1000

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding and encoding raise for input that is not what it should be."""

# msgspec quotes a name from the input in this one message; all others hold types and places.
_unknown_field = re.compile(
    r"Object contains unknown field `(.*?)`(?: - at `\$([\w.\[\]]*)`)?", re.DOTALL
).fullmatch

_names = re.compile(r"\.?([a-z_]+)").sub

_decode_request = decoder(EventsRequest)
_decode_event = decoder(WireEvent)
_decode_events = decoder(list[WireEvent | str])
_decode_raw = decoder(list[msgspec.Raw])
_decode_text = decoder(str)


class _LooseRequest(EventsRequest, kw_only=True):
    data: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]


_decode_loosely = decoder(_LooseRequest)


def read_request(body: bytes, *, loosely: bool = False) -> EventsRequest | Refusal:
    """A JSON body as a request, or why it cannot be read; `loosely` leaves the events as text, for
    `accept_good_events`."""
    try:
        if not loosely:
            return _decode_request(body)
        loose = _decode_loosely(body)
        named = {
            name: getattr(loose, name) for name in EventsRequest.__struct_fields__ if name != "data"
        }
        data = bytes(loose.data).decode()
        return EventsRequest(data=data if data != "null" else None, **named)
    except UNREADABLE as error:
        return unreadable(error)


def accept_events(request: EventsRequest, arrival: Arrival) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad event refuses all, as at Meta."""
    arrival.test_event_code = request.test_event_code
    arrival.partner_agent = request.partner_agent
    try:
        data = request.data
        events = _read_events(data.encode()) if isinstance(data, str) else data
        if isinstance(events, Refusal):
            return events
        refusal = _wrong_number(events)
        return refusal or _accept_all(events or (), arrival)
    except UNREADABLE as error:
        return unreadable(error)


def _read_events(text: bytes) -> list[WireEvent | str] | Refusal:
    try:
        return _decode_events(text)
    except UNREADABLE as error:
        return unreadable(error, "data")


class Accepted(NamedTuple):
    """What became of a request of which good events are kept: the records, and each event that was
    refused with its index and its own JSON."""

    records: list[bytes]
    refused: list[tuple[int, Refusal, bytes]]


def accept_good_events(request: EventsRequest, arrival: Arrival) -> Accepted | Refusal:
    """The records of all good events of a request that was read loosely, and what is wrong with
    each other one; a refusal of all when there are none to be looked at."""
    arrival.test_event_code = request.test_event_code
    arrival.partner_agent = request.partner_agent
    accepted = Accepted([], [])
    try:
        data = request.data if isinstance(request.data, str) else ""
        if data.lstrip().startswith('"'):
            data = _decode_text(data.encode())
        events = _decode_raw(data.encode()) if data.strip() not in ("", "null") else []
    except UNREADABLE as error:
        return unreadable(error)
    refusal = _wrong_number(events)
    if refusal is not None:
        return refusal
    for index, raw in enumerate(events):
        record = _accept_raw(bytes(raw), arrival, index)
        if isinstance(record, Refusal):
            accepted.refused.append((index, record, bytes(raw)))
        else:
            accepted.records.append(record)
    return accepted


def _accept_raw(element: bytes, arrival: Arrival, index: int) -> bytes | Refusal:
    try:
        if element.lstrip().startswith(b'"'):
            element = _decode_text(element).encode()
        record = event_record(_decode_event(element), arrival, index, None)
    except UNREADABLE as error:
        record = unreadable(error)
    return _of_event(record, index) if isinstance(record, Refusal) else record


def accept_replayed(event: dict[str, Any], arrival: Arrival, replay_of: str) -> bytes | Refusal:
    """The record of a refused event that is accepted after all; see `REPLAY_OF`."""
    extra: dict[str, Any] = {REPLAY_OF: replay_of}
    event = dict(event)
    if isinstance(event.get(HASH_VARIANTS), dict):
        variants = event.pop(HASH_VARIANTS)
        extra |= {HASH_VARIANTS: variants} if variants else {}
    if isinstance(event.get(USER_DATA_FLAGS), list):
        arrival.marks = event.pop(USER_DATA_FLAGS)
    try:
        return event_record(msgspec.convert(event, WireEvent), arrival, 0, extra)
    except UNREADABLE as error:
        return unreadable(error)


def _wrong_number(events: Sequence[object] | None) -> Refusal | None:
    if not events:
        return Refusal(Reason.NO_EVENTS, "The parameter data holds no events.", "data")
    if len(events) > EVENTS_PER_REQUEST_MAX:
        return Refusal(
            Reason.TOO_MANY_EVENTS,
            f"The request holds {len(events)} events, at most "
            f"{EVENTS_PER_REQUEST_MAX} are allowed.",
            "data",
        )
    return None


def _accept_all(events: Sequence[WireEvent | str], arrival: Arrival) -> list[bytes] | Refusal:
    records: list[bytes] = []
    for index, element in enumerate(events):
        try:
            wire = _decode_event(element.encode()) if isinstance(element, str) else element
        except UNREADABLE as error:
            return _of_event(unreadable(error), index)
        record = event_record(wire, arrival, index, None)
        if isinstance(record, Refusal):
            return _of_event(record, index)
        records.append(record)
    return records


def _of_event(refusal: Refusal, index: int) -> Refusal:
    """The refusal of a request for one of its events; `$` in its message is the event itself."""
    message = refusal.message.replace("$", f"$['data'][{index}]", 1)
    return Refusal(
        refusal.reason,
        f"Event {index}: {message}",
        f"data.{index}.{refusal.field}".rstrip("."),
    )


def unreadable(error: Exception, root: str = "") -> Refusal:
    """The refusal for input that does not decode; names from the input are quoted with care.
    `root` is the parameter that was decoded, empty for a whole body or event."""
    if isinstance(error, UnicodeError):
        return Refusal(Reason.BAD_ENCODING, "The request is not valid UTF-8.")
    if isinstance(error, RecursionError):
        return Refusal(Reason.TOO_DEEP, "The request is nested too deeply.")
    if isinstance(error, msgspec.ValidationError):
        unknown = _unknown_field(str(error))
        if unknown:
            place = f"{root}{unknown[2] or ''}".strip(".")
            message = unexpected_key(unknown[1], "$" + _names(r"['\1']", place))
            field = place.replace("[", ".").replace("]", "").strip(".")
            return Refusal(Reason.INVALID_EVENT, message, field)
        message, _, place = str(error).partition(" - at `$")
        place = f"{root}{place.rstrip('`')}"
        field = place.replace("[", ".").replace("]", "").strip(".")
        return Refusal(
            Reason.INVALID_EVENT, f"{message} at {field}." if field else f"{message}.", field
        )
    return Refusal(Reason.MALFORMED_BODY, f"The body is not valid JSON: {error}.")
