"""Messages about orders become records: placed, edited, refunded, cancelled and so on.

They come from shops (`POST /v1/orders`), from files and from the command line, and all pass here.
A message says what happened to one order and when by the shop's own clock. It holds nothing about
a customer: a field that is not in `WireOrder` is refused, and only its name is ever repeated.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from doublet.accept.batch import accept_batch, kept_batch, read_batch
from doublet.accept.fields import Fault, plain, read_amount, read_currency, read_id, read_moment
from doublet.accept.steps import ACTION_SOURCES, Arrival
from doublet.event import OrderMessage, OrdersRequest, WireOrder, encode
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
_KEPT: dict[str, Callable[[str], object]] = {
    "kind": re.compile(r"[a-z_]{1,40}").fullmatch,
    "changed_at": re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?|[0-9]{4}-[0-9T:.Z+-]{1,30}").fullmatch,
    "value": re.compile(r"-?[0-9]{1,14}([.,][0-9]{1,9})?").fullmatch,
    "currency": re.compile(r"[A-Za-z]{3}").fullmatch,
    "action_source": ACTION_SOURCES.__contains__,
}
"""How a field looks that may be shown; a name in the wrong place does not look so."""
_IDS = ("order_id", "message_id", "parent_order_id")

_decode_request = msgspec.json.Decoder(OrdersRequest).decode


def read_orders(body: bytes) -> OrdersRequest | Refusal:
    """A JSON body as a request, or why it cannot be read."""
    return read_batch(body, _decode_request, Reason.INVALID_ORDER)


def accept_orders(request: OrdersRequest, arrival: Arrival) -> list[bytes] | Refusal:
    """The records of one request, in its order; one bad message refuses all."""

    def make(wire: WireOrder, index: int) -> bytes | Refusal:
        return order_record(wire, arrival)

    return accept_batch(request.data, ("message", "messages"), make)


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
    return kept_batch(body, _KEPT, _IDS)


def _message(wire: WireOrder, arrival: Arrival) -> OrderMessage:
    order_id = read_id("order_id", wire.order_id)
    if order_id is None:
        raise Fault("order_id is missing; give the id that the site's Purchase has.", "order_id")
    kind = _kind(wire.kind)
    changed_at = read_moment("changed_at", wire.changed_at, arrival.received_at)
    value, currency = _value(kind, wire.value), read_currency(wire.currency)
    if kind.name in ("placed", "renewed", "paid") and currency is None:
        raise Fault(f"{kind.name} needs a currency, such as EUR.", "currency")
    parent_order_id = read_id("parent_order_id", wire.parent_order_id)
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
        read_id("message_id", wire.message_id) or f"~{digest.hex()}",
        int.from_bytes(digest[:8], "little", signed=True),
        value,
        currency,
        parent_order_id,
        source,
    )


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
    exact = read_amount("value", given)
    if exact < 0 or (exact == 0 and kind.name in ("refunded", "paid")):
        raise Fault("value must be more than zero; a refund of 30 is 30, not -30.", "value")
    # 10.5 and "10.50" say the same.
    return plain(exact)
