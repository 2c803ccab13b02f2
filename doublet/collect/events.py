"""`POST /vN.N/<pixel_id>/events`: the Conversions API."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from doublet.accept import (
    UNREADABLE,
    Accepted,
    Arrival,
    accept_events,
    accept_good_events,
    hashed_payload,
    is_suspect,
    read_request,
    refused_record,
)
from doublet.catalog import is_proven
from doublet.collect.intake import Intake, Taken, answer_batch, unknown_pixel
from doublet.collect.request import (
    Pairs,
    Receive,
    Scope,
    Send,
    explain,
    header,
    parse_form,
    parse_pairs,
)
from doublet.event import EventsRequest
from doublet.refusal import Reason, Refusal

_FORMS = ("multipart/", "application/x-www-form-urlencoded")
_OLDEST_VERSION = 13

_IMAGINED = "Use validation=partial, or leave validation out: then one bad event refuses all."


def gateway_pixel_of(path: str) -> str:
    """The pixel id in `/capi/<pixel_id>/events`, Meta's address for self-hosted receivers,
    otherwise empty."""
    parts = path.strip("/").split("/")
    fits = len(parts) == 3 and (parts[0], parts[2]) == ("capi", "events") and parts[1].isdecimal()
    return parts[1] if fits else ""


def pixel_of(path: str) -> str:
    """The pixel id in `/vN.N/<pixel_id>/events` or `/<pixel_id>/events`, otherwise empty."""
    parts = path.strip("/").split("/")
    if len(parts) not in (2, 3) or parts[-1] != "events" or not parts[-2].isdecimal():
        return ""
    major, _, minor = parts[0][1:].partition(".")
    versioned = parts[0][:1] == "v" and major.isdecimal() and minor.isdecimal()
    return parts[-2] if len(parts) == 2 or versioned else ""


def _is_too_old(path: str) -> bool:
    """Whether the path of events names a version that Meta no longer answers."""
    first = path.lstrip("/")
    return first[:1] == "v" and int(first[1:].partition(".")[0]) < _OLDEST_VERSION


async def answer_events(
    intake: Intake, scope: Scope, receive: Receive, send: Send, pixel_id: str, status: int = 200
) -> None:
    """Take one request: all of its events or none, or with `validation=partial` the good ones."""
    arrival = Arrival("", pixel_id, "server", 0, intake.appender.slot)
    take = partial(_take, intake, scope, arrival)
    await answer_batch(intake, scope, receive, send, arrival, "events", take, status)


async def _take(intake: Intake, scope: Scope, arrival: Arrival, body: bytes) -> Taken | Refusal:
    """What was made durable, or why nothing."""
    query = parse_pairs(scope["query_string"])
    if isinstance(query, Refusal):
        return await intake.set_aside(query, arrival, body)
    parameters = dict(query)
    validation = parameters.get("validation", "")
    partly = validation == "partial"
    request = read_events(body, header(scope, b"content-type"), parameters)
    if isinstance(request, Refusal):
        request = explain(request, scope)
    named = proof = None
    if isinstance(request, EventsRequest):
        named = request.access_token or request.gateway_key
        proof = request.appsecret_proof
    token = token_of(scope, parameters, named, body)
    owner = await intake.accounts.of_token(token) if token else None
    if owner is None:
        if not token and isinstance(request, Refusal):
            # The token may well have been in what cannot be read.
            return await intake.set_aside(request, arrival, body)
        message = (
            "Invalid OAuth access token - Cannot parse access token"
            if token
            else "An access token is required to request this resource."
        )
        return await intake.set_aside(Refusal(Reason.TOKEN_INVALID, message), arrival, body)
    # A pixel of somebody else is answered like one that does not exist.
    if await intake.accounts.of_pixel(arrival.pixel_id) != owner:
        return await intake.set_aside(unknown_pixel(arrival.pixel_id), arrival, body)
    proof = parameters.get("appsecret_proof") or proof
    if not is_proven(intake.accounts.secret_of(owner), token, proof):
        refusal = Refusal(
            Reason.PROOF_INVALID, "Invalid appsecret_proof provided in the API argument"
        )
        return await intake.set_aside(refusal, arrival, body)
    arrival.account_id = owner
    arrival.phone_country = intake.accounts.phone_country_of(arrival.pixel_id)
    if _is_too_old(scope["path"]):
        message = f"(#2635) This version is older than v{_OLDEST_VERSION}.0."
        request = Refusal(Reason.VERSION_TOO_OLD, message)
    elif validation and not partly:
        message = f"validation must be partial. {_IMAGINED}"
        request = Refusal(Reason.PARAMETER_INVALID, message, "validation")
    if isinstance(request, Refusal):
        return await intake.set_aside(request, arrival, body, proven=True)
    arrival.suspect = is_suspect(body) or is_suspect(scope["query_string"])
    code = request.test_event_code
    arrival.is_test = await intake.accounts.is_setup_code(arrival.pixel_id, code)
    arrival.received_at = intake.appender.clock.stamp()
    form = request.data.encode() if isinstance(request.data, str) else None
    if partly:
        accepted = accept_good_events(request, arrival)
        if not isinstance(accepted, Refusal):
            return await _keep_good(intake, arrival, accepted)
        return await intake.set_aside(accepted, arrival, body, proven=True, form=form)
    records = accept_events(request, arrival)
    if isinstance(records, Refusal):
        return await intake.set_aside(records, arrival, body, proven=True, form=form)
    return await intake.append(records) or Taken(len(records))


async def _keep_good(intake: Intake, arrival: Arrival, accepted: Accepted) -> Taken | Refusal:
    """Make the good events durable and each bad one a refused record of its own, together."""
    asides = []
    for _, refusal, element in accepted.refused:
        payload = hashed_payload(b"[" + element + b"]", arrival.phone_country)
        asides.append(refused_record(refusal, arrival, element, payload))
    busy = await intake.append(accepted.records + asides)
    if busy is not None:
        return busy
    if not accepted.records:
        return accepted.refused[0][1]
    return Taken(len(accepted.records), [entry[:2] for entry in accepted.refused])


def read_events(
    body: bytes, content_type: str, parameters: dict[str, str]
) -> EventsRequest | Refusal:
    """The request in a JSON body or a form; parameters in the query fill what is missing."""
    kind = content_type.lower()
    # `curl -d` calls a JSON body a form unless it is told otherwise; no form begins like this.
    is_form = kind.startswith("multipart/") or (kind.startswith(_FORMS) and body[:1] != b"{")
    if is_form or (not body and "data" in parameters):
        pairs = parse_form(body, content_type) if is_form else []
        if isinstance(pairs, Refusal):
            return pairs
        fields: dict[str, Any] = {**parameters, **dict(pairs)}
        return EventsRequest(
            data=fields.get("data") or _listed(pairs),
            access_token=fields.get("access_token"),
            gateway_key=fields.get("accessKey"),
            appsecret_proof=fields.get("appsecret_proof"),
            test_event_code=fields.get("test_event_code"),
            partner_agent=fields.get("partner_agent"),
        )
    request = read_request(body)
    if parameters and isinstance(request, EventsRequest):
        if request.data is None:
            request.data = parameters.get("data")
        request.test_event_code = request.test_event_code or parameters.get("test_event_code")
        request.partner_agent = request.partner_agent or parameters.get("partner_agent")
    return request


def _listed(pairs: Pairs) -> str | None:
    """Events in form fields of their own, `data[]` or `data[0]`, as one JSON array."""
    events = [value for name, value in pairs if name[:5] == "data[" and name[-1:] == "]"]
    return f"[{','.join(events)}]" if events else None


def token_of(scope: Scope, parameters: dict[str, str], named: str | None, body: bytes) -> str:
    """The access token from the query, the Authorization header or the body; empty when there is
    none. `named` is the body's own where it could be read."""
    if parameters.get("access_token"):
        return parameters["access_token"]
    scheme, _, bearer = header(scope, b"authorization").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return bearer.strip()
    if named:
        return named
    try:
        # Whose request it is decides what becomes of it, also where its events are wrong.
        credentials = _decode_credentials(body)
        return credentials.access_token or credentials.gateway_key
    except UNREADABLE:
        return ""


class _Credentials(msgspec.Struct):
    access_token: str = ""
    gateway_key: str = msgspec.field(default="", name="accessKey")


_decode_credentials = msgspec.json.Decoder(_Credentials).decode
