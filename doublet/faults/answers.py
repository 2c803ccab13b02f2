"""Answers that Meta would give and a healthy receiver does not: errors, limits, refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from doublet.accept import UNREADABLE
from doublet.collect.events import read_events
from doublet.collect.request import HeaderList, Scope, decompress, header, json_headers, parse_pairs
from doublet.decoding import decoder
from doublet.faults.plan import Plan, Poison, RateLimit
from doublet.refusal import GraphError, Reason, Refusal, fbtrace_id, graph_error


class Answer(NamedTuple):
    """One whole answer."""

    status: int
    headers: HeaderList
    body: bytes


def _answer(status: int, body: bytes, *more: tuple[bytes, bytes]) -> Answer:
    return Answer(status, json_headers(body, more), body)


def server_error() -> Answer:
    """Temporary trouble, Graph code 2; nothing is stored."""
    return _answer(503, graph_error(Refusal(Reason.BUSY, "The file of faults wants this error.")))


def rate_limited(limit: RateLimit) -> Answer:
    """Too many calls, Graph code 4, with the headers that say how much is used (Graph API, *Rate
    limits*): percent, and minutes until calls are taken again."""
    error = GraphError(
        message="(#4) The file of faults limits the rate of requests.",
        type="OAuthException",
        code=4,
        error_subcode=1504022,
        is_transient=True,
        error_user_title="Too many requests",
        error_user_msg=f"Send the same request again after {limit.retry_after_s} s.",
        fbtrace_id=fbtrace_id(),
    )
    used = {"call_count": 100, "total_cputime": 25, "total_time": 25}
    minutes = -(-limit.retry_after_s // 60)
    case = {"type": "ads_management", **used, "estimated_time_to_regain_access": minutes}
    return _answer(
        429,
        msgspec.json.encode({"error": error}),
        (b"retry-after", b"%d" % limit.retry_after_s),
        (b"x-app-usage", msgspec.json.encode(used)),
        (b"x-business-use-case-usage", msgspec.json.encode({"0": [case]})),
    )


def refused(poison: Poison, index: int) -> Answer:
    """The refusal of a whole request for its event `index`, Graph code 100."""
    error = GraphError(
        message="Invalid parameter",
        type="OAuthException",
        code=100,
        error_subcode=poison.subcode,
        error_user_title=poison.title,
        error_user_msg=f"Event {index}: {poison.message}",
        error_data={"blame_field_specs": [["data", str(index)]]},
        fbtrace_id=fbtrace_id(),
    )
    return _answer(400, msgspec.json.encode({"error": error}))


def told(counts: Mapping[str, Any]) -> Answer:
    """What happened so far, as JSON."""
    return _answer(200, msgspec.json.encode(counts))


def find_poison(
    plan: Plan, scope: Scope, body: bytes, size_bytes_max: int
) -> tuple[Poison, int] | None:
    """The first event of a request that the plan refuses, and its index in the request.

    `scope` has the request's `headers` and `query_string`. What cannot be read holds no such event:
    the receiver says what is wrong with it.
    """
    plain = decompress(body, scope, size_bytes_max)
    query = parse_pairs(scope["query_string"])
    if isinstance(plain, Refusal) or isinstance(query, Refusal):
        return None
    request = read_events(plain, header(scope, b"content-type"), dict(query))
    if isinstance(request, Refusal):
        return None
    try:
        for index, event in enumerate(_events(request.data)):
            for poison in plan.poison:
                if poison.event_id in ("", str(event.event_id)) and (
                    poison.event_name in ("", event.event_name)
                ):
                    return poison, index
    except UNREADABLE:
        return None
    return None


class _Event(msgspec.Struct):
    event_id: Any = None
    event_name: Any = None


_decode_elements = decoder(list[msgspec.Raw])
_decode_event = decoder(_Event)
_decode_text = decoder(str)


def _events(data: list[msgspec.Raw] | str | None) -> Iterator[_Event]:
    """Each is an object, or its JSON as a text."""
    elements = _decode_elements(data.encode()) if isinstance(data, str) else data or ()
    for element in map(bytes, elements):
        is_text = element[:1] == b'"'
        yield _decode_event(_decode_text(element).encode() if is_text else element)
