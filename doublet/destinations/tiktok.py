"""TikTok's Events API 2.0, for events of websites.

Sources: TikTok API for Business, *Setup guide for Web*, *Events API Parameters*, *Supported
events*, *Event Deduplication*, *Send TikTok Click ID*, *Responses and errors*, *Rate limits
Overview*, *Limited data use*, *Verify Web Events API setup*; TikTok Business Help Center, *How to
Adopt TikTok's Updated Standard Events*; the open implementations of RudderStack (`tiktok_ads`) and
Segment (`tiktok-conversions`). Nothing was tried against TikTok itself.

Its standard events bear Meta's names since May 2025, so names go as they are. Copies are told
apart by pixel, name and event id for 48 hours. Its hashes of e-mail address and external id are
Doublet's; names are hashed without punctuation like Meta's (whether spaces stay is not said), how
a postal code is written before hashing is not said either. Its telephone number has a `+` before
hashing and Doublet's has none, so the hash would match nobody and is left out; city, state and
country are wanted in plain text, which Doublet has not.

Not certain: how large a request may be (Tealium keeps to 1 MB); how old an event may be (Amperity,
*Configure events for TikTok Ads*, says 28 days, the longest attribution window); and what answer
20001 (partly done) holds at this address: the events are sent again in halves, which TikTok counts
once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from doublet.destinations.answers import retry_after_s
from doublet.destinations.contract import Kind, Outcome, Outgoing, Request, Response, Verdict
from doublet.destinations.encoding import check_server, decoded, encode_json, json_array
from doublet.destinations.products import amount, given, integer, products, text, touch
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import Destination

_DAY_S = 86_400
_AGE_MAX_S = 28 * _DAY_S

_TOO_MANY_REQUESTS = 40100  # It comes with HTTP status 401.
_TIMED_OUT = 40700
_SERVER_CODES = range(50000, 70000)
_CREDENTIAL_CODES = frozenset({40001, 40101, 40102, 40103, 40104, 40105, 40110})

_is_pixel_code = re.compile(r"[A-Za-z0-9]{1,100}").fullmatch
_is_of_the_pixel = re.compile(r"event_source|pixel", re.IGNORECASE).search


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Which pixel, and where."""

    pixel_code: Annotated[str, Meta(description="Pixel ID, from the Events Manager.")]
    url: Annotated[str, Meta(description="Server.")] = "https://business-api.tiktok.com"


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    target = msgspec.convert(destination.target, Target)
    check_server("url", target.url)
    if not _is_pixel_code(target.pixel_code):
        raise SettingsError("pixel_code is none.", "The Events Manager shows it as Pixel ID.")


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """One request of up to 1,000 events; one more and all are refused."""
    target = msgspec.convert(destination.target, Target)
    parts = [encode_json(_event(event)) for event in events]
    envelope = b'{"data":' + json_array(parts) + b',"event_source":"web","event_source_id":'
    envelope += encode_json(target.pixel_code)
    if destination.rules.test_event_code:
        envelope += b',"test_event_code":' + encode_json(destination.rules.test_event_code)
    return Request(
        "POST",
        f"{target.url.rstrip('/')}/open_api/v1.3/event/track/",
        {"access-token": destination.secret, "content-type": "application/json"},
        envelope + b"}",
        parts,
    )


def _event(event: Outgoing) -> dict[str, Any]:
    return given(
        {
            "event": event.event_name,
            "event_id": event.event_id,
            "event_time": event.event_time,
            "user": _user(event),
            "page": given(
                {"url": event.event_source_url, "referrer": event.extra.get("referrer_url")}
            ),
            "properties": _properties(event),
            "limited_data_use": event.is_limited or None,
        }
    )


def _user(event: Outgoing) -> dict[str, Any]:
    user_data = event.user_data
    first = {key: (user_data.get(key) or [None])[0] for key in ("fn", "ln", "zp")}
    return given(
        {
            "email": user_data.get("em"),
            "external_id": user_data.get("external_id"),
            "first_name": first["fn"],
            "last_name": first["ln"],
            "zip_code": first["zp"],
            "ip": user_data.get("client_ip_address"),
            "user_agent": user_data.get("client_user_agent"),
            "ttclid": touch(event, "ttclid"),
        }
    )


def _properties(event: Outgoing) -> dict[str, Any]:
    custom = event.custom_data
    content_type = custom.get("content_type")
    return given(
        {
            "contents": [
                given(
                    {
                        "content_id": product.id,
                        "content_name": product.name,
                        "content_category": product.category,
                        "brand": product.brand,
                        "price": amount(product.price),
                        "quantity": product.quantity,
                    }
                )
                for product in products(event)
            ],
            "content_type": content_type if content_type in ("product", "product_group") else None,
            "value": amount(event.value),
            "currency": event.currency,
            "order_id": event.order_id,
            "num_items": integer(custom.get("num_items")),
            "predicted_ltv": amount(custom.get("predicted_ltv")),
            "search_string": text(custom.get("search_string")),
            "delivery_category": text(custom.get("delivery_category")),
        }
    )


def decide(response: Response, count: int) -> Outcome:
    """What an answer means. The code in the body counts more than the HTTP status: errors come
    with 200, and too many requests with 401."""
    status = response.status
    body = decoded(response.body)
    code = body.get("code")
    if code == 0 and status in range(200, 300):
        return Outcome(Verdict.DONE, http_status=status)
    message = str(body.get("message") or f"HTTP {status}")
    verdict = _verdict(code, status, message)
    wait_s = None if verdict is Verdict.DIVIDE else retry_after_s(response.headers)
    return Outcome(verdict, str(code or status), message, wait_s, http_status=status)


def _verdict(code: object, status: int, message: str) -> Verdict:
    if not isinstance(code, int):
        # Not TikTok but something before it: too large, broken, or an address of other people.
        if status == 413:
            return Verdict.DIVIDE
        is_of_address = status in range(300, 500) and status not in (408, 425, 429)
        return Verdict.BLOCKED if is_of_address else Verdict.LATER
    if code in (_TOO_MANY_REQUESTS, _TIMED_OUT) or code in _SERVER_CODES or status >= 500:
        return Verdict.LATER
    if code in _CREDENTIAL_CODES or status in (403, 404):
        return Verdict.BLOCKED
    # The same code is of a bad event and of a pixel that is none: then all would be bad.
    return Verdict.BLOCKED if _is_of_the_pixel(message) else Verdict.DIVIDE


def unfit(destination: Destination, event: Outgoing) -> str:
    """A web event must name its page; those of shops, apps and CRM have sources of their own."""
    if event.action_source not in (None, "website"):
        return f"TikTok's pixel takes events of the website, not of {event.action_source}."
    return "" if event.event_source_url else "TikTok takes no web event without event_source_url."


KIND = Kind(
    name="tiktok",
    title="TikTok Events API",
    target=Target,
    secret="Access token, from the Events Manager under Settings, Events API.",
    purposes=("ad_storage", "ad_user_data"),
    tells_limits=True,
    events_max=1000,
    size_bytes_max=1 << 20,
    age_max_s=lambda event: _AGE_MAX_S,
    encode=encode,
    decide=decide,
    unfit=unfit,
    check=check,
)
