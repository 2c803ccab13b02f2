"""Action types: the names under which the Insights API counts a conversion.

One conversion has several names, of where it happened and of wider groups (`purchase`,
`omni_purchase`, `offsite_conversion.fb_pixel_purchase` …), so that sums over names count it more
than once (Ads Insights API, *Action types*; observed answers).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

CUSTOM = "offsite_conversion.fb_pixel_custom"
"""All events whose names are not standard ones, on websites."""


class _Names(NamedTuple):
    """The name of a standard event in each group; empty where a group has none."""

    all: str
    omni: str
    app: str


_STANDARD = {
    "AddPaymentInfo": _Names("add_payment_info", "", "add_payment_info"),
    "AddToCart": _Names("add_to_cart", "add_to_cart", "add_to_cart"),
    "AddToWishlist": _Names("add_to_wishlist", "", "add_to_wishlist"),
    "CompleteRegistration": _Names(
        "complete_registration", "complete_registration", "complete_registration"
    ),
    "InitiateCheckout": _Names("initiate_checkout", "initiated_checkout", "initiated_checkout"),
    "Lead": _Names("lead", "", ""),
    "Purchase": _Names("purchase", "purchase", "purchase"),
    "Search": _Names("search", "search", "search"),
    "ViewContent": _Names("view_content", "view_content", "content_view"),
}
_TOTALS = {
    "Contact": "contact",
    "CustomizeProduct": "customize_product",
    "Donate": "donate",
    "FindLocation": "find_location",
    "Schedule": "schedule",
    "StartTrial": "start_trial",
    "SubmitApplication": "submit_application",
    "Subscribe": "subscribe",
}
_TOTAL_ENDS = {"web": "website", "app": "mobile_app", "store": "offline"}


@cache
def action_types(event_name: str, channel: str, custom_id: str | None = None) -> tuple[str, ...]:
    """The names that a conversion counts under. `channel` is where it happened, by its
    `action_source`: web, app, store or other.

    >>> action_types("Purchase", "store")[:3]
    ('purchase', 'omni_purchase', 'offline_conversion.purchase')
    >>> action_types("PageView", "web", "42")
    ('offsite_conversion.custom.42',)
    """
    if custom_id is not None:
        return (f"offsite_conversion.custom.{custom_id}",)
    if event_name in _TOTALS:
        name = _TOTALS[event_name]
        end = _TOTAL_ENDS.get(channel)
        return (f"{name}_total", *((f"{name}_{end}",) if end else ()))
    if event_name not in _STANDARD:
        wide = {
            "web": CUSTOM,
            "app": "app_custom_event.other",
            "store": "offline_conversion.other",
        }
        return (wide[channel],) if channel in wide else ()
    names = _STANDARD[event_name]
    found = [names.all, f"omni_{names.omni}" if names.omni else ""]
    if channel == "web":
        found += [f"offsite_conversion.fb_pixel_{names.all}", f"onsite_web_{names.all}"]
    if channel == "app" and names.app:
        found.append(f"app_custom_event.fb_mobile_{names.app}")
    if channel == "store":
        found.append(f"offline_conversion.{names.all}")
    if channel in ("web", "app"):
        found.append(f"onsite_web_app_{names.all}")
    if event_name == "Purchase" and channel in ("web", "store"):
        found.append("web_in_store_purchase")
    if event_name == "Purchase" and channel in ("web", "app", "store"):
        found.append("web_app_in_store_purchase")
    return tuple(name for name in found if name)
