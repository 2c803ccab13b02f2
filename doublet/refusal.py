"""Why a request is refused: a closed list, and its body in the shape of the Graph API.

Numbers and titles are Meta's where they are known (Graph API, *Handling errors*; answers seen by
public client libraries). Refusing is not an exception: it is a value, kept as a record.
"""

from __future__ import annotations

import re
import secrets
from enum import Enum
from typing import NamedTuple

import msgspec


class Row(NamedTuple):
    """What one reason means on the wire and to a person."""

    http_status: int
    type: str
    code: int
    subcode: int | None
    title: str
    hint: str


def _invalid(subcode: int | None, title: str, hint: str, http_status: int = 400) -> Row:
    return Row(http_status, "OAuthException", 100, subcode, title, hint)


class Reason(Enum):
    """Every way a request can be refused; the name in lower case is its stable code."""

    MALFORMED_BODY = _invalid(
        None, "Malformed body", "Send JSON, or a form whose `data` field holds a JSON array."
    )
    BAD_ENCODING = _invalid(None, "Not UTF-8", "Encode the request as UTF-8.")
    TOO_DEEP = _invalid(
        None, "Nested too deeply", "Flatten custom_data; a few levels of nesting are enough."
    )
    COMPRESSED = _invalid(
        None,
        "Compressed body",
        "Compress with gzip or deflate, or send the body as it is, and say so in Content-Encoding.",
        415,
    )
    TOO_LARGE = _invalid(
        None, "Request too large", "Send fewer events per request, and less in each.", 413
    )
    TOO_MANY_EVENTS = _invalid(None, "Too many events", "Send at most 1000 events per request.")
    NO_EVENTS = _invalid(
        None, "No events", "Put a non-empty array of events into the parameter `data`."
    )
    INVALID_EVENT = _invalid(
        2804019,
        "Server Side Api Parameter Error",
        "Compare the named field with Meta's page *Server event parameters*.",
    )
    INVALID_ORDER = _invalid(
        None,
        "Invalid order message",
        "Correct the named field; the kinds and what each needs are in docs/orders.md.",
    )
    INVALID_LEAD = _invalid(
        None,
        "Invalid stage of a lead",
        "Correct the named field; what a stage needs is in docs/leads.md.",
    )
    INVALID_AD_TOUCH = _invalid(
        None,
        "Invalid ad touch",
        "Correct the named field; what a view or click of an ad needs is in docs/ads.md.",
    )
    INVALID_AD_DAY = _invalid(
        None,
        "Invalid day of an ad",
        "Correct the named field; what a row of names, spend and counts needs is in docs/ads.md.",
    )
    USER_DATA_MISSING = _invalid(
        2804019, "Server Side Api Parameter Error", "Add a user_data object to every event."
    )
    USER_DATA_INSUFFICIENT = _invalid(
        2804050,
        "Customer Information Insufficient",
        "Add one real identifier: em, ph, external_id, fbp, fbc, or IP address with user agent.",
    )
    EVENT_TOO_OLD = _invalid(
        2804003,
        "Event Timestamp Too Old",
        "Send events within 7 days (physical_store: 62 days) of event_time, in Unix seconds.",
    )
    EVENT_IN_FUTURE = _invalid(
        None,
        "Event Timestamp In Future",
        "event_time is in Unix seconds, not milliseconds; check the sender's clock.",
    )
    VALUE_MISSING = _invalid(
        2804009, "Missing Value for Purchase Event", "Add custom_data.value, a number."
    )
    CURRENCY_MISSING = _invalid(
        2804010,
        "Missing Currency for Purchase Event",
        "Add custom_data.currency, a three-letter ISO 4217 code.",
    )
    LEAD_ID_INVALID = _invalid(
        2804036, "Invalid Lead Id", "Send the lead_id of Lead Ads as it is: 15 to 17 digits."
    )
    OS_VERSION_MISSING = _invalid(
        2804043,
        "App Event Without OS Version",
        "Put the OS version, such as 17.4, into the fifth entry of app_data.extinfo.",
    )
    MESSAGING_EVENT_TYPE = _invalid(
        2804066,
        "Messaging Event Invalid Event Type",
        "Use an event name of business messaging such as Purchase or LeadSubmitted, or another "
        "action_source.",
    )
    MESSAGING_IDS_MISSING = _invalid(
        2804116,
        "Missing WhatsApp Identifiers",
        "Add whatsapp_business_account_id or page_id to user_data.",
    )
    PROOF_INVALID = Row(
        400,
        "GraphMethodException",
        104,
        None,
        "Invalid appsecret_proof",
        "appsecret_proof is the hex HMAC-SHA256 of the access token, its key the app secret set "
        "with `doublet account edit --app-secret-file`; leave it out if you have none.",
    )
    VERSION_TOO_OLD = Row(
        400,
        "OAuthException",
        2635,
        None,
        "Version too old",
        "Call /v13.0 or any later version, or leave the version out of the path.",
    )
    TOKEN_INVALID = Row(
        401,
        "OAuthException",
        190,
        None,
        "Invalid OAuth access token",
        "Use the access token that `doublet pixel create` printed for this account.",
    )
    NOT_ALLOWED = Row(
        403,
        "OAuthException",
        200,
        None,
        "Permissions error",
        "Sign in as somebody who may do this, and use the page's own form.",
    )
    TOO_MANY_REQUESTS = Row(
        429,
        "OAuthException",
        4,
        None,
        "Application request limit reached",
        "Wait as long as Retry-After says, and ask less often.",
    )
    SIGNATURE_INVALID = Row(
        401,
        "OAuthException",
        190,
        None,
        "Invalid signature",
        "Give the platform and Doublet the same secret: `doublet shop secret` sets it.",
    )
    PIXEL_UNKNOWN = Row(
        400,
        "GraphMethodException",
        100,
        33,
        "Unsupported request",
        "Check the pixel id; `doublet pixel list` shows those of each account.",
    )
    EVENT_NAME_MISSING = _invalid(
        None, "Missing event name", "Name the event: `ev` on /tr, `event_name` on /events."
    )
    PARAMETER_INVALID = _invalid(
        None, "Invalid parameter", "Correct the named parameter, or leave it out."
    )
    AUDIENCE_RULE_INVALID = _invalid(
        1713098,
        "Invalid rule",
        "Correct the named part of rule; docs/audiences.md has the language.",
    )
    AUDIENCE_RULE_UNSUPPORTED = Row(
        400,
        "OAuthException",
        2654,
        1713032,
        "Unsupported operator or aggregation",
        "Use one that docs/audiences.md names.",
    )
    AUDIENCE_NOT_CREATED = Row(
        400,
        "OAuthException",
        2654,
        None,
        "Failed to create custom audience",
        "Correct what is named.",
    )
    AUDIENCE_IS_ORIGIN = Row(
        400,
        "OAuthException",
        2655,
        None,
        "Failed to delete custom audience",
        "Delete the lookalikes that have it as origin first.",
    )
    SEED_TOO_SMALL = _invalid(
        1713232, "Source audience too small", "Choose an audience with at least 100 people."
    )
    AUDIENCE_NOT_UPDATED = Row(
        400,
        "OAuthException",
        2650,
        None,
        "Failed to update the custom audience",
        "Correct what is named, and send it again.",
    )
    AUDIENCE_BUSY = Row(
        400,
        "OAuthException",
        2650,
        1870145,
        "Audience update in progress",
        "Finish the session that is replacing the list, or wait until it is over.",
    )
    LIST_SESSION_EXPIRED = Row(
        400,
        "OAuthException",
        2650,
        1870158,
        "Session timed out",
        "Send the whole list again in a new session; it may last 90 minutes.",
    )
    METHOD_NOT_ALLOWED = Row(
        405,
        "GraphMethodException",
        100,
        None,
        "Method not allowed",
        "Pages are read with GET, hits are sent with GET or POST, events with POST.",
    )
    NOT_FOUND = Row(
        404, "GraphMethodException", 2500, None, "Unknown path", "Check the address you called."
    )
    BUSY = Row(
        503,
        "OAuthException",
        2,
        None,
        "Service temporarily unavailable",
        "Nothing was stored. Send the same request, with the same event_id, again later.",
    )
    INTERNAL = Row(
        500, "OAuthException", 1, None, "Unknown error", "This is a bug; please report it."
    )

    @property
    def row(self) -> Row:
        """Numbers, title and hint of this reason."""
        return self.value

    @property
    def label(self) -> str:
        """Stable lower-case code for headers, records and metrics."""
        return self.name.lower()


class Refusal(msgspec.Struct, frozen=True):
    """A reason with the sentence that names the offending field; never a personal value."""

    reason: Reason
    message: str
    field: str = ""


# A long run of digits may be a phone number.
_is_plain_name = re.compile(r"(?!.*[0-9]{7})[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII).fullmatch


def quote_name(name: str) -> str:
    """A field's name for a message or a record; only a plain one, since others may be values.

    >>> quote_name("nickname"), quote_name("jo@example.com")
    ('`nickname`', 'a field')
    """
    return f"`{name}`" if _is_plain_name(name) else "a field"


def unexpected_key(name: str, place: str) -> str:
    """What Meta says about a key that it does not know; only a plain one is repeated.

    >>> unexpected_key("size", "$['contents'][0]")
    'Unexpected key "size" on param "$[\\'contents\\'][0]".'
    """
    quoted = quote_name(name)
    shown = f' "{name}"' if quoted[0] == "`" else ""
    return f'Unexpected key{shown} on param "{place}".'


class GraphError(msgspec.Struct, omit_defaults=True):
    """The object `error` of the Graph API, its keys in Meta's order."""

    message: str
    type: str
    code: int
    error_subcode: int | None = None
    is_transient: bool = False
    error_user_title: str = ""
    error_user_msg: str = ""
    error_data: dict[str, list[list[str]]] | None = None
    fbtrace_id: str = ""


def fbtrace_id() -> str:
    """A trace id in Meta's form: `A` and 22 characters of base64url."""
    return "A" + secrets.token_urlsafe(16)


def _sentence(message: str) -> str:
    """With its full stop, which Meta's own words lack."""
    return message if message.endswith((".", "…")) else f"{message}."


def graph_error(refusal: Refusal, trace_id: str = "") -> bytes:
    """The JSON body `{"error": {...}}` for a refusal (Graph API, *Handling errors*)."""
    row = refusal.reason.row
    error = GraphError(
        message=(
            "Invalid parameter"
            if row.code == 100 and (row.subcode or 0) > 1_000_000
            else refusal.message
        ),
        type=row.type,
        code=row.code,
        error_subcode=row.subcode,
        is_transient=row.http_status >= 500,
        error_user_title=row.title,
        error_user_msg=f"{_sentence(refusal.message)} {row.hint}",
        error_data={"blame_field_specs": [refusal.field.split(".")]} if refusal.field else None,
        fbtrace_id=trace_id or fbtrace_id(),
    )
    return msgspec.json.encode({"error": error})
