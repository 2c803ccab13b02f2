"""Messages about orders become records: placed, edited, refunded, cancelled and so on.

They come from shops (`POST /v1/orders`), from files and from the command line, and all pass here.
A message says what happened to one order and when by the shop's own clock. It holds nothing about
a customer: a field that is not in `WireOrder` is refused, and only its name is ever repeated.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from doublet.accept.events import EVENTS_PER_REQUEST_MAX, UNREADABLE, unreadable
from doublet.accept.steps import (
    ACTION_SOURCES,
    EVENT_ID_LENGTH_MAX,
    FUTURE_S_MAX,
    YEAR_2000_S,
    Arrival,
    stored_event_id,
)
from doublet.event import OrderMessage, OrdersRequest, WireOrder, encode, money
from doublet.redact import redact
from doublet.refusal import Reason, Refusal


class Kind(NamedTuple):
    """What one kind of message means, and whether it has a value: `needed`, `optional`, `none`."""

    name: str
    value: str
    about: str


KINDS: tuple[Kind, ...] = (
    Kind("drafted", "optional", "A draft was made; no sale until it is completed or placed."),
    Kind("placed", "needed", "The order was placed, online or at a point of sale; its total."),
    Kind("renewed", "needed", "A subscription went on; an order of its own, with its parent."),
    Kind("cash_on_delivery", "optional", "It is paid on delivery; pending until confirmed."),
    Kind("completed", "optional", "The draft became a sale; the total if it has changed."),
    Kind("paid", "needed", "One payment of several; they add up where no total is stated."),
    Kind("confirmed", "optional", "Cash on delivery was paid; the total if it has changed."),
    Kind("edited", "needed", "The new total, before any refund."),
    Kind("refunded", "optional", "The sum paid back; without a value, all that is left."),
    Kind("refused", "none", "The parcel was not taken: cash on delivery that is no sale."),
    Kind("cancelled", "none", "What is left of the order was cancelled."),
    Kind("reopened", "none", "A cancellation or refusal was undone."),
)
"""In the order in which messages of one moment count; `order_entries.sql` has it too."""

_KIND = {kind.name: kind for kind in KINDS}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_S = 1e15
_is_number = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?").fullmatch
_KEPT: dict[str, Callable[[str], object]] = {
    "kind": re.compile(r"[a-z_]{1,40}").fullmatch,
    "changed_at": re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?|[0-9]{4}-[0-9T:.Z+-]{1,30}").fullmatch,
    "value": re.compile(r"-?[0-9]{1,14}([.,][0-9]{1,9})?").fullmatch,
    "currency": re.compile(r"[A-Za-z]{3}").fullmatch,
    "action_source": ACTION_SOURCES.__contains__,
}
"""How a field looks that may be shown; a name in the wrong place does not look so."""

_decode_request = msgspec.json.Decoder(OrdersRequest).decode


class Fault(Exception):  # noqa: N818 - it ends the reading of one message, nothing has failed
    """A message is wrong: what is, and which field."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def read_orders(body: bytes) -> OrdersRequest | Refusal:
    """A JSON body as a request, or why it cannot be read."""
    try:
        return _decode_request(body)
    except UNREADABLE as error:
        refusal = unreadable(error)
        if refusal.reason is not Reason.INVALID_EVENT:
            return refusal
        return Refusal(Reason.INVALID_ORDER, refusal.message, refusal.field)


def accept_orders(request: OrdersRequest, arrival: Arrival) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad message refuses all."""
    data = request.data
    if not data:
        return Refusal(Reason.NO_EVENTS, "The parameter data holds no messages.", "data")
    if len(data) > EVENTS_PER_REQUEST_MAX:
        return Refusal(
            Reason.TOO_MANY_EVENTS,
            f"The request holds {len(data)} messages, at most {EVENTS_PER_REQUEST_MAX} are "
            "allowed.",
            "data",
        )
    records = []
    for index, wire in enumerate(data):
        record = order_record(wire, arrival)
        if isinstance(record, Refusal):
            return Refusal(
                record.reason, f"Message {index}: {record.message}", f"data.{index}.{record.field}"
            )
        records.append(record)
    return records


def order_record(wire: WireOrder, arrival: Arrival) -> bytes | Refusal:
    """The record of one message, or why there is none; `Refusal.field` is the field's own name.

    A message without an id gets one that is made of what it says, so that sending it again
    repeats nothing.
    """
    try:
        return encode(_message(wire, arrival))
    except Fault as fault:
        return Refusal(Reason.INVALID_ORDER, str(fault), fault.field)
    except UnicodeError:
        return Refusal(Reason.BAD_ENCODING, "The message is not valid UTF-8.")


def kept_orders(body: bytes) -> Any:
    """What an operator may see of a refused request: of each message the known fields, as far as
    they look like what they should be; None when it is unreadable."""
    try:
        data = msgspec.json.decode(body)["data"][:EVENTS_PER_REQUEST_MAX]
        return [
            {
                name: _kept(name, entry[name])
                for name in WireOrder.__struct_fields__
                if name in entry
            }
            for entry in data
        ]
    except (*UNREADABLE, TypeError, KeyError):
        return None


def _kept(name: str, value: Any) -> Any:
    text = str(value)[:EVENT_ID_LENGTH_MAX]
    if name.endswith("_id"):
        return redact(text) if isinstance(value, str | int) else None
    return value if _KEPT[name](text) else None


def _message(wire: WireOrder, arrival: Arrival) -> OrderMessage:
    order_id = _id("order_id", wire.order_id)
    if order_id is None:
        raise Fault("order_id is missing; give the id that the site's Purchase has.", "order_id")
    kind = _kind(wire.kind)
    changed_at = read_changed_at(wire.changed_at, arrival.received_at)
    value, currency = _value(kind, wire.value), _currency(wire.currency)
    if kind.name in ("placed", "renewed", "paid") and currency is None:
        raise Fault(f"{kind.name} needs a currency, such as EUR.", "currency")
    parent_order_id = _id("parent_order_id", wire.parent_order_id)
    if kind.name == "renewed" and parent_order_id in (None, order_id):
        raise Fault(
            "renewed needs parent_order_id, the subscription's first order, and an order_id of its "
            "own, such as 1001/2.",
            "parent_order_id",
        )
    source = wire.action_source or None
    if source is not None and source not in ACTION_SOURCES:
        raise Fault(
            f"action_source is none of {', '.join(sorted(ACTION_SOURCES))}.", "action_source"
        )
    said = (order_id, kind.name, changed_at, value, currency, parent_order_id, source)
    digest = blake2b(msgspec.json.encode(said), digest_size=16).digest()
    return OrderMessage(
        "order",
        arrival.account_id,
        arrival.source,
        arrival.received_at,
        order_id,
        kind.name,
        changed_at,
        _id("message_id", wire.message_id) or f"~{digest.hex()}",
        int.from_bytes(digest[:8], "little", signed=True),
        value,
        currency,
        parent_order_id,
        source,
    )


def _id(field: str, given: object) -> str | None:
    """An id as events have theirs, so that both meet; an address in it becomes its hash."""
    if given is None or given == "":
        return None
    text = str(given)
    if len(text) > EVENT_ID_LENGTH_MAX:
        raise Fault(
            f"{field} has {len(text)} characters, at most {EVENT_ID_LENGTH_MAX} are allowed.", field
        )
    return stored_event_id(text)


def _kind(given: str | None) -> Kind:
    kind = _KIND.get(given or "")
    if kind is not None:
        return kind
    near = difflib.get_close_matches((given or "")[:40], _KIND, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it must be one of {', '.join(_KIND)}."
    raise Fault(f"kind is {'missing' if not given else 'not known'}; {hint}", "kind")


def _value(kind: Kind, given: float | str | None) -> str | None:
    if given is None or given == "":
        if kind.value == "needed":
            raise Fault(f"{kind.name} needs a value, a plain number such as 49.90.", "value")
        return None
    if kind.value == "none":
        raise Fault(f"{kind.name} takes no value; a part given back is refunded.", "value")
    text = money(given)
    if text is None:
        raise Fault("value is not a plain number such as 49.90, with a point.", "value")
    exact = Decimal(text)
    if exact < 0 or (exact == 0 and kind.name in ("refunded", "paid")):
        raise Fault("value must be more than zero; a refund of 30 is 30, not -30.", "value")
    # One sum, one text: 10.5 and "10.50" say the same.
    return f"{exact.normalize():f}"


def _currency(given: str | None) -> str | None:
    code = (given or "").strip().upper()
    if code and not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise Fault("currency is not a three-letter code such as EUR.", "currency")
    return code or None


def read_changed_at(given: float | str | None, received_at: int) -> int:
    """The sender's own time of a change in µs since 1970. Raises Fault."""
    micros = _micros(given)
    if micros is None:
        raise Fault(
            "changed_at is missing or no time; write 2026-11-01T10:00:00+01:00, or Unix seconds.",
            "changed_at",
        )
    if micros > received_at + FUTURE_S_MAX * 1_000_000:
        raise Fault(
            "changed_at is more than a day in the future; as a number it is in seconds, not "
            "milliseconds.",
            "changed_at",
        )
    if micros < YEAR_2000_S * 1_000_000:
        raise Fault("changed_at is before the year 2000; as a number it is seconds.", "changed_at")
    return micros


def _micros(given: float | str | None) -> int | None:
    if isinstance(given, str):
        text = given.strip()
        if not _is_number(text):
            return _micros_of_text(text)
        given = float(text) if "." in text else int(text)
    if isinstance(given, int):
        return given * 1_000_000
    if given is None or math.isnan(given):
        return None
    return round(max(-_FAR_S, min(given, _FAR_S)) * 1_000_000)


def _micros_of_text(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        raise Fault(
            "changed_at names no time zone; end it with Z or an offset such as +01:00.",
            "changed_at",
        )
    return (moment - _EPOCH) // timedelta(microseconds=1)
