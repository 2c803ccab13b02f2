"""Doors for batches that belong to an account rather than to a pixel, each message by itself: what
a shop says of its orders, what a CRM says of leads, what platforms say of their ads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from doublet.accept import (
    Arrival,
    accept_ad_days,
    accept_leads,
    accept_orders,
    accept_touches,
    kept_ad_days,
    kept_leads,
    kept_orders,
    kept_touches,
    read_ad_days,
    read_leads,
    read_orders,
    read_touches,
)
from doublet.accept.ad_touches import only_country
from doublet.collect.events import token_of
from doublet.collect.intake import Intake, Taken, answer_batch
from doublet.collect.request import Receive, Scope, Send, explain, parse_pairs
from doublet.event import AdDaysRequest, LeadsRequest, OrdersRequest, TouchesRequest
from doublet.refusal import Reason, Refusal

Batch = OrdersRequest | LeadsRequest | TouchesRequest | AdDaysRequest


class Door(NamedTuple):
    """What one kind of batch is called, how it is read and accepted, and what is kept of one that
    is refused."""

    noun: str
    read: Callable[[bytes], Batch | Refusal]
    accept: Callable[[Intake, Any, Arrival], Awaitable[list[bytes] | Refusal]]
    kept: Callable[[bytes], Any]

    async def answer(self, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request: all of its messages or none; 200 means that they are durable."""
        arrival = Arrival("", "", "server", 0, intake.appender.slot)
        take = partial(self._take, intake, scope, arrival)
        await answer_batch(intake, scope, receive, send, arrival, self.noun, take)

    async def _take(
        self, intake: Intake, scope: Scope, arrival: Arrival, body: bytes
    ) -> Taken | Refusal:
        """How many messages were made durable, or why none."""
        query = parse_pairs(scope["query_string"])
        if isinstance(query, Refusal):
            return await intake.set_aside(query, arrival, body)
        request = self.read(body)
        if isinstance(request, Refusal):
            request = explain(request, scope)
        named = None if isinstance(request, Refusal) else request.access_token
        token = token_of(scope, dict(query), named, body)
        owner = await intake.accounts.of_token(token) if token else None
        if owner is None:
            message = "A valid access token of the account is required."
            return await intake.set_aside(Refusal(Reason.TOKEN_INVALID, message), arrival, body)
        arrival.account_id = owner
        arrival.received_at = intake.appender.clock.stamp()
        records = (
            request if isinstance(request, Refusal) else await self.accept(intake, request, arrival)
        )
        if isinstance(records, Refusal):
            arrival.pixel_id = ""
            kept = self.kept(body)
            return await intake.set_aside(records, arrival, body, proven=True, payload=kept)
        return await intake.append(records) or Taken(len(records))


async def _accept_orders(
    intake: Intake, request: OrdersRequest, arrival: Arrival
) -> list[bytes] | Refusal:
    return accept_orders(request, arrival)


async def _accept_leads(
    intake: Intake, request: LeadsRequest, arrival: Arrival
) -> list[bytes] | Refusal:
    accounts = intake.accounts
    for pixel_id in {str(wire.pixel_id) for wire in request.data or () if wire.pixel_id}:
        # One that was just made is looked for; the first that is nobody's ends it.
        if await accounts.of_pixel(pixel_id) is None:
            break
    return accept_leads(request, arrival, accounts.phone_countries_of(arrival.account_id))


async def _accept_touches(
    intake: Intake, request: TouchesRequest, arrival: Arrival
) -> list[bytes] | Refusal:
    countries = intake.accounts.phone_countries_of(arrival.account_id)
    arrival.phone_country = only_country(countries.values())
    return accept_touches(request, arrival)


async def _accept_ad_days(
    intake: Intake, request: AdDaysRequest, arrival: Arrival
) -> list[bytes] | Refusal:
    return accept_ad_days(request, arrival)


DOORS: dict[str, Door] = {
    "/v1/orders": Door("orders", read_orders, _accept_orders, kept_orders),
    "/v1/leads": Door("leads", read_leads, _accept_leads, kept_leads),
    "/v1/ad_touches": Door("ad_touches", read_touches, _accept_touches, kept_touches),
    "/v1/ad_days": Door("ad_days", read_ad_days, _accept_ad_days, kept_ad_days),
}
"""By path."""
