"""What a module of a platform is: two pure functions, and the facts that the relay must know.

`encode` makes one request of one or more events, `decide` says what its answer means for them.
Neither does I/O, looks at a clock or draws a random number, so that a case
`{event, request, response, outcome}` tells all about it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from doublet.catalog import Destination

RETRY_AFTER_S_MAX = 3600.0


class Outgoing(msgspec.Struct):
    """One event as a platform is told of it, by its names on the wire of the Conversions API.

    In `user_data` the hashed keys are lists of SHA-256 hex, the others plain text. `event_id` is
    always there: where the sender gave none it is made of the event's place, the same at each
    attempt. `event_time` is in Unix seconds, `value` a plain decimal after the destination's value
    rules (also in `custom_data`, beside `currency` and `order_id`). `extra` holds the other fields
    of the wire (`referrer_url`, `opt_out`, `app_data`, …) and `touch`, the other platforms' click
    ids. `is_limited` says that the visitor's data may be used in a limited way only.
    """

    event_name: str
    event_id: str
    event_time: int
    pixel_id: str = ""
    action_source: str | None = None
    event_source_url: str | None = None
    user_data: dict[str, Any] = {}
    value: str | None = None
    currency: str | None = None
    order_id: str | None = None
    custom_data: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    is_limited: bool = False
    corrects: str | None = None


class Request(NamedTuple):
    """One HTTP request. `parts` are the events as they stand in it, one each, for the trace: no
    part holds the secret. A `url` of `file:///…` is a file to be written with this body: 201 says
    that it is durable, 404 that there is no folder for that of the day, 403 that it may not be
    written, 507 that it could not."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    parts: list[bytes]


class Response(NamedTuple):
    """What came back; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Verdict(Enum):
    """What to do with the events of a request.

    DONE: they arrived, but for those in `refused`. LATER: try again. BLOCKED: about the request as
    such (token, permission, address): events wait until somebody has put it right. DIVIDE: at least
    one event is bad and all were refused for it; halves are tried.
    """

    DONE = "done"
    LATER = "later"
    BLOCKED = "blocked"
    DIVIDE = "divide"


class Outcome(msgspec.Struct, frozen=True):
    """A verdict; the platform's `code` and sentence; `refused`, why by index, for events that it
    names as bad: with DONE the others arrived, with DIVIDE none did. `retry_after_s` is its wish
    when to come again, also after DONE (a rate limit that is nearly used up); `http_status` is 0
    where nobody answered."""

    verdict: Verdict
    code: str = ""
    message: str = ""
    retry_after_s: float | None = None
    refused: dict[int, str] = {}
    http_status: int = 0


def one_group(event: Outgoing) -> Hashable:
    """All events may share a request."""
    return None


def can_be_told(destination: Destination, event: Outgoing) -> str:
    """Every event can."""
    return ""


def as_it_is(destination: Destination, request: Request, now_s: int) -> Request:
    """A request that says nothing of when it is sent."""
    return request


class Kind(NamedTuple):
    """A platform. `target` is a struct of what must be told to reach it, with a line of help for
    each field (`msgspec.Meta(description=…)`); `secret` says what its proof is, empty for none.

    `purposes` are those of Google Consent Mode that it needs. `tells_limits`: it can be told that
    data may be used in a limited way only. `age_max_s` gives the age beyond which an event is
    refused by it (None: never). `group` gives the same for events that may share a request;
    `unfit` says why an event cannot be told to it at all, empty when it can. `check` looks at a
    target and secret and raises SettingsError for what cannot be meant. `sign` adds, before each
    attempt, what depends on its time (Unix seconds). `in_flight` and `batch_wait_s` are the rules
    of a destination that is made without any. `corrects`: it can be told of a Refund, the event
    that takes back what an order lost; `corrects` is then the event id of the Purchase.
    """

    name: str
    title: str
    target: type[msgspec.Struct]
    secret: str
    purposes: tuple[str, ...]
    tells_limits: bool
    events_max: int
    size_bytes_max: int
    age_max_s: Callable[[Outgoing], int | None]
    encode: Callable[[Destination, Sequence[Outgoing]], Request]
    decide: Callable[[Response, int], Outcome]
    group: Callable[[Outgoing], Hashable] = one_group
    unfit: Callable[[Destination, Outgoing], str] = can_be_told
    check: Callable[[Destination], None] = lambda destination: None
    sign: Callable[[Destination, Request, int], Request] = as_it_is
    in_flight: int = 4
    batch_wait_s: float = 1.0
    corrects: bool = False
