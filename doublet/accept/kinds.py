"""What each kind of event must hold besides what all do: leads, apps, messages, contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from doublet.refusal import Reason, Refusal, unexpected_key

if TYPE_CHECKING:
    from doublet.accept.steps import Draft

MESSAGING_EVENTS = frozenset(
    "Purchase LeadSubmitted InitiateCheckout AddToCart ViewContent OrderCreated OrderShipped "
    "OrderDelivered OrderCanceled OrderReturned CartAbandoned QualifiedLead RatingProvided "
    "ReviewProvided".split()
)
"""Names of business messaging (Meta, *Conversions API for business messaging*)."""

MESSAGING_CHANNELS = frozenset(("whatsapp", "messenger", "instagram"))
LEAD_ID_DIGITS = range(15, 18)

CONTENT_KEYS = frozenset(
    "id quantity item_price title description brand category delivery_category".split()
)
"""Keys of an entry of `contents`; Meta refuses any other."""

_OS_VERSION = 4
_LISTS_AS_TEXT = ("contents", "content_ids")


def read_lists(custom: dict[str, Any]) -> dict[str, Any]:
    """With `contents` and `content_ids` as lists where they came as JSON text, as WooCommerce sends
    them; what is no list stays as it is."""
    for key in _LISTS_AS_TEXT:
        text = custom.get(key)
        if type(text) is str and text.lstrip().startswith("["):
            try:
                entries = msgspec.json.decode(text)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                continue
            if isinstance(entries, list):
                custom = {**custom, key: entries}
    return custom


def check_contents(draft: Draft, custom: dict[str, Any]) -> Refusal | None:
    """Refuse a key in `contents` that Meta does not know."""
    contents = custom.get("contents")
    if type(contents) is not list:
        return None
    for place, entry in enumerate(contents):
        if type(entry) is dict and not entry.keys() <= CONTENT_KEYS:
            name = min(str(key) for key in entry.keys() - CONTENT_KEYS)
            return draft.fault(
                Reason.INVALID_EVENT,
                unexpected_key(name, f"$['custom_data']['contents'][{place}]"),
                f"custom_data.contents.{place}",
                "unknown_contents_key",
            )
    return None


def check_kind(draft: Draft) -> Refusal | None:
    """What a lead, an app event or a message must hold (Meta, *Conversion leads*, *App events*,
    *Business messaging*)."""
    user_data = draft.user_data or {}
    lead_id = user_data.get("lead_id")
    if lead_id is not None and not (lead_id.isdecimal() and len(lead_id) in LEAD_ID_DIGITS):
        refusal = draft.fault(
            Reason.LEAD_ID_INVALID,
            f"lead_id has {LEAD_ID_DIGITS.start} to {LEAD_ID_DIGITS.stop - 1} digits.",
            "user_data.lead_id",
            "invalid_lead_id",
        )
        if refusal is not None:
            return refusal
    action_source = draft.wire.action_source
    if action_source == "app":
        return _check_app(draft)
    if action_source == "business_messaging":
        return _check_message(draft, user_data)
    return None


def _check_app(draft: Draft) -> Refusal | None:
    extinfo = (draft.wire.app_data or {}).get("extinfo")
    if isinstance(extinfo, list):
        version = extinfo[_OS_VERSION] if len(extinfo) > _OS_VERSION else None
    elif isinstance(extinfo, dict):
        # Meta's SDK for Node writes the list as an object with numbers for keys.
        version = extinfo.get(str(_OS_VERSION))
    else:
        draft.flags.append("missing_extinfo")
        return None
    if version is None or not str(version).strip():
        return draft.fault(
            Reason.OS_VERSION_MISSING,
            "app_data.extinfo names no OS version.",
            f"app_data.extinfo.{_OS_VERSION}",
            "missing_os_version",
        )
    return None


def _check_message(draft: Draft, user_data: dict[str, Any]) -> Refusal | None:
    if draft.event_name not in MESSAGING_EVENTS:
        return draft.fault(
            Reason.MESSAGING_EVENT_TYPE,
            "This event_name is none of business messaging.",
            "event_name",
            "invalid_messaging_event",
        )
    channel = draft.wire.messaging_channel
    if channel not in MESSAGING_CHANNELS:
        known = "invalid_messaging_channel" if channel else "missing_messaging_channel"
        draft.flags.append(known)
    elif channel == "whatsapp" and not user_data.keys() & {
        "whatsapp_business_account_id",
        "page_id",
    }:
        return draft.fault(
            Reason.MESSAGING_IDS_MISSING,
            "A WhatsApp event names neither its account nor its page.",
            "user_data.whatsapp_business_account_id",
            "missing_whatsapp_ids",
        )
    return None
