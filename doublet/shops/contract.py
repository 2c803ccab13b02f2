"""What a platform's module does with a delivery: prove it, read it, tell what it says.

Pure: bytes and headers in, events and messages out. Events are those of the Conversions API with
their plain values, which `accept` hashes before anything is written.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from doublet.catalog import Shop

Headers = Mapping[str, str]
"""By name in lower case."""

Resource = dict[str, Any]
"""A JSON object as a platform's API has it."""


class UnreadableError(Exception):
    """A delivery is proven, but not what its topic promises. The message names fields, never
    values."""


class Delivery(NamedTuple):
    """One delivery of a webhook. `topic` is in the platform's own words, `delivery_id` the same for
    repeats of one delivery, empty where the platform gives none. `received_at_s` is in Unix
    seconds: what some deliveries tell of has no time of its own."""

    topic: str
    delivery_id: str
    resource: Resource
    received_at_s: int = 0


class Errand(NamedTuple):
    """What a delivery asks that its answer cannot wait for. `subject` is JSON: of an `order`, the
    `id` to complete it by, or the `customer_id` of a new customer; of `erase` and `export`,
    `user_data` with plain values, which are hashed before they are kept."""

    kind: Literal["order", "erase", "export"]
    subject: dict[str, Any]


class Told(NamedTuple):
    """What a delivery says: events of the Conversions API, messages about orders (the fields of
    `WireOrder`), errands.

    `tokens` are the carts and checkouts that its visitor went through, `visitor` what it says of
    them (`fbp`, `fbc`, `client_ip_address`, `client_user_agent`): kept for later deliveries with
    one of the tokens, whose events lack them. `passed_over` says why nothing is made of it.
    """

    events: tuple[Resource, ...] = ()
    orders: tuple[Resource, ...] = ()
    errands: tuple[Errand, ...] = ()
    tokens: tuple[str, ...] = ()
    visitor: Mapping[str, str] = {}
    is_test: bool = False
    passed_over: str = ""


class Platform(NamedTuple):
    """A platform that reports orders by webhooks.

    `topics` are those to subscribe to. `is_proven(headers, body, secrets, now_s)` says whether one
    of the secrets signed the delivery; `is_ping` whether it only tries the address, which proves
    nothing and is answered 200. `read` raises UnreadableError. `tell` and `complete`, which makes
    of an errand's fetched resources what the delivery could not tell, raise it too. `wanted` are
    the paths of the platform's API that complete an errand, by the names `complete` knows them by.
    """

    key: str
    name: str
    topics: tuple[str, ...]
    is_proven: Callable[[Headers, bytes, Iterable[str], float], bool]
    is_ping: Callable[[Headers, bytes], bool]
    read: Callable[[Headers, bytes], Delivery]
    tell: Callable[[Delivery, Shop], Told]
    wanted: Callable[[Errand], dict[str, str]] = lambda errand: {}
    complete: Callable[[Errand, dict[str, Any], Shop], Told] = lambda errand, found, shop: Told()


def is_signed(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Whether a signature is base64(HMAC-SHA256(body)) by one of the secrets. All are tried in
    constant time each, so that the answer takes as long whichever it is."""
    given = signature.strip().encode("utf-8", "surrogatepass")
    proven = False
    for secret in secrets:
        made = base64.b64encode(hmac.digest(secret.encode(), body, "sha256"))
        proven |= hmac.compare_digest(made, given)
    return proven
