"""`POST /v1/leads`: what a CRM says of leads."""

from __future__ import annotations

from functools import partial

from doublet.accept import Arrival, accept_leads, kept_leads, read_leads
from doublet.collect.events import token_of
from doublet.collect.intake import Intake, Taken, answer_batch
from doublet.collect.request import Receive, Scope, Send, explain, parse_pairs
from doublet.event import LeadsRequest
from doublet.refusal import Reason, Refusal

LEADS_PATH = "/v1/leads"


async def answer_leads(intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
    """Take one request: all of its stages or none; 200 means that they are durable."""
    arrival = Arrival("", "", "server", 0, intake.appender.slot)
    take = partial(_take, intake, scope, arrival)
    await answer_batch(intake, scope, receive, send, arrival, "leads", take)


async def _take(intake: Intake, scope: Scope, arrival: Arrival, body: bytes) -> Taken | Refusal:
    """How many stages were made durable, or why none."""
    query = parse_pairs(scope["query_string"])
    if isinstance(query, Refusal):
        return await intake.set_aside(query, arrival, body)
    request = read_leads(body)
    if isinstance(request, Refusal):
        request = explain(request, scope)
    named = request.access_token if isinstance(request, LeadsRequest) else None
    token = token_of(scope, dict(query), named, body)
    owner = await intake.accounts.of_token(token) if token else None
    if owner is None:
        refusal = Refusal(Reason.TOKEN_INVALID, "A valid access token of the account is required.")
        return await intake.set_aside(refusal, arrival, body)
    arrival.account_id = owner
    arrival.received_at = intake.appender.clock.stamp()
    records = request if isinstance(request, Refusal) else await _records(intake, request, arrival)
    if isinstance(records, Refusal):
        arrival.pixel_id = ""
        kept = kept_leads(body)
        return await intake.set_aside(records, arrival, body, proven=True, payload=kept)
    return await intake.append(records) or Taken(len(records))


async def _records(
    intake: Intake, request: LeadsRequest, arrival: Arrival
) -> list[bytes] | Refusal:
    accounts = intake.accounts
    for pixel_id in {str(wire.pixel_id) for wire in request.data or () if wire.pixel_id}:
        # One that was just made is looked for; the first that is nobody's ends it.
        if await accounts.of_pixel(pixel_id) is None:
            break
    pixels = {
        each: accounts.phone_country_of(each) for each in accounts.pixels_of(arrival.account_id)
    }
    return accept_leads(request, arrival, pixels)
