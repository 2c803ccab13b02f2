"""Meta's Conversions API, at Meta or at any server that speaks it, such as another Doublet.

Source: Meta, *Conversions API: Using the API*, *Server event parameters*, *Customer information
parameters*. A request holds up to 1,000 events and is refused whole for one of them; an event may
be 7 days old, that of a physical store 62.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from doublet.destinations.answers import judge
from doublet.destinations.contract import (
    Kind,
    Outcome,
    Outgoing,
    Request,
    Response,
    Verdict,
)
from doublet.destinations.encoding import (
    check_server,
    custom_data,
    decoded,
    encode_json,
    json_array,
)
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import Destination

_DAY_S = 86_400
_AGE_MAX_S = 7 * _DAY_S
_AGE_IN_STORE_MAX_S = 62 * _DAY_S

# Fields of a server event beside those that Doublet keeps in columns of their own.
_FIELDS = tuple(
    "referrer_url opt_out data_processing_options data_processing_options_country "
    "data_processing_options_state app_data advanced_measurement_table messaging_channel "
    "original_event_data attribution_data customer_segmentation".split()
)
_OPTIONS = "data_processing_options"

_is_id = re.compile(r"[0-9]{5,20}").fullmatch
_is_version = re.compile(r"v[0-9]{1,3}\.[0-9]").fullmatch


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Which pixel, and where."""

    pixel_id: Annotated[str, Meta(description="Pixel (dataset) id at Meta.")]
    url: Annotated[str, Meta(description="Server; another Doublet's address relays to that.")] = (
        "https://graph.facebook.com"
    )
    version: Annotated[str, Meta(description="Version of the Graph API.")] = "v25.0"


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    target = msgspec.convert(destination.target, Target)
    check_server("url", target.url)
    if not _is_id(target.pixel_id):
        raise SettingsError("pixel_id is no number.", "The Events Manager shows it.")
    if not _is_version(target.version):
        raise SettingsError(f"version {target.version!r} is none.", "Write it as v25.0.")


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """One request of up to 1,000 events."""
    target = msgspec.convert(destination.target, Target)
    parts = [encode_json(_server_event(event)) for event in events]
    envelope = b'{"data":' + json_array(parts)
    if destination.rules.test_event_code:
        envelope += b',"test_event_code":' + encode_json(destination.rules.test_event_code)
    return Request(
        "POST",
        f"{target.url.rstrip('/')}/{target.version}/{target.pixel_id}/events",
        {
            "authorization": f"Bearer {destination.secret}",
            "content-type": "application/json",
        },
        envelope + b',"partner_agent":"doublet"}',
        parts,
    )


def _server_event(event: Outgoing) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event_name": event.event_name,
        "event_time": event.event_time,
        "event_id": event.event_id,
        # It is required. What a page reported is of the website whether or not it says so.
        "action_source": event.action_source or ("website" if event.event_source_url else None),
        "event_source_url": event.event_source_url,
        "user_data": event.user_data,
        "custom_data": custom_data(event) or None,
    }
    for name in _FIELDS:
        fields[name] = event.extra.get(name)
    options = fields[_OPTIONS]
    if event.is_limited and not options:
        # Country and state of 0: Meta finds them out by itself (*Data processing options*).
        fields |= {
            _OPTIONS: ["LDU"],
            f"{_OPTIONS}_country": 0,
            f"{_OPTIONS}_state": 0,
        }
    return {name: value for name, value in fields.items() if value is not None}


def decide(response: Response, count: int) -> Outcome:
    """What an answer means; see `judge`. A 200 that does not say that events were received is some
    other server's, such as a proxy's sign-in page."""
    outcome = judge(response)
    if outcome.verdict is Verdict.DONE and "events_received" not in decoded(response.body):
        message = "The answer does not say that events were received."
        return Outcome(Verdict.LATER, str(response.status), message, http_status=response.status)
    return outcome


def age_max_s(event: Outgoing) -> int:
    """Seconds since event_time."""
    in_store = event.action_source == "physical_store"
    return _AGE_IN_STORE_MAX_S if in_store else _AGE_MAX_S


KIND = Kind(
    name="meta",
    title="Meta Conversions API",
    target=Target,
    secret="Access token, from the Events Manager under Settings, Conversions API.",
    purposes=("ad_storage", "ad_user_data"),
    tells_limits=True,
    events_max=1000,
    size_bytes_max=8 << 20,
    age_max_s=age_max_s,
    encode=encode,
    decide=decide,
    check=check,
)
