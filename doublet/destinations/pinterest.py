"""Pinterest's Conversions API, version 5.

Sources: Pinterest, *Send conversions* (its OpenAPI description, github.com/pinterest/
api-description), *Track conversions in the API*, *Use Limited Data Processing flag*, *Rate limits*;
the open implementations of RudderStack (`pinterest_tag`) and Segment (`pinterest-conversions`).
Nothing was tried against Pinterest itself.

The answer says of each event whether it was processed, with HTTP status 200 although some failed.
Copies are told apart by event id and name for 48 hours, those of stores not. Keys and hashes of
customers are nearly Meta's: a first or last name with punctuation, a state outside the United
States, and a postal code with letters may be written otherwise before hashing and then match
nobody, which cannot be seen in a hash. Advertising ids are hashed in lower case as Segment does it;
Pinterest says nothing about case.

Not certain: how large a request may be (Tealium keeps to 2 MB), and how old an event. No limit of
age is documented, so none is set here: what is refused is refused singly. What is more than an hour
late counts as offline (Segment). The body of a 422 is documented as `{code, message, details}`; the
events are looked for in it and in `details`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from doublet.destinations.answers import retry_after_s
from doublet.destinations.contract import (
    RETRY_AFTER_S_MAX,
    Kind,
    Outcome,
    Outgoing,
    Request,
    Response,
    Verdict,
)
from doublet.destinations.encoding import (
    check_server,
    decoded,
    encode_json,
    is_object,
    json_array,
)
from doublet.destinations.products import decimal_text, given, integer, products, text, touch
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from doublet.catalog import Destination

EVENTS = {
    "AddPaymentInfo": "add_payment_info",
    "AddToCart": "add_to_cart",
    "AddToWishlist": "add_to_wishlist",
    "CompleteRegistration": "signup",
    "Contact": "contact",
    "CustomizeProduct": "customize_product",
    "FindLocation": "find_location",
    "InitiateCheckout": "initiate_checkout",
    "Lead": "lead",
    "PageView": "page_visit",
    "Purchase": "checkout",
    "Schedule": "schedule",
    "Search": "search",
    "StartTrial": "start_trial",
    "SubmitApplication": "submit_application",
    "Subscribe": "subscribe",
    "ViewCategory": "view_category",
    "ViewContent": "view_content",
}
"""Pinterest's names of Meta's standard events, and of WooCommerce's ViewCategory."""

CUSTOM = "custom"
"""Its name of every other event."""

_NAMES = frozenset({*EVENTS.values(), CUSTOM, "app_install", "app_open", "watch_video"})

_HASHED = tuple("em ph fn ln ge db ct st zp country external_id".split())

_is_account_id = re.compile(r"[0-9]{1,18}").fullmatch


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Which ad account, and where."""

    ad_account_id: Annotated[str, Meta(description="Ad account id at Pinterest.")]
    url: Annotated[str, Meta(description="Server.")] = "https://api.pinterest.com"


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    target = msgspec.convert(destination.target, Target)
    check_server("url", target.url)
    if not _is_account_id(target.ad_account_id):
        raise SettingsError("ad_account_id is no number.", "The Ads Manager shows it.")


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """One request of up to 1,000 events. With any test code it is a test: answered, not counted,
    and only of its first 20 events."""
    target = msgspec.convert(destination.target, Target)
    parts = [encode_json(_event(event)) for event in events]
    return Request(
        "POST",
        f"{target.url.rstrip('/')}/v5/ad_accounts/{target.ad_account_id}/events"
        + ("?test=true" if destination.rules.test_event_code else ""),
        {
            "authorization": f"Bearer {destination.secret}",
            "content-type": "application/json",
        },
        b'{"data":' + json_array(parts) + b"}",
        parts,
    )


def _event(event: Outgoing) -> dict[str, Any]:
    name = EVENTS.get(event.event_name, event.event_name)
    return given(
        {
            "event_name": name if name in _NAMES else CUSTOM,
            "event_id": event.event_id,
            "event_time": event.event_time,
            "action_source": _action_source(event),
            "event_source_url": event.event_source_url,
            "opt_out": event.is_limited or event.extra.get("opt_out") is True or None,
            "user_data": _user_data(event),
            "custom_data": _custom_data(event),
        }
    )


def _action_source(event: Outgoing) -> str:
    if event.action_source == "app":
        app_data = event.extra.get("app_data")
        details = app_data.get("extinfo") if isinstance(app_data, dict) else None
        # The first entry names the system: a2 of Android, i2 of iOS (Meta, *App events*).
        return "app_ios" if isinstance(details, list) and details[:1] == ["i2"] else "app_android"
    return "web" if event.action_source in (None, "website") else "offline"


def _user_data(event: Outgoing) -> dict[str, Any]:
    user_data = event.user_data
    advertising_id = user_data.get("madid")
    return given(
        {key: user_data.get(key) for key in _HASHED}
        | {
            "hashed_maids": [sha256(advertising_id.lower().encode()).hexdigest()]
            if isinstance(advertising_id, str) and advertising_id
            else None,
            "client_ip_address": user_data.get("client_ip_address"),
            "client_user_agent": user_data.get("client_user_agent"),
            "click_id": touch(event, "epik"),
        }
    )


def _custom_data(event: Outgoing) -> dict[str, Any]:
    """Money is text here."""
    custom = event.custom_data
    found = products(event)
    return given(
        {
            "value": decimal_text(event.value),
            "currency": event.currency,
            "order_id": event.order_id,
            "content_ids": [product.id for product in found],
            "contents": [
                given(
                    {
                        "id": product.id,
                        "item_price": product.price,
                        "quantity": product.quantity,
                        "item_name": product.name,
                        "item_brand": product.brand,
                        "item_category": product.category,
                    }
                )
                for product in found
            ],
            "num_items": integer(custom.get("num_items")),
            "predicted_ltv": decimal_text(custom.get("predicted_ltv")),
            "search_string": text(custom.get("search_string")),
            "content_name": text(custom.get("content_name")),
            "content_category": text(custom.get("content_category")),
            "opt_out_type": "LDP" if event.is_limited else None,
        }
    )


def decide(response: Response, count: int) -> Outcome:
    """What an answer means; a success names the events that failed."""
    status = response.status
    body = decoded(response.body)
    said = (str(body.get("code") or status), str(body.get("message") or f"HTTP {status}"))
    if status == 200 and not is_object(response.body):
        return Outcome(Verdict.LATER, *said, http_status=status)
    if status in (200, 422):
        statuses = _statuses(body)
        if len(statuses) == count:
            is_used_up = response.headers.get("x-ratelimit-remaining", "").strip() == "0"
            return Outcome(
                Verdict.DONE,
                retry_after_s=_reset_s(response.headers) if is_used_up else None,
                refused=_refused(statuses),
                http_status=status,
            )
        # Of a test only the first 20 are looked at.
        return Outcome(Verdict.DIVIDE, *said, http_status=status)
    if status >= 500 or status in (408, 425, 429):
        wait_s = retry_after_s(response.headers)
        wait_s = wait_s if wait_s is not None else _reset_s(response.headers)
        return Outcome(Verdict.LATER, *said, wait_s, http_status=status)
    verdict = Verdict.DIVIDE if status in (400, 413) else Verdict.BLOCKED
    return Outcome(verdict, *said, http_status=status)


def _statuses(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said of each event, in the order of the request."""
    details = body.get("details")
    for place in (body, details if isinstance(details, dict) else {}):
        events = place.get("events")
        if isinstance(events, list):
            return [event if isinstance(event, dict) else {} for event in events]
    return []


def _refused(statuses: list[dict[str, Any]]) -> dict[int, str]:
    return {
        index: str(event.get("error_message") or "Pinterest gave no reason.")
        for index, event in enumerate(statuses)
        if event.get("status") == "failed"
    }


def _reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until requests are counted anew (*Rate limits*)."""
    reset = headers.get("x-ratelimit-reset", "").strip()
    return min(float(reset), RETRY_AFTER_S_MAX) if reset.isdecimal() else None


def unfit(destination: Destination, event: Outgoing) -> str:
    """Each event must name its person in one of three ways."""
    user_data = event.user_data
    has_browser = user_data.get("client_ip_address") and user_data.get("client_user_agent")
    if user_data.get("em") or user_data.get("madid") or has_browser:
        return ""
    return "Pinterest needs em, madid, or client_ip_address with client_user_agent."


KIND = Kind(
    name="pinterest",
    title="Pinterest Conversions API",
    target=Target,
    secret="Conversion access token, from the Ads Manager under Conversions.",
    purposes=("ad_storage", "ad_user_data"),
    tells_limits=True,
    events_max=1000,
    size_bytes_max=2 << 20,
    age_max_s=lambda event: None,
    encode=encode,
    decide=decide,
    unfit=unfit,
    check=check,
)
