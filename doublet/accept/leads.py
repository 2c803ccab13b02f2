"""What became of a lead, as a CRM says: a stage becomes an event of the Conversions API.

Source: Meta, *Conversion leads*: the event is named for the stage, its action_source is
system_generated, and custom_data says that a CRM has sent it. A lead is known by an id: the site's
event id of the Lead, Meta's own of a lead ad, or the CRM's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from doublet.accept.events import EVENTS_PER_REQUEST_MAX, UNREADABLE, unreadable
from doublet.accept.kinds import LEAD_ID_DIGITS
from doublet.accept.orders import Fault, read_changed_at
from doublet.accept.record import event_record
from doublet.accept.steps import EVENT_ID_LENGTH_MAX, Arrival, stored_event_id
from doublet.event import LeadsRequest, WireEvent, WireLead, money
from doublet.redact import redact
from doublet.refusal import Reason, Refusal

EVENT_SOURCE = "crm"
"""What `custom_data.event_source` is of a stage."""

ACTION_SOURCE = "system_generated"
UNNAMED = "CRM"
"""What `custom_data.lead_event_source` is when nobody names the CRM."""

_CONTACT = {"email": "em", "phone": "ph", "external_id": "external_id", "fbp": "fbp", "fbc": "fbc"}
_KEPT: dict[str, Callable[[str], object]] = {
    "changed_at": re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?|[0-9]{4}-[0-9T:.Z+-]{1,30}").fullmatch,
    "pixel_id": re.compile(r"[0-9]{1,20}").fullmatch,
    "value": re.compile(r"-?[0-9]{1,14}([.,][0-9]{1,9})?").fullmatch,
    "currency": re.compile(r"[A-Za-z]{3}").fullmatch,
}
_LEAD_FIELDS = {
    "event_name": "stage",
    "event_time": "changed_at",
    "user_data.em": "email",
    "user_data.ph": "phone",
    "user_data": "email",
    "custom_data.currency": "currency",
    "custom_data.value": "value",
}

_decode_request = msgspec.json.Decoder(LeadsRequest).decode


def read_leads(body: bytes) -> LeadsRequest | Refusal:
    """A JSON body as a request, or why it cannot be read."""
    try:
        return _decode_request(body)
    except UNREADABLE as error:
        refusal = unreadable(error)
        if refusal.reason is not Reason.INVALID_EVENT:
            return refusal
        return Refusal(Reason.INVALID_LEAD, refusal.message, refusal.field)


def accept_leads(
    request: LeadsRequest, arrival: Arrival, pixels: Mapping[str, str]
) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad stage refuses all. `pixels` are those of
    the account, with the country of their phone numbers; a stage that names none is of the only
    one."""
    data = request.data
    if not data:
        return Refusal(Reason.NO_EVENTS, "The parameter data holds no stages.", "data")
    if len(data) > EVENTS_PER_REQUEST_MAX:
        return Refusal(
            Reason.TOO_MANY_EVENTS,
            f"The request holds {len(data)} stages, at most {EVENTS_PER_REQUEST_MAX} are allowed.",
            "data",
        )
    records = []
    for index, wire in enumerate(data):
        record = _record(wire, arrival, pixels, index)
        if isinstance(record, Refusal):
            field = f"data.{index}.{record.field}".rstrip(".")
            return Refusal(record.reason, f"Stage {index}: {record.message}", field)
        records.append(record)
    return records


def _record(
    wire: WireLead, arrival: Arrival, pixels: Mapping[str, str], index: int
) -> bytes | Refusal:
    try:
        arrival.pixel_id = _pixel_id(wire.pixel_id, pixels)
        arrival.phone_country = pixels[arrival.pixel_id]
        record = event_record(lead_event(wire, arrival.received_at), arrival, index, None)
    except Fault as fault:
        return Refusal(Reason.INVALID_LEAD, str(fault), fault.field)
    except UnicodeError:
        return Refusal(Reason.BAD_ENCODING, "The stage is not valid UTF-8.")
    if isinstance(record, Refusal):
        return Refusal(record.reason, record.message, _LEAD_FIELDS.get(record.field, record.field))
    return record


def _pixel_id(given: object, pixels: Mapping[str, str]) -> str:
    if given is None or given == "":
        if len(pixels) == 1:
            return next(iter(pixels))
        raise Fault("pixel_id is missing, and the account has not just one pixel.", "pixel_id")
    if str(given) not in pixels:
        raise Fault("pixel_id is none of the account's pixels.", "pixel_id")
    return str(given)


def lead_event(wire: WireLead, received_at: int) -> WireEvent:
    """The event of a stage. Raises Fault."""
    lead_id = wire.lead_id
    if lead_id is None or lead_id == "":
        raise Fault(
            "lead_id is missing; give the event id of the site's Lead, Meta's lead id or the CRM's "
            "own.",
            "lead_id",
        )
    if not (wire.stage or "").strip():
        raise Fault("stage is missing; give its name in the CRM, such as qualified.", "stage")
    value, currency = wire.value, (wire.currency or "").strip().upper()
    if value is not None and value != "" and money(value) is None:
        raise Fault("value is not a plain number such as 49.90, with a point.", "value")
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise Fault("currency is not a three-letter code such as EUR.", "currency")
    contact = {key: getattr(wire, field) for field, key in _CONTACT.items()}
    custom: dict[str, Any] = {
        "lead_id": str(lead_id),
        "lead_event_source": (wire.crm or "").strip(),
        "value": value,
        "currency": currency,
    }
    return with_lead_id(
        WireEvent(
            event_name=(wire.stage or "").strip(),
            event_time=read_changed_at(wire.changed_at, received_at) // 1_000_000,
            user_data={key: text for key, text in contact.items() if text not in (None, "", [])},
            custom_data={key: each for key, each in custom.items() if each not in (None, "")},
        )
    )


def with_lead_id(event: WireEvent) -> WireEvent:
    """The event of a stage, completed: its `custom_data.lead_id` names the lead, and with stage and
    time makes the event id, so that the same news twice counts once. A lead without any contact is
    a person by its id. Raises Fault when it names no lead."""
    custom, user = event.custom_data or {}, event.user_data or {}
    given = custom.get("lead_id")
    if given is None or given == "":
        raise Fault("lead_id is missing.", "lead_id")
    text = str(given)
    if len(text) > EVENT_ID_LENGTH_MAX:
        raise Fault(
            f"lead_id has {len(text)} characters, at most {EVENT_ID_LENGTH_MAX} are allowed.",
            "lead_id",
        )
    # As the site's event ids are stored, so that both meet.
    lead_id = stored_event_id(text)
    if lead_id.isdecimal() and len(lead_id) in LEAD_ID_DIGITS:
        user = {"lead_id": lead_id, **user}
    elif not user:
        user = {"external_id": lead_id}
    event.action_source = ACTION_SOURCE
    event.user_data = user
    source = custom.get("lead_event_source") or UNNAMED
    event.custom_data = {
        **custom,
        "lead_id": lead_id,
        "event_source": EVENT_SOURCE,
        "lead_event_source": source,
    }
    said = msgspec.json.encode((lead_id, event.event_name, event.event_time))
    event.event_id = f"lead-{blake2b(said, digest_size=12).hexdigest()}"
    return event


def kept_leads(body: bytes) -> Any:
    """What an operator may see of a refused request: of each stage the fields that say nothing of a
    person, as far as they look like what they should be; None when it is unreadable."""
    try:
        data = msgspec.json.decode(body)["data"][:EVENTS_PER_REQUEST_MAX]
        return [
            {name: _kept(name, entry[name]) for name in (*_KEPT, "lead_id") if name in entry}
            for entry in data
        ]
    except (*UNREADABLE, TypeError, KeyError):
        return None


def _kept(name: str, value: Any) -> Any:
    text = str(value)[:EVENT_ID_LENGTH_MAX]
    if name == "lead_id":
        return redact(text) if isinstance(value, str | int) else None
    return value if _KEPT[name](text) else None
