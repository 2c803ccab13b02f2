"""What would become of a payload, without storing it: every finding, with its fix.

The events go through the same `STEPS` as those that arrive; here no finding ends an event's way.
No value of user data is told, only its key and what is made of it.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Literal

import msgspec

from doublet.accept.events import EVENTS_PER_REQUEST_MAX, UNREADABLE, unreadable
from doublet.accept.flags import advise
from doublet.accept.steps import STEPS, Arrival, Draft
from doublet.accept.user_data import HASHED, with_wire_names
from doublet.decoding import decoder
from doublet.event import EventsRequest, WireEvent
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS, is_sha256
from doublet.refusal import Reason, Refusal, quote_name, unexpected_key

_KNOWN = frozenset(WireEvent.__struct_fields__)
_USER_DATA = frozenset((*HASHED_KEYS, *PLAIN_KEYS))

_decode = decoder(object)

_UNKNOWN_KEYS_MAX = 100


class Finding(msgspec.Struct):
    """One thing that is wrong. An `error` would have the request refused, with `error_code` and
    `error_subcode` in the answer; a `warning` would be kept with the event as the flag `code`."""

    severity: Literal["error", "warning"]
    code: str
    field: str
    message: str
    fix: str
    error_code: int | None = None
    error_subcode: int | None = None


class CheckedEvent(msgspec.Struct):
    """One event of a payload, `index` from 0. `user_data` says of each key what becomes of it:
    `hashed already`, `will be hashed`, `kept as it is`, `unusable` or `dropped`. `dedup_keys` are
    the keys that may pair it with another copy."""

    index: int
    event_name: str
    user_data: dict[str, str]
    dedup_keys: list[str]
    findings: list[Finding]


class Check(msgspec.Struct):
    """All of a payload; `findings` are those that concern no single event."""

    events: list[CheckedEvent]
    findings: list[Finding]

    @property
    def errors(self) -> int:
        """How many findings would have the request refused."""
        of_events = (finding for event in self.events for finding in event.findings)
        return sum(finding.severity == "error" for finding in (*self.findings, *of_events))


def check_payload(
    payload: bytes, received_at: int, phone_country: str = "", *, events_max: int | None = None
) -> Check:
    """Check a body `{"data": […]}`, one event, an array of events, or JSON lines, as if it arrived
    through the Conversions API at `received_at` (µs since 1970, UTC) for a pixel whose phone
    numbers are of `phone_country` (ISO 3166, empty for none). At most the first `events_max` events
    are looked at."""
    elements, beside = read_payload(payload)
    if isinstance(elements, Refusal):
        return Check([], [_error(elements)])
    findings = _wrong_parameters(beside)
    if not elements:
        findings.append(_error(Refusal(Reason.NO_EVENTS, "There are no events.", "data")))
    elif len(elements) > EVENTS_PER_REQUEST_MAX:
        message = f"There are {len(elements)} events; a request takes {EVENTS_PER_REQUEST_MAX}."
        findings.append(_error(Refusal(Reason.TOO_MANY_EVENTS, message, "data")))
    arrival = Arrival("", "", "server", received_at, 0, phone_country=phone_country)
    return Check(
        [_checked(element, index, arrival) for index, element in enumerate(elements[:events_max])],
        findings,
    )


def read_payload(payload: bytes) -> tuple[list[Any] | Refusal, dict[str, Any]]:
    """The events of a body `{"data": […]}`, of one event, an array of events, or JSON lines; and
    what stands beside `data` in a body."""
    beside: dict[str, Any] = {}
    try:
        try:
            found = _decode(payload)
        except msgspec.DecodeError:
            lines = [line for line in payload.splitlines() if line.strip()]
            if len(lines) < 2:
                raise
            found = [_decode(line) for line in lines]
        if isinstance(found, dict) and "data" in found:
            beside = {key: value for key, value in found.items() if key != "data"}
            found = found["data"]
        elif isinstance(found, dict):
            found = [found]
        found = _decode(found.encode()) if isinstance(found, str) else found
    except UNREADABLE as error:
        return unreadable(error), beside
    if not isinstance(found, list):
        message = "The parameter data is not an array of events."
        return Refusal(Reason.NO_EVENTS, message, "data"), beside
    return found, beside


def _wrong_parameters(beside: dict[str, Any]) -> list[Finding]:
    """What of a body has the wrong type, besides the events."""
    try:
        msgspec.convert(beside, EventsRequest)
    except UNREADABLE as error:
        return [_error(unreadable(error))]
    return []


class _Gathering(Draft):
    """A draft that notes what is wrong and goes on."""

    def __init__(self, wire: WireEvent, arrival: Arrival) -> None:
        super().__init__(wire, arrival, None)
        self.refusals: list[Refusal] = []

    def fault(self, reason: Reason, message: str, field: str, flag: str) -> Refusal | None:
        """Note it."""
        self.refusals.append(Refusal(reason, message, field))
        return None


def _checked(element: Any, index: int, arrival: Arrival) -> CheckedEvent:
    wire, refusals = _read(element)
    if wire is None:
        return CheckedEvent(index, "", {}, [], [_error(refusal) for refusal in refusals])
    sent = with_wire_names(wire.user_data or {}, wire.action_source)
    broken = {refusal.field for refusal in refusals}
    draft = _Gathering(wire, arrival)
    for step in STEPS:
        refusal = step(draft)
        if refusal is not None:
            draft.refusals.append(refusal)
    # What could not be read is missing afterwards: that is one fault, not two.
    refusals += [found for found in draft.refusals if found.field.split(".")[0] not in broken]
    kept = draft.user_data or {}
    dedup_keys = [key for key in ("event_id", "order_id") if getattr(draft, key)]
    dedup_keys += [key for key in ("external_id", "fbp") if key in kept]
    flags = sorted({*draft.flags, *([] if draft.event_id else ["no_event_id"])})
    findings = [_error(refusal) for refusal in refusals]
    findings += [_warning(flag) for flag in flags]
    told = {quote_name(key).strip("`"): _form(key, value, kept) for key, value in sent.items()}
    return CheckedEvent(index, draft.event_name, told, dedup_keys, findings)


def _read(element: Any) -> tuple[WireEvent | None, list[Refusal]]:
    """As much of an event as can be read, and what is wrong with the fields left out."""
    try:
        fields = _decode(element.encode()) if isinstance(element, str) else element
    except UNREADABLE as error:
        return None, [unreadable(error)]
    if not isinstance(fields, dict):
        return None, [Refusal(Reason.INVALID_EVENT, "An event is an object.")]
    refusals = [
        Refusal(
            Reason.INVALID_EVENT,
            unexpected_key(key, "$"),
            quote_name(key).strip("`"),
        )
        for key in islice((key for key in fields if key not in _KNOWN), _UNKNOWN_KEYS_MAX)
    ]
    refusals.sort(key=lambda refusal: refusal.field)
    fields = {key: value for key, value in fields.items() if key in _KNOWN}
    while True:
        try:
            return msgspec.convert(fields, WireEvent), refusals
        except UNREADABLE as error:
            refusal = unreadable(error)
            name = refusal.field.split(".")[0]
            if fields.pop(name, None) is None:
                return None, [*refusals, refusal]
            refusals.append(Refusal(refusal.reason, refusal.message, name))


def _form(key: str, value: Any, kept: dict[str, Any]) -> str:
    if key in kept and key not in HASHED:
        return "kept as it is"
    if key in kept:
        values = value if isinstance(value, list) else [value]
        whole = all(isinstance(text, str) and is_sha256(text) for text in values)
        return "hashed already" if whole else "will be hashed"
    return "unusable" if key in _USER_DATA else "dropped"


def _error(refusal: Refusal) -> Finding:
    row = refusal.reason.row
    return Finding(
        "error",
        refusal.reason.label,
        refusal.field,
        refusal.message,
        row.hint,
        row.code,
        row.subcode,
    )


def _warning(flag: str) -> Finding:
    key = flag.partition("_")[2].removeprefix("many_")
    field = f"user_data.{key}" if key in _USER_DATA else ""
    advice = advise(flag)
    return Finding("warning", flag, field, advice.says, advice.fix)
