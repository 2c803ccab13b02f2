"""`POST /v1/orders`: what a shop says about its orders."""

from __future__ import annotations

from functools import partial

from doublet.accept import Arrival, accept_orders, kept_orders, read_orders
from doublet.collect.events import token_of
from doublet.collect.intake import Intake, Taken, answer_batch
from doublet.collect.request import (
    Receive,
    Scope,
    Send,
    explain,
    parse_pairs,
)
from doublet.event import OrdersRequest
from doublet.refusal import Reason, Refusal

ORDERS_PATH = "/v1/orders"


async def answer_orders(intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
    """Take one request: all of its messages or none; 200 means that they are durable."""
    arrival = Arrival("", "", "server", 0, intake.appender.slot)
    take = partial(_take, intake, scope, arrival)
    await answer_batch(intake, scope, receive, send, arrival, "orders", take)


async def _take(intake: Intake, scope: Scope, arrival: Arrival, body: bytes) -> Taken | Refusal:
    """How many messages were made durable, or why none."""
    query = parse_pairs(scope["query_string"])
    if isinstance(query, Refusal):
        return await intake.set_aside(query, arrival, body)
    request = read_orders(body)
    if isinstance(request, Refusal):
        request = explain(request, scope)
    named = request.access_token if isinstance(request, OrdersRequest) else None
    token = token_of(scope, dict(query), named, body)
    owner = await intake.accounts.of_token(token) if token else None
    if owner is None:
        refusal = Refusal(Reason.TOKEN_INVALID, "A valid access token of the account is required.")
        return await intake.set_aside(refusal, arrival, body)
    arrival.account_id = owner
    arrival.received_at = intake.appender.clock.stamp()
    records = accept_orders(request, arrival) if isinstance(request, OrdersRequest) else request
    if isinstance(records, Refusal):
        kept = kept_orders(body)
        return await intake.set_aside(records, arrival, body, proven=True, payload=kept)
    return await intake.append(records) or Taken(len(records))
