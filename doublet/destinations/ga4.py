"""Google Analytics 4, by its Measurement Protocol for web streams.

Sources: Google, *Measurement Protocol reference*, *Send Measurement Protocol events*, *Measurement
Protocol: events*, *Validate events*, *Send user-provided data with User-ID using the Measurement
Protocol*; Analytics Help, *Event naming rules*, *Recommended events*, *Event collection limits*;
the open implementation of RudderStack (`ga4`). Nothing was tried against Google itself.

A request is of one browser: `client_id` is `custom_data.ga_client_id` where the sender gave it
(the cookie `_ga`, with or without its first two parts), else made of `fbp`, which has the same two
parts (a random number and a time), else the hash of `external_id`. Only the first joins the visits
that Google's tag has seen. `user_id` is the hash of `external_id`. Public descriptions put the time
of a single event in two different places; so the time of the whole request is told, and only events
of one second share a request.

Google answers 204 to all it could read, also where it throws the events away (wrong secret, wrong
name, too old): DONE means handed over and no more. Only the validation server, where a destination
with a test code sends to, says what is wrong, and it counts nothing.

Of the customer only the hash of the e-mail address is sent. Google strips the dots of a Gmail
address before hashing and Doublet, like Meta, does not, so of those some match nobody; a telephone
number has a `+` before hashing, and an address counts only with country and postal code in plain
text. Where data may be used in a limited way only, both consents are DENIED, and neither e-mail
address nor IP address is sent.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta

from doublet.destinations.answers import retry_after_s
from doublet.destinations.contract import Kind, Outcome, Outgoing, Request, Response, Verdict
from doublet.destinations.encoding import check_server, decoded, encode_json, json_array
from doublet.destinations.products import amount, given, products
from doublet.errors import SettingsError

if TYPE_CHECKING:
    from doublet.catalog import Destination

_AGE_MAX_S = 72 * 3600
_MICROSECONDS = 1_000_000

EVENTS = {
    "AddPaymentInfo": "add_payment_info",
    "AddToCart": "add_to_cart",
    "AddToWishlist": "add_to_wishlist",
    "CompleteRegistration": "sign_up",
    "Contact": "contact",
    "CustomizeProduct": "customize_product",
    "Donate": "donate",
    "FindLocation": "find_location",
    "InitiateCheckout": "begin_checkout",
    "Lead": "generate_lead",
    "PageView": "page_view",
    "Purchase": "purchase",
    "Refund": "refund",
    "Schedule": "schedule",
    "Search": "search",
    "StartTrial": "start_trial",
    "SubmitApplication": "submit_application",
    "Subscribe": "subscribe",
    "ViewCategory": "view_item_list",
    "ViewContent": "view_item",
}
"""Google's names of Meta's standard events, and of WooCommerce's ViewCategory; where it recommends
none (contact, donate, …) a custom name of the same form."""

RESERVED = frozenset(
    "ad_activeview ad_click ad_exposure ad_impression ad_query ad_reward adunit_exposure "
    "app_clear_data app_exception app_install app_remove app_store_refund "
    "app_store_subscription_cancel app_store_subscription_renew app_update app_upgrade click "
    "dynamic_link_app_open dynamic_link_app_update dynamic_link_first_open error file_download "
    "firebase_campaign firebase_in_app_message_action firebase_in_app_message_dismiss "
    "firebase_in_app_message_impression first_open first_visit form_start form_submit "
    "in_app_purchase notification_dismiss notification_foreground notification_open "
    "notification_receive notification_send os_update screen_view scroll session_start "
    "user_engagement video_progress video_start view_complete view_search_results".split()
)
"""Names of events that Google keeps to itself."""

_RESERVED_PREFIXES = ("firebase_", "ga_", "google_", "gtag.", "_", "query_id")
_NAME_LENGTH_MAX = 40
_PARAMETERS_MAX = 25
_TEXT_LENGTH_MAX = 100
_PAGE_LENGTH_MAX = 1000
_REFERRER_LENGTH_MAX = 420
_ITEMS_MAX = 200

# What is said under another name, or stands for itself.
_TOLD = frozenset(
    "value currency order_id contents content_ids search_string ga_client_id ga_session_id".split()
)

_SECONDS_DIGITS = 10
_not_in_names = re.compile(r"\W+")
_is_name = re.compile(r"[^\W\d_]\w*").fullmatch
_is_measurement_id = re.compile(r"G-[A-Z0-9]{4,20}").fullmatch
_cookie = re.compile(r"GA[0-9]\.[0-9-]+\.").match
_place = re.compile(r"index: \[([0-9]+)\]").search


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Which data stream, and where."""

    measurement_id: Annotated[str, Meta(description="Measurement id of a web stream, G-….")]
    url: Annotated[
        str,
        Meta(
            description="Server; https://region1.google-analytics.com collects in the European "
            "Union."
        ),
    ] = "https://www.google-analytics.com"


def check(destination: Destination) -> None:
    """Raises SettingsError for what cannot be meant."""
    target = msgspec.convert(destination.target, Target)
    check_server("url", target.url)
    if not _is_measurement_id(target.measurement_id):
        raise SettingsError("measurement_id is none.", "It looks like G-ABC1234567.")


def encode(destination: Destination, events: Sequence[Outgoing]) -> Request:
    """One request of up to 25 events of one `group`. The secret stands in the address, since
    Google takes it nowhere else."""
    target = msgspec.convert(destination.target, Target)
    parts = [encode_json(_event(event)) for event in events]
    envelope = _envelope(events[0])
    is_test = bool(destination.rules.test_event_code)
    if is_test:
        envelope["validation_behavior"] = "ENFORCE_RECOMMENDATIONS"
    return Request(
        "POST",
        f"{target.url.rstrip('/')}{'/debug' if is_test else ''}/mp/collect"
        f"?measurement_id={target.measurement_id}&api_secret={quote(destination.secret, safe='')}",
        {"content-type": "application/json"},
        encode_json(envelope)[:-1] + b',"events":' + json_array(parts) + b"}",
        parts,
    )


def group(event: Outgoing) -> Hashable:
    """All that a request says once for its events."""
    return encode_json(_envelope(event))


def _envelope(event: Outgoing) -> dict[str, Any]:
    consent = _consent(event)
    user_data = event.user_data
    email = None if consent.get("ad_user_data") == "DENIED" else user_data.get("em")
    return given(
        {
            "client_id": _client_id(event),
            "user_id": _external_id(event),
            "timestamp_micros": event.event_time * _MICROSECONDS,
            "consent": consent,
            "user_data": given({"sha256_email_address": email}),
            "ip_override": None if event.is_limited else user_data.get("client_ip_address"),
        }
    )


def _consent(event: Outgoing) -> dict[str, str]:
    """What the visitor allowed of the two purposes that can be told."""
    said = event.extra.get("consent")
    purposes = ("ad_user_data", "ad_personalization")
    if event.is_limited:
        return dict.fromkeys(purposes, "DENIED")
    if not isinstance(said, dict):
        return {}
    return {
        purpose: said[purpose].upper()
        for purpose in purposes
        if said.get(purpose) in ("granted", "denied")
    }


def _external_id(event: Outgoing) -> str | None:
    ids = event.user_data.get("external_id")
    return ids[0] if ids else None


def _client_id(event: Outgoing) -> str | None:
    known = event.custom_data.get("ga_client_id")
    if isinstance(known, str) and known:
        start = _cookie(known)
        return known[start.end() :] if start else known
    parts = str(event.user_data.get("fbp") or "").split(".", 3)
    if len(parts) == 4:
        # Some plug-ins write seconds there already.
        return f"{parts[3]}.{parts[2][:_SECONDS_DIGITS]}"
    return _external_id(event)


def _event(event: Outgoing) -> dict[str, Any]:
    custom = event.custom_data
    name = _name(event.event_name)
    params = {
        # Without it nobody is counted as active (*Send Measurement Protocol events*).
        "engagement_time_msec": 1,
        "session_id": custom.get("ga_session_id"),
        # By it Google counts a purchase once.
        "transaction_id": event.order_id or (event.event_id if name == "purchase" else None),
        "value": amount(event.value),
        "currency": event.currency,
        "items": _items(event),
        "search_term": _cut(custom.get("search_string")),
        "page_location": _cut(event.event_source_url, _PAGE_LENGTH_MAX),
        "page_referrer": _cut(event.extra.get("referrer_url"), _REFERRER_LENGTH_MAX),
        "event_id": _cut(event.event_id),
    }
    params = given(params)
    for key in sorted(custom.keys() - _TOLD - params.keys()):
        value = _cut(custom[key])
        if len(params) < _PARAMETERS_MAX and value not in (None, "") and _may_be_called(key):
            params[key] = value
    return {"name": name, "params": params}


def _items(event: Outgoing) -> list[dict[str, Any]]:
    return [
        given(
            {
                "item_id": _cut(product.id),
                "item_name": _cut(product.name),
                "item_brand": _cut(product.brand),
                "item_category": _cut(product.category),
                "price": amount(product.price),
                "quantity": product.quantity,
            }
        )
        for product in products(event)[:_ITEMS_MAX]
    ]


def _cut(value: object, length_max: int = _TEXT_LENGTH_MAX) -> Any:
    """A text that is not too long, or a number; None for what is no parameter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value[:length_max]
    return value if isinstance(value, int | float) else None


def _name(event_name: str) -> str:
    """Google's name; a custom one with what may not stand in names as `_`.

    >>> _name("Purchase"), _name("Viewed Pricing!"), _name("view_item")
    ('purchase', 'Viewed_Pricing', 'view_item')
    """
    known = EVENTS.get(event_name)
    return known or _not_in_names.sub("_", event_name).rstrip("_")[:_NAME_LENGTH_MAX]


def _may_be_called(name: str) -> bool:
    is_free = len(name) <= _NAME_LENGTH_MAX and not name.startswith(_RESERVED_PREFIXES)
    return is_free and bool(_is_name(name))


def unfit(destination: Destination, event: Outgoing) -> str:
    """An event needs a browser or person, and a name that Google does not keep to itself."""
    name = _name(event.event_name)
    if name in RESERVED or not _may_be_called(name):
        return f"Google Analytics takes no event called {name!r}; rename it."
    if not _client_id(event):
        return "Google Analytics needs ga_client_id in custom_data, fbp, or external_id."
    return ""


def decide(response: Response, count: int) -> Outcome:
    """What an answer means: with 2xx that it arrived, and of the validation server what is wrong
    with which event."""
    status = response.status
    if status in range(200, 300):
        return _validated(decoded(response.body), count, status)
    said = (str(status), f"HTTP {status}")
    if status >= 500 or status in (408, 425, 429):
        return Outcome(Verdict.LATER, *said, retry_after_s(response.headers), http_status=status)
    verdict = Verdict.DIVIDE if status == 413 else Verdict.BLOCKED
    return Outcome(verdict, *said, http_status=status)


def _validated(body: dict[str, Any], count: int, status: int) -> Outcome:
    found = body.get("validationMessages")
    messages = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    refused: dict[int, str] = {}
    for message in messages:
        why = str(message.get("description") or "Google gave no reason.")
        place = _place(why)
        index = int(place[1]) if place else 0
        if (place is None and count > 1) or index >= count:
            return Outcome(
                Verdict.DIVIDE, str(message.get("validationCode") or status), why, None, {}, status
            )
        refused.setdefault(index, why)
    return Outcome(Verdict.DONE, refused=refused, http_status=status)


KIND = Kind(
    name="ga4",
    title="Google Analytics 4",
    target=Target,
    secret="API secret, from the data stream under Measurement Protocol API secrets.",
    purposes=("analytics_storage",),
    tells_limits=True,
    events_max=25,
    size_bytes_max=130_000,
    age_max_s=lambda event: _AGE_MAX_S,
    encode=encode,
    decide=decide,
    group=group,
    unfit=unfit,
    check=check,
    # Nearly every event is a request of its own.
    in_flight=32,
    corrects=True,
)
