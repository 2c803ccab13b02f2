"""The steps that every event takes, in order; the first refusal ends its way.

What would make Meta refuse a server event is refused; a browser cannot mend its hit, so there the
same fault is only flagged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
from iso4217 import Currency

from doublet.accept.kinds import check_contents, check_kind, read_lists
from doublet.accept.user_data import clean_user_data, is_too_broad, with_wire_names
from doublet.event import MONEY_MAX, Source, WireEvent, money
from doublet.normalize import is_dud, sha256_hex, strip_url_appendix
from doublet.redact import redact, redact_url
from doublet.refusal import Reason, Refusal

DAY_S = 86_400
EVENT_AGE_DAYS_MAX = 7
STORE_AGE_DAYS_MAX = 62
YEAR_2000_S = 946_684_800
LIMITED = "limited_data_use"
"""Flag of events whose data may be used in a limited way only."""
HISTORY = "history"
"""The flag of what `Arrival.is_history` let in."""

FUTURE_S_MAX = DAY_S
FUTURE_S_FLAGGED = 300
# As milliseconds these are the years 2001 and 2286, as seconds none that anybody means.
_MILLISECONDS_MIN, _MILLISECONDS_MAX = 10**12, 10**13
EVENT_NAME_LENGTH_MAX = 256
EVENT_ID_LENGTH_MAX = 1024

ACTION_SOURCES = frozenset(
    "email website app phone_call chat physical_store system_generated business_messaging "
    "other".split()
)

CURRENCIES = frozenset(currency.code for currency in Currency)

# Keys of custom_data and contents whose names promise nothing personal. When there are no others
# and the request holds nothing like an address, there is nothing to remove.
_HARMLESS_KEYS = frozenset(
    "value currency content_ids contents content_type content_name content_category num_items "
    "predicted_ltv search_string status order_id item_number delivery_category net_revenue "
    "id quantity item_price title description brand category".split()
)

_RARE_KEYS = (
    "referrer_url",
    "opt_out",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
    "app_data",
    "advanced_measurement_table",
    "messaging_channel",
    "original_event_data",
    "attribution_data",
    "customer_segmentation",
)
_rare = attrgetter(*_RARE_KEYS)
HASH_VARIANTS = "hash_variants"
"""Field of a record's `extra`, and of a refused event: by key of user_data, the hashes that other
clients make of a value that came raw."""

USER_DATA_FLAGS = "user_data_flags"
"""Field of a refused event: what was flagged when its user_data was hashed."""

_SWITCHES = (None, False, True, "0", "1", "false", "true")
_NOTHING_RARE = (None,) * len(_RARE_KEYS)


class Arrival(msgspec.Struct):
    """What the edge knows of a request.

    `received_at` is in µs since 1970, UTC, and rises strictly within a slot. `suspect` says that
    the request holds an @ somewhere, so that its texts must be searched for addresses. `marks` are
    the flags that its pixel's rules give it. `is_test` keeps it out of reports. `is_history` is for
    imports alone: events of any age are taken, flagged `history`, and told to no destination.
    """

    account_id: str
    pixel_id: str
    source: Source
    received_at: int
    slot: int
    client_ip: str | None = None
    user_agent: str | None = None
    referer: str | None = None
    test_event_code: str | None = None
    partner_agent: str | None = None
    suspect: bool = True
    marks: list[str] = []
    phone_country: str = ""
    is_test: bool = False
    is_history: bool = False


_escaped_at = re.compile(rb"%(?:25)*(?:40|5[Cc]|u|[Ee][Ff]|23)").search
_escaped_at_text = re.compile(r"%(?:25)*(?:40|5[Cc]|u|[Ee][Ff]|23)").search


def is_suspect(body: bytes) -> bool:
    """Whether raw input may hold an e-mail address: its sign plain, full-width, or as an escape of
    JSON or HTML, each also percent-encoded any number of times."""
    # Looking for one byte is many times as fast as looking for several, and often enough.
    if b"@" in body or b"#" in body or b"\xef" in body or (b"\\" in body and b"\\u" in body):
        return True
    return b"%" in body and _escaped_at(body) is not None


def is_suspect_hit(pairs: Sequence[tuple[str, str]]) -> bool:
    """The same for decoded parameters, which have lost one level of percent-encoding."""
    text = "\n".join(chain.from_iterable(pairs))
    return (
        "@" in text
        or "#" in text
        or not text.isascii()
        or ("%" in text and _escaped_at_text(text) is not None)
        or ("\\" in text and "\\u" in text)
    )


class Draft:
    """A wire event on its way through `STEPS`, with what they have found out."""

    event_name = ""
    event_id: str | None = None
    event_time = 0
    user_data: dict[str, Any] | None = None
    value: str | None = None
    currency: str | None = None
    order_id: str | None = None

    def __init__(self, wire: WireEvent, arrival: Arrival, extra: dict[str, Any] | None) -> None:
        self.wire = wire
        self.arrival = arrival
        self.extra = extra
        self.flags: list[str] = [*arrival.marks]
        if arrival.is_history:
            self.flags.append(HISTORY)

    def fault(self, reason: Reason, message: str, field: str, flag: str) -> Refusal | None:
        """Refuse a server's event; flag a browser's."""
        if self.arrival.source == "server":
            return Refusal(reason, message, field)
        self.flags.append(flag)
        return None


def _event_name(draft: Draft) -> Refusal | None:
    name = draft.wire.event_name
    if not name or name.isspace():
        return Refusal(Reason.EVENT_NAME_MISSING, "event_name is empty.", "event_name")
    if len(name) > EVENT_NAME_LENGTH_MAX:
        return _too_long("event_name", name, EVENT_NAME_LENGTH_MAX)
    draft.event_name = name if name.isalnum() else redact(name)
    return None


def _event_id(draft: Draft) -> Refusal | None:
    event_id = draft.wire.event_id
    if event_id is None or event_id == "":
        return None
    text = event_id if type(event_id) is str else str(event_id)
    if len(text) > EVENT_ID_LENGTH_MAX:
        return _too_long("event_id", text, EVENT_ID_LENGTH_MAX)
    draft.event_id = stored_event_id(text)
    return None


def stored_event_id(event_id: str) -> str:
    """An event id as records hold it: two ids with an address in them must stay two."""
    if not event_id.isalnum() and redact(event_id) is not event_id:
        return sha256_hex(event_id)
    return event_id


def _too_long(field: str, text: str, limit: int) -> Refusal:
    return Refusal(
        Reason.INVALID_EVENT,
        f"{field} has {len(text)} characters, at most {limit} are allowed.",
        field,
    )


def _event_time(draft: Draft) -> Refusal | None:
    received_s = draft.arrival.received_at // 1_000_000
    draft.event_time = received_s
    seconds = _seconds(draft.wire.event_time)
    if seconds is None:
        return draft.fault(
            Reason.INVALID_EVENT,
            "event_time is missing, or neither Unix seconds nor ISO 8601.",
            "event_time",
            "missing_ts",
        )
    too_old = _too_old(draft, seconds, received_s)
    if too_old:
        return draft.fault(Reason.EVENT_TOO_OLD, too_old, "event_time", "ts_out_of_range")
    if seconds > received_s + FUTURE_S_MAX:
        return draft.fault(
            Reason.EVENT_IN_FUTURE,
            "event_time is in milliseconds; Unix seconds are wanted."
            if _MILLISECONDS_MIN < seconds < _MILLISECONDS_MAX
            else "event_time is more than a day in the future.",
            "event_time",
            "ts_out_of_range",
        )
    if seconds > received_s + FUTURE_S_FLAGGED:
        draft.flags.append("event_time_in_future")
    # A browser says when the event happened, which cannot be later than its report of it.
    if seconds < received_s or draft.arrival.source == "server":
        draft.event_time = seconds
    return None


def _too_old(draft: Draft, seconds: int, received_s: int) -> str:
    """What is said of an event that is too old; empty when it is not."""
    if draft.arrival.is_history:
        return "event_time is before the year 2000." if seconds < YEAR_2000_S else ""
    in_store = draft.wire.action_source == "physical_store"
    days = STORE_AGE_DAYS_MAX if in_store else EVENT_AGE_DAYS_MAX
    if seconds < received_s - days * DAY_S:
        return f"event_time is more than {days} days ago."
    return ""


def _seconds(event_time: float | str | None) -> int | None:
    if type(event_time) is int:
        return event_time
    try:
        return int(float(event_time)) if event_time is not None else None
    except (ValueError, OverflowError):
        return _seconds_of_iso(event_time)


def _seconds_of_iso(event_time: object) -> int | None:
    """ISO 8601 with date and time, as the Graph API takes times; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(str(event_time).strip())
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _user_data(draft: Draft) -> Refusal | None:
    user_data = draft.wire.user_data
    if user_data is None:
        return draft.fault(
            Reason.USER_DATA_MISSING,
            "The parameter $['user_data'] is required.",
            "user_data",
            "missing_user_data",
        )
    named = with_wire_names(user_data, draft.wire.action_source)
    variants: dict[str, list[str]] = {}
    draft.user_data = clean_user_data(named, draft.flags, draft.arrival.phone_country, variants)
    if draft.extra and HASH_VARIANTS in draft.extra and draft.arrival.source == "browser":
        variants = _with_sent(variants, draft.extra.pop(HASH_VARIANTS), draft.user_data)
        draft.extra = draft.extra or None
    if variants:
        known = (draft.extra or {}).get(HASH_VARIANTS, {})
        draft.extra = {**(draft.extra or {}), HASH_VARIANTS: {**known, **variants}}
    if is_too_broad(draft.user_data):
        if any(flag.startswith("dud_") for flag in draft.flags):
            return None  # It was sent; its neighbours must not be refused for what it is worth.
        return draft.fault(
            Reason.USER_DATA_INSUFFICIENT,
            "user_data holds nothing that could identify a visitor.",
            "user_data",
            "weak_user_data",
        )
    return None


def _with_sent(
    made: dict[str, list[str]], sent: dict[str, str], user_data: dict[str, Any]
) -> dict[str, list[str]]:
    """Variants that were made of raw values, and those that the hit itself bears for keys whose
    value is kept; each only where it says something else than that value."""
    found = dict(made)
    for key, digest in sent.items():
        kept = user_data.get(key)
        if kept and digest not in kept and not is_dud(key, digest):
            found[key] = sorted({*found.get(key, ()), digest})
    return found


def _custom_data(draft: Draft) -> Refusal | None:
    custom = draft.wire.custom_data
    if not custom:
        return None
    draft.wire.custom_data = custom = read_lists(custom)
    refusal = check_contents(draft, custom)
    if refusal is not None:
        return refusal
    order_id = custom.get("order_id")
    if not _is_harmless(custom, draft.arrival.suspect):
        draft.wire.custom_data = custom = redact(custom)
    value = custom.get("value")
    if value is not None and value != "":
        draft.value = money(value)
        if draft.value is None:
            draft.flags.append("invalid_value")
    currency = custom.get("currency")
    if currency:
        draft.currency = _currency(currency)
        if draft.currency not in CURRENCIES:
            draft.flags.append("invalid_currency")
    if order_id is not None and order_id != "":
        text = str(custom["order_id"])
        if type(order_id) is str and text is not order_id:
            text = sha256_hex(order_id)
        draft.order_id = text[:EVENT_ID_LENGTH_MAX]
    return None


def _is_harmless(custom: dict[str, Any], suspect: bool) -> bool:
    """Whether only well-known keys occur, no deeper than in contents, and no text could carry
    others in a URL (`=`, `%`) or in JSON (`"`), nor, in a suspect request, an address."""
    if not custom.keys() <= _HARMLESS_KEYS:
        return False
    texts: list[str] = []
    for value in custom.values():
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is list:
            for entry in value:
                kind = type(entry)
                if kind is dict:
                    if not entry.keys() <= _HARMLESS_KEYS:
                        return False
                    for item in entry.values():
                        kind = type(item)
                        if kind is str:
                            texts.append(item)
                        elif kind is dict or kind is list:
                            return False
                elif kind is str:
                    texts.append(entry)
                elif kind is list:
                    return False
        elif kind is dict:
            return False
    joined = "".join(texts)
    if "=" in joined or "%" in joined or '"' in joined:
        return False
    # As `redact` passes over a text. Raw user data makes every request suspect.
    return not suspect or (
        joined.isascii() and not ("@" in joined or "&#" in joined or "\\" in joined)
    )


def _currency(text: object) -> str | None:
    """Three letters, also where ISO 4217 has no such code: to Meta that is a finding, no error."""
    code = text.strip().upper() if isinstance(text, str) else ""
    return code if len(code) == 3 and code.isascii() and code.isalpha() else None


def _purchase(draft: Draft) -> Refusal | None:
    if draft.event_name != "Purchase":
        return None
    refusal = None
    if draft.value is None:
        refusal = draft.fault(
            Reason.VALUE_MISSING,
            f"A Purchase needs custom_data.value, a plain number below {MONEY_MAX:,}.",
            "custom_data.value",
            "missing_value",
        )
    if draft.currency is None and refusal is None:
        refusal = draft.fault(
            Reason.CURRENCY_MISSING,
            "A Purchase needs custom_data.currency, a three-letter code.",
            "custom_data.currency",
            "missing_currency",
        )
    return refusal


def clean_url(url: str) -> str:
    """A page address without personal values and without a builder's appendix."""
    return redact_url(strip_url_appendix(url))


def _addresses(draft: Draft) -> Refusal | None:
    wire = draft.wire
    if wire.event_source_url:
        wire.event_source_url = clean_url(wire.event_source_url)
    if wire.action_source not in ACTION_SOURCES:
        draft.flags.append(
            "invalid_action_source" if wire.action_source else "missing_action_source"
        )
        wire.action_source = redact(wire.action_source or "")[:64] or None
    elif wire.action_source == "website" and not wire.event_source_url:
        draft.flags.append("missing_event_source_url")
    return None


def _rare_fields(draft: Draft) -> Refusal | None:
    arrival, rare = draft.arrival, _rare(draft.wire)
    if rare != _NOTHING_RARE or arrival.test_event_code or arrival.partner_agent:
        if draft.wire.opt_out not in _SWITCHES:
            # The words are not checked where types are, since that message repeats what it found.
            message = "opt_out is neither true nor false."
            return Refusal(Reason.INVALID_EVENT, message, "opt_out")
        extra = draft.extra = draft.extra or {}
        for key, value in zip(_RARE_KEYS, rare, strict=True):
            if value is not None:
                extra[key] = clean_url(value) if key == "referrer_url" else redact(value)
        if arrival.test_event_code:
            extra["test_event_code"] = redact(arrival.test_event_code)[:64]
        if arrival.partner_agent:
            extra["partner_agent"] = redact(arrival.partner_agent)[:64]
    return None


def _limits(draft: Draft) -> Refusal | None:
    """One copy that is limited limits the event; flags of all copies come together."""
    options = draft.wire.data_processing_options or (draft.extra or {}).get("dpo") or ()
    if "LDU" in options:
        draft.flags.append(LIMITED)
    return None


STEPS: tuple[Callable[[Draft], Refusal | None], ...] = (
    _event_name,
    _event_id,
    _event_time,
    _user_data,
    _custom_data,
    _purchase,
    check_kind,
    _addresses,
    _rare_fields,
    _limits,
)
