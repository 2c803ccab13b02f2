"""A webhook: events as JSON to any address, signed.

Source of the signature: *Standard Webhooks* 1.0.0, which many receivers check with a library. It
covers the time of the attempt, and receivers refuse what is older than five minutes; so `encode`,
which is the same at each attempt, leaves it to `sign`.

The body is `{"type": "events", "data": [EVENT, …]}` with up to 100 events, and `test_event_code`
where the destination has one. An event has the names of the Conversions API:

- `event_name`, `event_id`, `event_time` (Unix seconds), `action_source`, `event_source_url`,
- `user_data`: lists of SHA-256 as Meta documents them, others plain,
- `custom_data`, and out of it `value`, `currency` and `order_id` (after the destination's rules),
- `pixel_id`: Doublet's; `extra`: further fields, with other platforms' click ids in `touch`,
- `is_limited`: the visitor's data may be used in a limited way only.

`webhook-id` is made of the events' ids, so that a receiver knows a request that comes again. After
an error or a restart events may come in other company: then pixel, name and `event_id` name one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from doublet.destinations.contract import Kind, Outgoing, Request
from doublet.destinations.encoding import (
    check_address,
    digest_of,
    encode_json,
    json_array,
    wire_event,
)
from doublet.destinations.statuses import judge_status
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import Destination

_PREFIX = "whsec_"
_KEY_BYTES_MIN = 24
_KEY_BYTES_MAX = 64


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Who listens."""

    url: Annotated[str, Meta(description="Address that events are posted to.")]


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    check_address("url", msgspec.convert(destination.target, Target).url)
    signing_key(destination.secret)


def signing_key(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks. Raises SettingsError where it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
        raise SettingsError(
            "The secret is none of Standard Webhooks: whsec_ and 24 to 64 bytes as Base64.",
            'Make one, for both sides: echo "whsec_$(openssl rand -base64 32)" > secret',
        )
    return key


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """One request; `sign` completes it."""
    parts = [encode_json(wire_event(event)) for event in events]
    body = b'{"type":"events","data":' + json_array(parts)
    if destination.rules.test_event_code:
        body += b',"test_event_code":' + encode_json(destination.rules.test_event_code)
    return Request(
        "POST",
        msgspec.convert(destination.target, Target).url,
        {"content-type": "application/json", "webhook-id": f"msg_{digest_of(events)}"},
        body + b"}",
        parts,
    )


def sign(destination: Destination, request: Request, now_s: int) -> Request:
    """The request with the time of this attempt and the signature, HMAC-SHA256 over
    `ID.TIMESTAMP.BODY` (Standard Webhooks, *Signature scheme*)."""
    signed = f"{request.headers['webhook-id']}.{now_s}.".encode() + request.body
    digest = hmac.digest(signing_key(destination.secret), signed, "sha256")
    headers = {
        **request.headers,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return request._replace(headers=headers)


KIND = Kind(
    name="webhook",
    title="Signed webhook",
    target=Target,
    secret="Signing secret as of Standard Webhooks: whsec_…, the same at the receiver.",
    # Who listens is not known; so it is treated like an ad platform.
    purposes=("ad_storage", "ad_user_data"),
    tells_limits=True,
    events_max=100,
    size_bytes_max=1 << 20,
    age_max_s=lambda event: None,
    encode=encode,
    decide=judge_status,
    check=check,
    sign=sign,
    corrects=True,
)
