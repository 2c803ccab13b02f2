"""`/tr` and `/px`: the pixel's hits, by image, beacon, form or fetch."""

from __future__ import annotations

from collections.abc import Mapping

from doublet.accept import Arrival, Hit, accept_hit, is_suspect_hit, marks, read_hit
from doublet.collect.first_party import page_host, read_missing, written
from doublet.collect.intake import Intake, refuse, unknown_pixel
from doublet.collect.request import (
    HeaderList,
    Pairs,
    Receive,
    Scope,
    Send,
    explain,
    header,
    parse_form,
    parse_pairs,
    respond,
)
from doublet.errors import BusyError
from doublet.refusal import Reason, Refusal

PATHS = frozenset(("/tr/", "/tr", "/px"))

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
"""A transparent image of one pixel, as small as the format allows (GIF89a specification)."""
IMAGE_HEADERS: HeaderList = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"%d" % len(GIF)),
    (b"cache-control", b"no-store"),
]
"""Headers of `GIF`."""
_EMPTY: HeaderList = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"0"),
    (b"cache-control", b"no-store"),
]
_IMAGE_START = {"type": "http.response.start", "status": 200, "headers": IMAGE_HEADERS}
_IMAGE_BODY = {"type": "http.response.body", "body": GIF}
_PREFLIGHT_AGE_S = 86_400
_NOTHING: HeaderList = []


def cors(headers: Mapping[bytes, bytes]) -> HeaderList:
    """What lets the page that a hit comes from send cookies and read why it was refused."""
    origin = headers.get(b"origin")
    if origin is None:
        return _NOTHING
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-doublet-refused"),
        (b"vary", b"origin"),
    ]


async def _preflight(headers: Mapping[bytes, bytes], more: HeaderList, send: Send) -> None:
    """Browsers ask first where a page's tools add headers of their own to its requests."""
    wanted = headers.get(b"access-control-request-headers", b"content-type")
    allowed = [
        (b"allow", b"GET, HEAD, POST, OPTIONS"),
        (b"access-control-allow-methods", b"GET, HEAD, POST"),
        (b"access-control-allow-headers", wanted),
        (b"access-control-max-age", b"%d" % _PREFLIGHT_AGE_S),
    ]
    await respond(send, 204, allowed + more)


async def answer_hit(intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
    """Take one hit: parse, accept, append, answer. This is the hottest path of all."""
    method = scope["method"]
    raw: bytes = scope["query_string"]
    headers = dict(scope["headers"])
    more = cors(headers)
    pairs: Pairs | Refusal
    if method == "HEAD":
        await respond(send, 200, IMAGE_HEADERS + more)
        return
    if method == "OPTIONS":
        await _preflight(headers, more, send)
        return
    try:
        if method == "GET":
            pairs = parse_pairs(raw)
        elif method == "POST":
            pairs, raw = await _posted(intake, scope, receive)
        else:
            pairs = Refusal(Reason.METHOD_NOT_ALLOWED, "Hits are sent with GET or POST.")
        outcome = await _take(intake, scope, headers, pairs, raw)
    except BusyError as error:
        outcome = Refusal(Reason.BUSY, error.message)
    if isinstance(outcome, Refusal):
        await refuse(send, outcome, more=more)
    elif method != "GET":
        await respond(send, 200, _EMPTY + more + outcome)
    elif more or outcome:
        await respond(send, 200, IMAGE_HEADERS + more + outcome, GIF)
    else:
        await send(_IMAGE_START)
        await send(_IMAGE_BODY)


async def _take(
    intake: Intake,
    scope: Scope,
    headers: Mapping[bytes, bytes],
    pairs: Pairs | Refusal,
    raw: bytes,
) -> Refusal | HeaderList:
    """Make one hit durable and give the headers that set its cookies, or why it is refused. Raises
    BusyError when there is no room."""
    arrival = Arrival("", "", "browser", 0, intake.appender.slot)
    if isinstance(pairs, Refusal):
        return await intake.set_aside(pairs, arrival, raw)
    hit = read_hit(pairs)
    arrival.pixel_id = pixel_id = hit.fields.get("id", "")
    account_id = intake.accounts.of_known_pixel(pixel_id) or await intake.accounts.of_pixel(
        pixel_id
    )
    if account_id is None:
        return await intake.set_aside(unknown_pixel(pixel_id), arrival, raw)
    arrival.account_id = account_id
    if hit.user_data:
        arrival.phone_country = intake.accounts.phone_country_of(pixel_id)
    arrival.client_ip = intake.proxies.client_ip(scope)
    arrival.suspect = is_suspect_hit(pairs)
    if b"user-agent" in headers:
        arrival.user_agent = _text(headers[b"user-agent"])
    if b"referer" in headers:
        arrival.referer = _text(headers[b"referer"])
    told = _first_party(intake, scope, headers, hit)
    code = hit.fields.get("test_event_code")
    if code and await intake.accounts.is_setup_code(pixel_id, code):
        arrival.is_test = True
        told = [*told, (b"x-doublet-seen", intake.proxies.seen(scope, headers))]
    arrival.received_at = intake.appender.clock.stamp()
    rules = intake.accounts.rules_of_pixel(pixel_id)
    if rules is not None:
        page = hit.fields.get("dl") or arrival.referer
        arrival.marks = marks(
            rules, page, arrival.user_agent, arrival.client_ip, intake.datacenters
        )
        quota = rules.hits_per_hour
        if quota and intake.quotas.is_over(pixel_id, quota, arrival.received_at):
            arrival.marks.append("over_quota")
    record = accept_hit(hit, arrival)
    if isinstance(record, Refusal):
        return await intake.set_aside(record, arrival, raw)
    await intake.appender.submit((record,))
    return told


def _first_party(
    intake: Intake, scope: Scope, headers: Mapping[bytes, bytes], hit: Hit
) -> HeaderList:
    """Cookies to set, once per page; those that came give the hit the ids that it lacks."""
    fields = hit.fields
    sent = headers.get(b"cookie", b"")
    # What the request would have to hold is looked for first: most hits stop here.
    is_first = fields.get("ec") == "0" and ("fbp" in fields or "fbc" in fields)
    if not is_first and (b"_fb" not in sent or ("fbp" in fields and "fbc" in fields)):
        return _NOTHING
    if hit.groups and hit.groups.get("cs", {}).get("ad_storage") == "denied":
        return _NOTHING
    host, page = intake.proxies.host(scope, headers), page_host(headers)
    cookies = written(fields, host, page, intake.proxies.scheme(scope)) if is_first else _NOTHING
    if b"_fb" in sent:
        read_missing(fields, sent, host, page)
    return cookies


def _text(value: bytes) -> str:
    """A header as what its sender meant. Beyond ASCII that is UTF-8 these days, and read otherwise
    a full-width @ would not be seen."""
    return value.decode("utf-8", "replace")


async def _posted(intake: Intake, scope: Scope, receive: Receive) -> tuple[Pairs | Refusal, bytes]:
    """The parameters of a POST, from body and query."""
    query: bytes = scope["query_string"]
    body = await intake.read_body(scope, receive)
    if isinstance(body, Refusal):
        return body, b""
    pairs = parse_form(body, header(scope, b"content-type"))
    if query and not isinstance(pairs, Refusal):
        more = parse_pairs(query)
        pairs = more if isinstance(more, Refusal) else more + pairs
    return explain(pairs, scope) if isinstance(pairs, Refusal) else pairs, body + query
