"""The door of the Conversions API: the body of `POST /vN.N/<pixel_id>/events`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from doublet.accept.record import event_record
from doublet.accept.steps import Arrival
from doublet.event import EventsRequest, WireEvent
from doublet.refusal import Reason, Refusal, quote_name

EVENTS_PER_REQUEST_MAX = 1000

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding and encoding raise for input that is not what it should be."""

# msgspec quotes a name from the input in this one message; all others hold types and places.
_unknown_field = re.compile(
    r"Object contains unknown field `(.*?)`(?: - at `\$([\w.\[\]]*)`)?", re.DOTALL
).fullmatch

_decode_request = msgspec.json.Decoder(EventsRequest).decode
_decode_event = msgspec.json.Decoder(WireEvent).decode
_decode_events = msgspec.json.Decoder(list[WireEvent | str]).decode


def read_request(body: bytes) -> EventsRequest | Refusal:
    """A JSON body as a request, or why it cannot be read."""
    try:
        return _decode_request(body)
    except UNREADABLE as error:
        return unreadable(error)


def accept_events(request: EventsRequest, arrival: Arrival) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad event refuses all, as at Meta."""
    arrival.test_event_code = request.test_event_code
    arrival.partner_agent = request.partner_agent
    try:
        data = request.data
        events = _decode_events(data.encode()) if isinstance(data, str) else data
        if not events:
            return Refusal(Reason.NO_EVENTS, "The parameter data holds no events.", "data")
        if len(events) > EVENTS_PER_REQUEST_MAX:
            return Refusal(
                Reason.TOO_MANY_EVENTS,
                f"The request holds {len(events)} events, at most "
                f"{EVENTS_PER_REQUEST_MAX} are allowed.",
                "data",
            )
        return _accept_all(events, arrival)
    except UNREADABLE as error:
        return unreadable(error)


def _accept_all(events: Sequence[WireEvent | str], arrival: Arrival) -> list[bytes] | Refusal:
    records: list[bytes] = []
    for index, element in enumerate(events):
        wire = _decode_event(element.encode()) if isinstance(element, str) else element
        record = event_record(wire, arrival, index, None)
        if isinstance(record, Refusal):
            return Refusal(
                record.reason,
                f"Event {index}: {record.message}",
                f"data.{index}.{record.field}".rstrip("."),
            )
        records.append(record)
    return records


def unreadable(error: Exception) -> Refusal:
    """The refusal for input that does not decode; names from the input are quoted with care."""
    if isinstance(error, UnicodeError):
        return Refusal(Reason.BAD_ENCODING, "The request is not valid UTF-8.")
    if isinstance(error, RecursionError):
        return Refusal(Reason.TOO_DEEP, "The request is nested too deeply.")
    if isinstance(error, msgspec.ValidationError):
        unknown = _unknown_field(str(error))
        if unknown:
            name, place = quote_name(unknown[1]), unknown[2] or ""
            message = f"Object contains unknown field {name}".replace("field a field", "field")
        else:
            message, _, place = str(error).partition(" - at `$")
        field = place.strip("`.").replace("[", ".").replace("]", "").strip(".")
        return Refusal(
            Reason.INVALID_EVENT, f"{message} at {field}." if field else f"{message}.", field
        )
    return Refusal(Reason.MALFORMED_BODY, f"The body is not valid JSON: {error}.")
