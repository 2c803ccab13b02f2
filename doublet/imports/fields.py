"""The fields of an event that a column of a file can be mapped to, and the names that columns have
for them: on the wire, in Meta's offline templates, in the exports of shops, English and German."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from doublet.normalize import HASHED_KEYS, PLAIN_KEYS

Kind = Literal["text", "time", "money", "number", "currency", "list", "json", "user"]

CUSTOM = "custom_data."
"""What stands before the name of a field of `custom_data` that is none of `FIELDS`."""

REPORTED = "reported."
"""What stands before what a platform reports of its own conversions, such as
`reported.purchase.7d_click.count` (`doublet.ads.fields`)."""

ORDER_NAME = "order_name"
"""What the rows of one order share where only the first of them has its id."""

LINE = "contents."
"""What stands before a field of one line of an order."""


class Field(NamedTuple):
    """A field as `--map` names it; how its cells are read; whether what is in them may be shown;
    other names that columns have for it, the likeliest first."""

    name: str
    kind: Kind
    may_be_shown: bool = False
    names: tuple[str, ...] = ()


def _field(name: str, kind: Kind, shown: bool, names: str = "") -> Field:
    return Field(name, kind, shown, tuple(each.strip() for each in names.split("|") if each))


_PEOPLE: dict[str, str] = {
    "em": "email|e-mail|email address|e-mail address|customer email|billing email|email (billing)"
    "|buyer email|contact email|user email|mail|mail address|e-mail-adresse|emailadresse"
    "|kunden-e-mail|email sha256|sha256 email|hashed email|email hash|email hashed",
    "ph": "phone|phone number|telephone|tel|mobile|mobile phone|mobile number|cell phone"
    "|customer phone|billing phone|phone (billing)|telefon|telefonnummer|tel.-nr|handy"
    "|handynummer|mobilnummer|rufnummer|phone sha256|sha256 phone|hashed phone|phone hash"
    "|shipping phone",
    "fn": "first name|given name|forename|customer first name|billing first name"
    "|first name (billing)|vorname|shipping first name",
    "ln": "last name|surname|family name|customer last name|billing last name"
    "|last name (billing)|nachname|familienname|shipping last name",
    "ge": "gen|gender|sex|geschlecht",
    "db": "dob|date of birth|birth date|birthday|geburtsdatum|geburtstag",
    "ct": "city|town|billing city|city (billing)|ort|stadt|wohnort|shipping city",
    "st": "state|state code|province|region|billing state|billing province"
    "|state code (billing)|bundesland|kanton|shipping state|shipping province",
    "zp": "zip|zip code|postcode|postal code|billing zip|billing postcode|postcode (billing)"
    "|billing postal code|plz|postleitzahl|shipping zip|shipping postcode",
    "country": "country code|billing country|country code (billing)|land|ländercode"
    "|shipping country",
    "external_id": "extern_id|customer id|user id|customer user|customer number|customer no"
    "|member id|membership number|loyalty id|kundennummer|kunden-nr|kunden-id",
    "client_ip_address": "ip address|ip|client ip|customer ip address|browser ip",
    "client_user_agent": "user agent|customer user agent|browser user agent",
    "fbc": "_fbc|click id",
    "fbp": "_fbp|browser id",
    "madid": "mobile advertiser id|idfa|gaid|aaid",
    "f5first": "",
}

FIELDS: tuple[Field, ...] = (
    _field("event_name", "text", True, "event|conversion name|conversion action|ereignis"),
    _field(
        "event_time",
        "time",
        True,
        "conversion time|conversion date time|timestamp|created at|date created|created"
        "|date created gmt|order date|order created|paid at|date paid|paid date|purchase date"
        "|purchase time|transaction date|transaction time|datetime|date time|date|time"
        "|bestelldatum|bestellt am|kaufdatum|erstellt am|zeitpunkt|datum|belegdatum"
        "|rechnungsdatum",
    ),
    _field("event_id", "text", True, "deduplication id|dedup id"),
    _field("action_source", "text", True),
    _field("event_source_url", "text", False, "source url|page url|url"),
    _field("referrer_url", "text", False, "referrer|referer"),
    *(
        _field(key, "user", False, _PEOPLE.get(key, ""))
        for key in (*HASHED_KEYS, *PLAIN_KEYS)
        if key != "lead_id"
    ),
    _field("lead_id", "text", True, "lead|lead number|leadnummer"),
    _field(
        "value",
        "money",
        True,
        "purchase value|conversion value|event value|order value|total|order total"
        "|order total amount|total price|total amount|grand total|amount|sum|revenue|sales"
        "|betrag|gesamtbetrag|gesamtsumme|gesamt|summe|bestellwert|auftragswert|umsatz"
        "|rechnungsbetrag",
    ),
    _field(
        "currency", "currency", True, "currency code|order currency|conversion currency|währung"
    ),
    _field(
        "order_id",
        "text",
        True,
        "order number|order no|order #|order|transaction id|transaction number|receipt number"
        "|bestellnummer|bestell-nr|bestell-id|auftragsnummer|auftrags-nr|belegnummer|beleg-nr"
        "|bonnummer|bon-nr|vorgangsnummer|rechnungsnummer|rechnungs-nr",
    ),
    _field(ORDER_NAME, "text", True),
    _field("item_number", "text", True),
    _field("content_ids", "list", True, "product ids|product id|skus|sku|artikelnummer"),
    _field("content_name", "text", True, "product name|artikelname"),
    _field("content_type", "text", True),
    _field("content_category", "text", True, "product category"),
    _field("contents", "json", False),
    _field("num_items", "number", True, "items sold|item count|number of items"),
    _field("predicted_ltv", "money", True),
    _field("delivery_category", "text", True),
    _field("search_string", "text", False),
    _field(LINE + "id", "text", True, "lineitem sku"),
    _field(LINE + "quantity", "number", True, "lineitem quantity"),
    _field(LINE + "item_price", "money", True, "lineitem price"),
)

FIELD: dict[str, Field] = {field.name: field for field in FIELDS}
USER_FIELDS = frozenset(field.name for field in FIELDS if field.kind == "user")

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_outside_words = re.compile(r"[^a-z0-9#]+").sub
_PREFIXES = ("user_data.", CUSTOM)


def plain_name(column: str) -> str:
    """A column's name without what differs from export to export: case, accents, signs.

    >>> plain_name("Währung"), plain_name("E-Mail (Billing)"), plain_name("custom_data.order_id")
    ('waehrung', 'emailbilling', 'orderid')
    """
    text = column.strip()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    text = text.casefold().translate(_UMLAUTS)
    text = unicodedata.normalize("NFKD", text)
    return _outside_words("", text)


class Known(NamedTuple):
    """What a column's name means: a field, and how likely; 0 is the field's own name."""

    field: str
    place: int


def _known_names() -> dict[str, Known]:
    found: dict[str, Known] = {}
    for field in FIELDS:
        for place, name in enumerate((field.name, *field.names)):
            found.setdefault(plain_name(name), Known(field.name, place))
    return found


KNOWN_NAMES: dict[str, Known] = _known_names()
"""By `plain_name`."""


LEAD_NAMES: dict[str, Known] = KNOWN_NAMES | {
    plain_name(name): Known(field, place)
    for field, names in {
        "event_name": "stage|lead stage|deal stage|lifecycle stage|pipeline stage|lead status"
        "|status|phase|stufe",
        "event_time": "changed at|stage changed at|changed|last modified|last modified date"
        "|last stage change date|modified at|updated at|geändert am|datum",
        "lead_id": "lead|record id|contact id|deal id|id|doublet_event_id",
        "value": "deal value|deal amount|lead value|expected revenue",
        CUSTOM + "lead_event_source": "crm|lead_event_source",
    }.items()
    for place, name in enumerate(names.split("|"))
}
"""The same in a CRM's file of leads and their stages."""


class Export(NamedTuple):
    """The order export of a shop system: columns by which it is known, what each of them is where
    names alone would not tell, and what is the same for all its rows."""

    name: str
    needs: frozenset[str]
    columns: dict[str, str]
    constants: dict[str, str]


_OF_A_SHOP = {"event_name": "Purchase", "action_source": "website"}

_SHOPIFY = ("Name", "Financial Status", "Lineitem name", "Created at")
_SHOPIFY_COLUMNS = {"Email": "em", "Created at": "event_time", "Paid at": ""}

EXPORTS: tuple[Export, ...] = (
    Export(
        "Shopify's order export",
        frozenset((*_SHOPIFY, "Id")),
        # The id is what Shopify's pixel and webhooks call the order; its name is #1001, and stands
        # also where an order's other lines have nothing else of it.
        {"Id": "order_id", "Name": "order_name", **_SHOPIFY_COLUMNS},
        _OF_A_SHOP,
    ),
    Export(
        "Shopify's order export",
        frozenset(_SHOPIFY),
        {"Name": "order_id", **_SHOPIFY_COLUMNS},
        _OF_A_SHOP,
    ),
    Export(
        "WooCommerce's order export",
        frozenset(("order_id", "order_date", "order_total", "order_currency", "billing_email")),
        {"order_id": "order_id", "order_number": "", "billing_email": "em", "status": ""},
        _OF_A_SHOP,
    ),
    Export(
        "WooCommerce's advanced order export",
        frozenset(("Order Number", "Order Date", "Order Total Amount", "Email (Billing)")),
        {"Item #": "", "Quantity": "", "Item Cost": ""},
        _OF_A_SHOP,
    ),
)
