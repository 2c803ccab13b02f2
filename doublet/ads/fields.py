"""The fields of a day of an ad and of an ad touch that a column of a file can be mapped to, and the
names that columns have for them in the exports of Meta, Google and TikTok, English and German."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from doublet.accept.ad_touches import TOUCH_USER_KEYS
from doublet.imports.fields import FIELD, REPORTED, Field, Known, plain_name

What = Literal["days", "touches"]

DATE_STOP = "date_stop"
"""The last day of a row; it must be the first one."""


def _field(name: str, kind: str, names: str = "") -> Field:
    return Field(name, kind, True, tuple(names.split("|") if names else ()))  # type: ignore[arg-type]


_PLATFORM = _field("platform", "text", "ad platform|ad network|network name|quelle")
_IDS = (
    _field("campaign_id", "text", "campaign no|kampagnen-id|kampagnenid"),
    _field(
        "adset_id",
        "text",
        "ad set id|ad group id|adgroup id|ad squad id|anzeigengruppen-id|line item id",
    ),
    _field("ad_id", "text", "creative id|anzeigen-id|werbeanzeigen-id|aid"),
)
_CURRENCY = _field("currency", "currency", "currency code|account currency|währung|währungscode")

DAY_FIELDS: tuple[Field, ...] = (
    _PLATFORM,
    _field("level", "text", "delivery level"),
    _field(
        "date",
        "time",
        "day|reporting starts|date start|by day|stat time day|tag|berichtsstart|datum|start date",
    ),
    _field(DATE_STOP, "time", "reporting ends|date stop|berichtsende|end date"),
    *_IDS,
    _field("campaign_name", "text", "campaign|kampagne|kampagnenname|name der kampagne"),
    _field(
        "adset_name",
        "text",
        "ad set name|ad set|ad group name|ad group|adgroup name|anzeigengruppe"
        "|name der anzeigengruppe|anzeigengruppenname",
    ),
    _field("ad_name", "text", "ad|anzeige|werbeanzeige|name der werbeanzeige|anzeigenname"),
    _field("impressions", "number", "impr|impression|impressionen|einblendungen"),
    _field(
        "clicks",
        "number",
        "link clicks|clicks all|clicks destination|outbound clicks|link-klicks|klicks|click",
    ),
    _field("reach", "number", "reichweite|unique users"),
    _field(
        "spend",
        "money",
        "amount spent|cost|total cost|costs|spent|ad spend|ausgegebener betrag|kosten|ausgaben",
    ),
    _CURRENCY,
    _field("time_zone", "text", "timezone|zeitzone"),
)
"""Besides `reported.ACTION.WINDOW.count` and `reported.ACTION.WINDOW.value`."""

TOUCH_FIELDS: tuple[Field, ...] = (
    _field("kind", "text", "event|event type|event name|type|action|interaction|interaction type"),
    _field(
        "touched_at",
        "time",
        "timestamp|time|event time|click time|impression time|date time|datetime|clicked at"
        "|served at|ts|zeitpunkt",
    ),
    _PLATFORM,
    _field("touch_id", "text", "event id|impression id|log id|id"),
    *_IDS,
    _field("placement", "text", "site|publisher|zone|platzierung|placement id"),
    Field(
        "click_id",
        "text",
        False,
        tuple("clickid|gclid|fbclid|ttclid|msclkid|twclid|li fat id|epik|sccid".split("|")),
    ),
    _field("experiment", "text", "holdout|test id|study id"),
    _field("cost", "money", "price|payout|bid price|kosten"),
    _CURRENCY,
    *(FIELD[key] for key in TOUCH_USER_KEYS),
)

FIELDS_OF: dict[What, dict[str, Field]] = {
    "days": {field.name: field for field in DAY_FIELDS},
    "touches": {field.name: field for field in TOUCH_FIELDS},
}
"""By what a file holds, then by name."""

CLICK_PLATFORMS = {
    **{"gclid": "google", "fbclid": "meta", "ttclid": "tiktok", "msclkid": "microsoft"},
    **{"twclid": "x", "lifatid": "linkedin", "epik": "pinterest", "sccid": "snapchat"},
}
"""Whose click ids a column of this name holds."""


def _known_names(what: What) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for field in FIELDS_OF[what].values():
        for place, name in enumerate((field.name, *field.names)):
            found.setdefault(plain_name(name), Known(field.name, place))
    return found


KNOWN_NAMES: dict[What, dict[str, Known]] = {
    "days": _known_names("days"),
    "touches": _known_names("touches"),
}
"""By what a file holds, then by `plain_name`."""

_reported = re.compile(r"reported\.([A-Za-z0-9_.:-]+)\.([a-z0-9_]+)\.(count|value)").fullmatch


def reported_place(field: str) -> tuple[str, str, str] | None:
    """Action type, window and figure of a field of what a platform reports.

    >>> reported_place("reported.offsite_conversion.fb_pixel_purchase.7d_click.count")
    ('offsite_conversion.fb_pixel_purchase', '7d_click', 'count')
    """
    found = _reported(field)
    return (found[1], found[2], found[3]) if found else None


# --- the platforms' exports --------------------------------------------------------------------


class AdExport(NamedTuple):
    """A platform's export: columns (by `plain_name`) of which one tells it, and what others are
    where names alone would not tell. A column that is none stays aside."""

    name: str
    platform: str
    signs: frozenset[str]
    columns: dict[str, str]


_PURCHASES = f"{REPORTED}purchase.value.count"
_PURCHASE_VALUE = f"{REPORTED}purchase.value.value"
_LEADS = f"{REPORTED}lead.value.count"


def _columns(pairs: dict[str, str]) -> dict[str, str]:
    return {plain_name(name): field for names, field in pairs.items() for name in names.split("|")}


AD_EXPORTS: tuple[AdExport, ...] = (
    AdExport(
        "Meta Ads Manager's export",
        "meta",
        frozenset(
            map(
                plain_name,
                (
                    *("amount spent", "attribution setting", "ad set budget", "ad set name"),
                    *("ausgegebener betrag", "attributionseinstellung"),
                ),
            )
        ),
        _columns(
            {
                "Purchases|Website purchases|Käufe|Website-Käufe": _PURCHASES,
                "Purchases conversion value|Website purchases conversion value"
                "|Conversion-Wert von Käufen": _PURCHASE_VALUE,
                "Leads|Website leads": _LEADS,
                "Adds to cart": f"{REPORTED}add_to_cart.value.count",
                "Checkouts initiated": f"{REPORTED}initiate_checkout.value.count",
                "Results|Result indicator|Ergebnisse": "",
            }
        ),
    ),
    AdExport(
        "TikTok Ads Manager's export",
        "tiktok",
        frozenset(
            map(
                plain_name,
                (
                    *("clicks (destination)", "cpc (destination)", "ctr (destination)", "by day"),
                    *("stat time day", "ad group name", "video views at 2s"),
                ),
            )
        ),
        _columns(
            {
                "Conversions|Conversion": "",
                "Complete payment|Purchases (website)": _PURCHASES,
                "Complete payment value|Total purchase value (website)": _PURCHASE_VALUE,
            }
        ),
    ),
    AdExport(
        "Google Ads' export",
        "google",
        frozenset(
            map(plain_name, ("impr.", "campaign state", "ad group", "avg. cpc", "conv. value"))
        ),
        _columns(
            {
                "Conversions|Conv.": f"{REPORTED}conversions.value.count",
                "Conv. value|Conversion value|Total conv. value": (
                    f"{REPORTED}conversions.value.value"
                ),
                "All conv.|View-through conv.": "",
                "Interactions": "",
            }
        ),
    ),
)
"""In the order in which they are told apart."""
