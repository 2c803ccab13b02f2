"""`GET|POST /v1/postback`: one click or conversion of an ad network, told in a query or a form."""

from __future__ import annotations

from doublet.accept import Arrival, accept_postback, kept_postback, read_postback
from doublet.accept.ad_touches import only_country
from doublet.accept.postbacks import TOKEN_PARAMETERS, Postback, Received
from doublet.collect.events import token_of
from doublet.collect.intake import Intake, refuse
from doublet.collect.request import (
    Pairs,
    Receive,
    Scope,
    Send,
    header,
    json_headers,
    parse_form,
    parse_pairs,
    respond,
)
from doublet.errors import BusyError
from doublet.event import encode
from doublet.refusal import Reason, Refusal, fbtrace_id

POSTBACK_PATH = "/v1/postback"


async def answer_postback(intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
    """Take one postback; 200 means that it is durable."""
    trace_id = fbtrace_id()
    if scope["method"] not in ("GET", "POST"):
        message = "Postbacks are sent with GET or POST."
        await refuse(send, Refusal(Reason.METHOD_NOT_ALLOWED, message), trace_id)
        return
    try:
        outcome = await _take(intake, scope, receive)
    except BusyError as error:
        outcome = Refusal(Reason.BUSY, error.message)
    if isinstance(outcome, Refusal):
        await refuse(send, outcome, trace_id)
        return
    received, postback = outcome
    body = encode(
        {
            "kind": received.kind,
            "id": received.id,
            "ignored": postback.ignored,
            "fbtrace_id": trace_id,
        }
    )
    await respond(send, 200, json_headers(body), body)


async def _take(
    intake: Intake, scope: Scope, receive: Receive
) -> tuple[Received, Postback] | Refusal:
    arrival = Arrival("", "", "server", 0, intake.appender.slot)
    body = b""
    if scope["method"] == "POST":
        read = await intake.read_body(scope, receive)
        if isinstance(read, Refusal):
            return await intake.set_aside(read, arrival, b"")
        body = read
    # What is kept of a request that is refused: size and digest of all that it said.
    said = scope["query_string"] + body
    pairs = _pairs(scope, body)
    if isinstance(pairs, Refusal):
        return await intake.set_aside(pairs, arrival, said)
    given = {name.lower(): value for name, value in reversed(pairs)}
    token = next((given[name] for name in TOKEN_PARAMETERS if given.get(name)), "")
    token = token or token_of(scope, {}, None, b"")
    owner = await intake.accounts.of_token(token) if token else None
    if owner is None:
        message = "A valid access token of the account is required: &token=…, or a Bearer header."
        return await intake.set_aside(Refusal(Reason.TOKEN_INVALID, message), arrival, said)
    postback = read_postback(pairs)
    pixel_id = postback.found.get("pixel_id")
    if pixel_id:
        # One that was just made is looked for.
        await intake.accounts.of_pixel(pixel_id)
    arrival.account_id = owner
    pixels = intake.accounts.phone_countries_of(owner)
    arrival.phone_country = only_country(pixels.values())
    arrival.received_at = intake.appender.clock.stamp()
    received = accept_postback(postback, arrival, pixels)
    if isinstance(received, Refusal):
        arrival.pixel_id = ""
        kept = kept_postback(postback)
        return await intake.set_aside(received, arrival, said, proven=True, payload=kept)
    return await intake.append([received.record]) or (received, postback)


def _pairs(scope: Scope, body: bytes) -> Pairs | Refusal:
    """The parameters of the query, then those of a form."""
    query = parse_pairs(scope["query_string"])
    if isinstance(query, Refusal) or not body:
        return query
    form = parse_form(body, header(scope, b"content-type"))
    return form if isinstance(form, Refusal) else [*query, *form]
