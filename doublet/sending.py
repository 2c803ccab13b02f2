"""A payload that was sent from a page, on its way into the log, as one request of the Conversions
API would be."""

from __future__ import annotations

from doublet.accept import accept_events, is_suspect, read_request
from doublet.deposit import deposit
from doublet.refusal import Refusal
from doublet.settings import Settings


def send_payload(
    settings: Settings, account_id: str, pixel_id: str, phone_country: str, body: bytes
) -> int | Refusal:
    """Make the events of a body `{"data": […]}` durable, all or none: how many there were, or why
    none was taken. Raises BusyError when the disk does not take them."""
    request = read_request(body)
    if isinstance(request, Refusal):
        return request
    with deposit(settings, account_id) as place:
        arrival = place.arrival(pixel_id)
        arrival.phone_country = phone_country
        arrival.suspect = is_suspect(body)
        records = accept_events(request, arrival)
        if isinstance(records, Refusal):
            return records
        place.append(records)
    return len(records)
