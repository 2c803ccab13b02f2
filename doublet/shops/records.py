"""What a delivery says, as records: each event and message by itself, so that one that is refused
holds up no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from doublet.accept import (
    UNREADABLE,
    Arrival,
    accept_events,
    hashed_payload,
    order_record,
    refused_record,
)
from doublet.accept.user_data import clean_user_data
from doublet.event import EventsRequest, WireOrder
from doublet.refusal import Reason, Refusal
from doublet.shops.contract import Errand, Resource, Told, UnreadableError

_VISITOR_KEYS = ("fbp", "fbc", "client_ip_address", "client_user_agent")


class Made(NamedTuple):
    """Records to append: those of `events` events and `orders` messages, and of what was refused
    for the reasons in `refused`."""

    records: list[bytes]
    events: int
    orders: int
    refused: list[Refusal]


def records_of(told: Told, arrival: Arrival, visitor: Mapping[str, str]) -> Made:
    """The records of what a delivery says. `visitor` is what is known of who went through its cart
    or checkout, for events that lack it; `arrival.account_id` was proven."""
    made = Made([], 0, 0, [])
    arrival.is_test = told.is_test
    events = orders = 0
    for event in told.events:
        user_data = {**_known(visitor), **event.get("user_data", {})}
        element = msgspec.json.encode({**event, "user_data": user_data})
        found = accept_events(EventsRequest(data=[msgspec.Raw(element)]), arrival)
        if isinstance(found, Refusal):
            payload = hashed_payload(b"[" + element + b"]", arrival.phone_country)
            made.records.append(refused_record(found, arrival, element, payload))
            made.refused.append(found)
        else:
            made.records.extend(found)
            events += 1
    for message in told.orders:
        record = _order_record(message, arrival)
        if isinstance(record, Refusal):
            element = msgspec.json.encode(message)
            made.records.append(refused_record(record, arrival, element, [message]))
            made.refused.append(record)
        else:
            made.records.append(record)
            orders += 1
    return made._replace(events=events, orders=orders)


def _known(visitor: Mapping[str, str]) -> dict[str, str]:
    return {key: visitor[key] for key in _VISITOR_KEYS if visitor.get(key)}


def _order_record(message: Resource, arrival: Arrival) -> bytes | Refusal:
    try:
        return order_record(msgspec.convert(message, WireOrder), arrival)
    except UNREADABLE:
        return Refusal(Reason.INVALID_ORDER, "A field of the message has a type of its own.")


def hashed(errand: Errand, phone_country: str = "") -> Errand:
    """An errand as it may be written: the persons in it by hashes, each also as other clients hash
    it. Raises UnreadableError for one that names nobody."""
    if "user_data" not in errand.subject:
        return errand
    user_data: dict[str, list[str]] = {}
    for key, value in errand.subject["user_data"].items():
        variants: dict[str, list[str]] = {}
        found = clean_user_data({key: value}, [], phone_country, variants).get(key)
        if found is not None:
            known = [found] if isinstance(found, str) else found
            user_data[key] = [*known, *variants.get(key, [])]
    if not user_data:
        raise UnreadableError("The request names no customer.")
    return Errand(errand.kind, {**errand.subject, "user_data": user_data})
