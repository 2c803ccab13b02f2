"""The records of the log, with the names they have on the wire.

`WireEvent` is what a Conversions API client sends, `Event` what Doublet keeps of it: checked,
hashed and stamped. One record is one line of canonical JSON; `encode` is the only writer.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Literal

import msgspec

Text = str | int | None
"""An identifier that is never hashed; clients send numbers and strings alike."""

Source = Literal["browser", "server"]

STANDARD_EVENTS = tuple(
    "AddPaymentInfo AddToCart AddToWishlist CompleteRegistration Contact CustomizeProduct Donate "
    "FindLocation InitiateCheckout Lead PageView Purchase Schedule Search StartTrial "
    "SubmitApplication Subscribe ViewContent".split()
)
"""The names that Meta gives a meaning (*Meta Pixel reference, Standard events*)."""


SETUP_CODE_START = "SETUP"
SETUP_CODE_LENGTH = 17
"""A test_event_code of this beginning and length may be one that the set-up guide made."""


def may_be_setup_code(code: str | None) -> bool:
    """Whether a test_event_code is shaped like those of the set-up guide."""
    return code is not None and code[:5] == SETUP_CODE_START and len(code) == SETUP_CODE_LENGTH


class WireEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One element of `data` in a Conversions API request (Meta, *Server event parameters*)."""

    event_name: str | None = None
    event_time: int | float | str | None = None
    user_data: dict[str, Any] | None = None
    custom_data: dict[str, Any] | None = None
    event_id: Text = None
    action_source: str | None = None
    event_source_url: str | None = None
    referrer_url: str | None = None
    opt_out: bool | int | str | None = None
    data_processing_options: list[str] | str | None = None
    data_processing_options_country: int | str | None = None
    data_processing_options_state: int | str | None = None
    app_data: dict[str, Any] | None = None
    advanced_measurement_table: str | None = None
    messaging_channel: str | None = None
    original_event_data: dict[str, Any] | None = None
    attribution_data: dict[str, Any] | None = None
    customer_segmentation: str | None = None


class EventsRequest(msgspec.Struct, kw_only=True):
    """The body of `POST /vN.N/<pixel_id>/events`.

    Meta's Python SDK sends `data` as an array of JSON-encoded strings, its Node SDK as an array
    of objects, and forms carry either as one JSON string. Events are decoded one by one, as
    `WireEvent`. Clients of Meta's gateway name the token `accessKey`.
    """

    data: list[msgspec.Raw] | str | None = None
    access_token: str | None = None
    gateway_key: str | None = msgspec.field(default=None, name="accessKey")
    appsecret_proof: str | None = None
    test_event_code: str | None = None
    partner_agent: str | None = None


class Event(msgspec.Struct, omit_defaults=True):
    """One accepted copy of an event. `received_at` is in microseconds since 1970, UTC.

    In `user_data` the hashed keys are lists of SHA-256 hex, the others plain text.
    """

    record_type: str
    account_id: str
    pixel_id: str
    source: Source
    received_at: int
    event_key: int
    event_name: str
    event_time: int
    event_id: str | None = None
    action_source: str | None = None
    event_source_url: str | None = None
    user_data: dict[str, Any] | None = None
    value: str | None = None
    currency: str | None = None
    order_id: str | None = None
    custom_data: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    flags: list[str] | None = None
    is_test: bool = False


class Refused(msgspec.Struct, omit_defaults=True):
    """One refused request, kept so that an operator finds it and can replay it.

    `payload` is the hashed content where the body could be read, otherwise only size and digest
    are known. `account_id` is empty where the sender proved no account.
    """

    record_type: str
    account_id: str
    pixel_id: str
    source: Source
    received_at: int
    reason: str
    message: str
    size_bytes: int
    sha256: str
    payload: Any = None


class Decision(msgspec.Struct, omit_defaults=True):
    """What an operator has decided; a later record with its `decision_id` replaces it."""

    record_type: str
    account_id: str
    source: Source
    received_at: int
    decision_id: str
    kind: str
    identifier_a: str
    identifier_b: str
    reason: str
    is_revoked: bool = False


class WireOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One element of `data` in a request to `/v1/orders`: what a shop says about one of its orders.

    There is no field for the customer. `message_id` names the change, not its delivery.
    """

    order_id: Text = None
    kind: str | None = None
    changed_at: int | float | str | None = None
    value: int | float | str | None = None
    currency: str | None = None
    message_id: Text = None
    parent_order_id: Text = None
    action_source: str | None = None


class OrdersRequest(msgspec.Struct, kw_only=True):
    """The body of `POST /v1/orders`."""

    data: list[WireOrder] | None = None
    access_token: str | None = None


class OrderMessage(msgspec.Struct, omit_defaults=True):
    """One accepted message about an order. Both times are in microseconds since 1970, UTC:
    `changed_at` is the shop's, `received_at` ours.

    `message_key` is the same for messages that say the same.
    """

    record_type: str
    account_id: str
    source: Source
    received_at: int
    order_id: str
    kind: str
    changed_at: int
    message_id: str
    message_key: int
    value: str | None = None
    currency: str | None = None
    parent_order_id: str | None = None
    action_source: str | None = None


class WireLead(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One element of `data` in a request to `/v1/leads`: a stage that a lead has reached, as the
    CRM `crm` says. `lead_id` is the site's event id of the Lead, Meta's, or the CRM's own."""

    lead_id: Text = None
    stage: str | None = None
    changed_at: int | float | str | None = None
    pixel_id: Text = None
    email: str | list[str] | None = None
    phone: str | list[str] | None = None
    external_id: Text = None
    fbp: str | None = None
    fbc: str | None = None
    value: int | float | str | None = None
    currency: str | None = None
    crm: str | None = None


class LeadsRequest(msgspec.Struct, kw_only=True):
    """The body of `POST /v1/leads`."""

    data: list[WireLead] | None = None
    access_token: str | None = None


class WireTouch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One element of `data` in a request to `/v1/ad_touches`: an ad was shown or clicked, or left
    out for a holdout (`held_out`). `touch_id` names it, so that sending it again repeats nothing;
    `click_id` is what the page that was clicked to gets."""

    kind: str | None = None
    touched_at: int | float | str | None = None
    platform: str | None = None
    touch_id: Text = None
    campaign_id: Text = None
    adset_id: Text = None
    ad_id: Text = None
    placement: Text = None
    click_id: Text = None
    experiment: Text = None
    cost: int | float | str | None = None
    currency: str | None = None
    user_data: dict[str, Any] | None = None


class TouchesRequest(msgspec.Struct, kw_only=True):
    """The body of `POST /v1/ad_touches`."""

    data: list[WireTouch] | None = None
    access_token: str | None = None


class AdTouch(msgspec.Struct, omit_defaults=True):
    """One accepted ad touch. Both times are in microseconds since 1970, UTC; `touch_key` is the
    same for all records of one touch. `user_data` is as in `Event`."""

    record_type: str
    account_id: str
    source: Source
    received_at: int
    touch_id: str
    touch_key: int
    kind: str
    touched_at: int
    platform: str
    campaign_id: str | None = None
    adset_id: str | None = None
    ad_id: str | None = None
    placement: str | None = None
    click_id: str | None = None
    experiment: str | None = None
    cost: str | None = None
    currency: str | None = None
    user_data: dict[str, Any] | None = None
    flags: list[str] | None = None
    is_test: bool = False


class AdDecision(msgspec.Struct, omit_defaults=True):
    """One ad that delivery has chosen for one place of an answer. `received_at` and `decided_at`
    are in microseconds since 1970, UTC. `price` is a decimal text in `currency`, `bid` in the same
    per action (for value goals per unit of value), `value` and `total_value` per impression.
    `lease` names the part of the budget that pays it. It holds no identifier of a person; touches
    with `DECISION_ID.POSITION.v` and `.c` as their `touch_id` are what became of it."""

    record_type: str
    account_id: str
    source: Source
    received_at: int
    decision_id: str
    decided_at: int
    position: int
    policy: str
    ad_id: str
    adset_id: str
    campaign_id: str
    propensity: float
    p_click: float
    p_action: float
    value: float
    bid: float
    total_value: float
    price: str
    currency: str
    billing_event: str
    lease: str
    placement: str | None = None
    is_explored: bool = False
    features: list[str] | None = None
    candidates: int = 0
    is_test: bool = False


class WireFigure(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How many conversions a platform reports, and what they are worth."""

    count: int | float | str | None = None
    value: int | float | str | None = None


Reported = dict[str, dict[str, WireFigure]]
"""A platform's own conversions: by action type, then by window.

    {"purchase": {"value": {"count": "12", "value": "118.5"},
                  "7d_click": {"count": "10", "value": "99.5"}, "1d_view": {"count": "2"}}}

Action types and windows are Meta's words (*AdsActionStats*). The window `value` is what the
platform itself shows, under its own attribution setting; a window that is missing was zero or not
asked for. In records count and value are decimal texts."""


class WireAdDay(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One element of `data` in a request to `/v1/ad_days`: what a platform says of a campaign, an
    ad set or an ad on one day of its own zone; without `date`, only what it is called."""

    platform: str | None = None
    level: str | None = None
    date: str | None = None
    campaign_id: Text = None
    campaign_name: Text = None
    adset_id: Text = None
    adset_name: Text = None
    ad_id: Text = None
    ad_name: Text = None
    impressions: int | float | str | None = None
    clicks: int | float | str | None = None
    reach: int | float | str | None = None
    spend: int | float | str | None = None
    currency: str | None = None
    reported: Reported | None = None
    time_zone: str | None = None


class AdDaysRequest(msgspec.Struct, kw_only=True):
    """The body of `POST /v1/ad_days`."""

    data: list[WireAdDay] | None = None
    access_token: str | None = None


class AdDay(msgspec.Struct, omit_defaults=True):
    """One accepted row of a day's delivery; `received_at` is in microseconds since 1970, UTC."""

    record_type: str
    account_id: str
    source: Source
    received_at: int
    platform: str
    level: str
    date: str | None = None
    campaign_id: str | None = None
    campaign_name: str | None = None
    adset_id: str | None = None
    adset_name: str | None = None
    ad_id: str | None = None
    ad_name: str | None = None
    impressions: int | None = None
    clicks: int | None = None
    reach: int | None = None
    spend: str | None = None
    currency: str | None = None
    reported: dict[str, dict[str, dict[str, str]]] | None = None
    time_zone: str | None = None


_encoder = msgspec.json.Encoder(decimal_format="string")
encode = _encoder.encode
"""Canonical JSON of a record: UTF-8, one line, keys in the order of the struct."""


MONEY_MAX = 10**14
"""A `value` is less than this, and more than its negative."""

_MONEY_STEP = Decimal("0.0001")
_plain_decimal = re.compile(r"[0-9]{1,14}(\.[0-9]{1,4})?").fullmatch


def money(number: object) -> str | None:
    """A `value` from the wire as a plain decimal text, None when it is not a sensible number.

    Every result fits decimal(18,4): one that did not would stop the loading of all others.

    >>> money(49.9), money(" 12.50 "), money("12,50"), money(1e30), money("1e-7")
    ('49.9', '12.50', None, None, '0.0000')
    """
    kind = type(number)
    if kind is str:
        text = number.strip()  # type: ignore[attr-defined]
        if _plain_decimal(text):
            return str(text)
    elif kind is float or kind is int:
        text = repr(number)
        if 0.001 <= number < MONEY_MAX:  # type: ignore[operator]
            return text
    else:
        return None
    if not text.isascii() or len(text) > 40 or "_" in text:
        return None
    try:
        exact = Decimal(text)
        if not exact.is_finite() or abs(exact) >= MONEY_MAX:
            return None
        # Rounded before it is written out: as text, 1e-9999999 would be ten million characters.
        exact = exact.quantize(_MONEY_STEP)
    except ArithmeticError:
        return None
    return f"{exact:f}" if abs(exact) < MONEY_MAX else None
