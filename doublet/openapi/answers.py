"""Bodies and answers of programs' interfaces that no struct of the code behind them is."""

from __future__ import annotations

from typing import Any

import msgspec

from doublet.accept.check import Check
from doublet.event import EventsRequest, WireEvent


class EventsBody(EventsRequest, kw_only=True):
    """A request of the Conversions API; events as objects, or each as its JSON in a text."""

    data: list[WireEvent | str] | str | None = None  # type: ignore[assignment]


class Received(msgspec.Struct):
    """How many events are durable now; `refused` with `validation=partial` only."""

    events_received: int
    messages: list[str]
    fbtrace_id: str
    refused: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET


class OrdersReceived(msgspec.Struct):
    """How many messages about orders are durable now."""

    orders_received: int
    messages: list[str]
    fbtrace_id: str


class LeadsReceived(msgspec.Struct):
    """How many stages of leads are durable now."""

    leads_received: int
    messages: list[str]
    fbtrace_id: str


class TouchesReceived(msgspec.Struct):
    """How many ad touches are durable now."""

    ad_touches_received: int
    messages: list[str]
    fbtrace_id: str


class AdDaysReceived(msgspec.Struct):
    """How many days of ads are durable now."""

    ad_days_received: int
    messages: list[str]
    fbtrace_id: str


class PostbackReceived(msgspec.Struct):
    """What a postback became: `conversion`, or a kind of ad touch; its id, null where it has none
    of its own; and the names of parameters that mean nothing here."""

    kind: str
    id: str | None
    ignored: list[str]
    fbtrace_id: str


class Checked(Check):
    """What would become of a payload; `errors` counts what would have it refused."""

    errors: int


class Page(msgspec.Struct):
    """A page of a Graph edge."""

    data: list[dict[str, Any]]
    paging: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class BatchPart(msgspec.Struct):
    """The answer to one call of a batch."""

    code: int
    body: str | None
