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

from doublet.accept.batch import accept_batch, kept_batch, read_batch
from doublet.accept.fields import Fault, read_amount, read_currency, read_moment, read_pixel_id
from doublet.accept.kinds import LEAD_ID_DIGITS
from doublet.accept.record import event_record
from doublet.accept.steps import EVENT_ID_LENGTH_MAX, Arrival, stored_event_id
from doublet.event import LeadsRequest, WireEvent, WireLead
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
    return read_batch(body, _decode_request, Reason.INVALID_LEAD)


def accept_leads(
    request: LeadsRequest, arrival: Arrival, pixels: Mapping[str, str]
) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad stage refuses all. `pixels` are those of
    the account, with the country of their phone numbers; a stage that names none is of the only
    one."""

    def make(wire: WireLead, index: int) -> bytes | Refusal:
        return _record(wire, arrival, pixels, index)

    return accept_batch(request.data, ("stage", "stages"), make)


def _record(
    wire: WireLead, arrival: Arrival, pixels: Mapping[str, str], index: int
) -> bytes | Refusal:
    try:
        arrival.pixel_id = read_pixel_id(wire.pixel_id, pixels)
        arrival.phone_country = pixels[arrival.pixel_id]
        record = event_record(lead_event(wire, arrival.received_at), arrival, index, None)
    except Fault as fault:
        return Refusal(Reason.INVALID_LEAD, str(fault), fault.field)
    except UnicodeError:
        return Refusal(Reason.BAD_ENCODING, "The stage is not valid UTF-8.")
    if isinstance(record, Refusal):
        return Refusal(record.reason, record.message, _LEAD_FIELDS.get(record.field, record.field))
    return record


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
    value, currency = wire.value, read_currency(wire.currency)
    if value is not None and value != "":
        read_amount("value", value)
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
            event_time=read_moment("changed_at", wire.changed_at, received_at) // 1_000_000,
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
    return kept_batch(body, _KEPT, ("lead_id",))
