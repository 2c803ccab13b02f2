"""The door of the pixel: the parameters of a `/tr` request (Meta's browser library)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from doublet.accept.events import UNREADABLE, unreadable
from doublet.accept.record import event_record
from doublet.accept.steps import HASH_VARIANTS, Arrival, clean_url
from doublet.accept.traffic import AUTOMATIC
from doublet.accept.user_data import HASHED
from doublet.event import WireEvent
from doublet.normalize import clean_fbc, fold_dots
from doublet.redact import redact
from doublet.refusal import Refusal

# Parameters that are kept as they are; whatever else arrives is dropped, since it may hold
# personal data in a form that nobody has looked at.
EXTRA_KEYS = tuple("if sw sh v a ec es tm dpo dpoco dpost noscript rqm ler tz".split())
_EXTRA_LENGTH_MAX = 200

# Groups beside `cd` and `ud`. User data from form fields, by whom it is believed rather.
_FOUND_IN_FORMS = ("udff", "audff")
_GROUPS = frozenset(("aud", *_FOUND_IN_FORMS, "cs", "tp"))

AUTOMATIC_EVENTS = frozenset(
    "SubscribedButtonClick Microdata InputData PageMetadata ScrollDepth UserProperties".split()
)
"""Events that browser libraries report by themselves, also without `es`."""

CONSENT = "consent"
"""Field of a record's `extra`: what the visitor allowed, in Google Consent Mode's words."""

PURPOSES = ("ad_storage", "ad_user_data", "ad_personalization", "analytics_storage")
"""The purposes of Google Consent Mode, each `granted`, `denied` or not spoken of."""

_CONSENT_SOURCES = frozenset("fbq tcf gpp gcm shopify".split())

TOUCH = "touch"
"""Field of a record's `extra`: the visitor's last ad click or campaign, and `ts`, when it was in
milliseconds since 1970."""

_TOUCH_KEYS = tuple(
    "gclid ttclid msclkid twclid li_fat_id epik ScCid rdt_cid utm_source utm_medium utm_campaign "
    "utm_content utm_term utm_id".split()
)
_TOUCH_LENGTH_MAX = 500
_TOUCH_TIME_DIGITS_MAX = 14

_any_sha256 = re.compile(r"[0-9A-Fa-f]{64}").fullmatch


class Hit(msgspec.Struct):
    """The parameters of one request, sorted into their groups."""

    fields: dict[str, str]
    custom_data: dict[str, Any]
    user_data: dict[str, Any]
    groups: dict[str, dict[str, str]] = {}


def read_hit(pairs: Iterable[tuple[str, str]]) -> Hit:
    """Sort decoded parameters: `cd[…]`, `ud[…]`, further groups, known others. The first of a name
    counts, an empty one only where there is no other."""
    fields: dict[str, str] = {}
    custom: dict[str, Any] = {}
    user: dict[str, Any] = {}
    groups: dict[str, dict[str, str]] = {}
    for name, value in pairs:
        if "%" in name:
            # The library encodes keys before it builds the query, which encodes the whole again.
            name = unquote(name)
        if name[-1:] != "]":
            if not fields.get(name):
                fields[name] = value
        elif name[:3] == "cd[":
            custom.setdefault(name[3:-1], _structured(value) if value[:1] in ("[", "{") else value)
        elif name[:3] == "ud[":
            user.setdefault(name[3:-1], value)
        else:
            group, _, key = name[:-1].partition("[")
            if group in _GROUPS:
                groups.setdefault(group, {}).setdefault(key, value)
            elif group == "eid" and not fields.get("eid"):
                fields["eid"] = value
    for group in _FOUND_IN_FORMS:
        if group in groups:
            user.update((key, text) for key, text in groups[group].items() if not user.get(key))
    if "cn" in user:
        country = user.pop("cn")
        user["country"] = user.get("country") or country
    return Hit(fields, custom, user, groups)


def _structured(text: str) -> Any:
    """Arrays and objects inside `cd[…]` are JSON text; the server's copy has them as values."""
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return text


def accept_hit(hit: Hit, arrival: Arrival) -> bytes | Refusal:
    """The record of one hit; address and browser are those of the connection."""
    fields = hit.fields
    user_data = hit.user_data
    if user_data:
        user_data = {key: value for key, value in user_data.items() if key in HASHED}
    user_data["client_ip_address"] = arrival.client_ip
    user_data["client_user_agent"] = arrival.user_agent
    user_data["fbc"] = _click_id(fields.get("fbc"))
    user_data["fbp"] = fields.get("fbp")
    name = fields.get("ev", "")
    wire = WireEvent(
        event_name=name,
        event_time=_from_milliseconds(fields.get("ts")),
        user_data=user_data,
        custom_data=hit.custom_data,
        event_id=fields.get("eid"),
        action_source="website",
        event_source_url=fields.get("dl") or arrival.referer,
    )
    extra: dict[str, Any] = _cut(
        {key: fields[key] for key in EXTRA_KEYS if key in fields}, arrival, _EXTRA_LENGTH_MAX
    )
    if hit.groups:
        extra |= _extra_of_groups(hit, arrival)
    if fields.get("es") or name in AUTOMATIC_EVENTS:
        arrival.marks = [*arrival.marks, AUTOMATIC]
    if "test_event_code" in fields:
        arrival.test_event_code = fields["test_event_code"]
    if fields.get("rl"):
        extra["referrer_url"] = clean_url(fields["rl"])
    try:
        return event_record(wire, arrival, 0, extra or None)
    except UNREADABLE as error:
        return unreadable(error)


def _cut(texts: dict[str, str], arrival: Arrival, length_max: int) -> dict[str, str]:
    """Texts without personal values, none too long."""
    joined = "".join(texts.values())
    if arrival.suspect or _may_hold_pairs(joined):
        # Before they are cut, since half an address no longer looks like one.
        texts = redact(texts)
    elif len(joined) <= length_max:
        return texts
    return {key: text[:length_max] for key, text in texts.items()}


def _may_hold_pairs(text: str) -> bool:
    return "=" in text or "%" in text or '"' in text


def _extra_of_groups(hit: Hit, arrival: Arrival) -> dict[str, Any]:
    """What the further groups say, as fields of `extra`."""
    groups = hit.groups
    found = {
        HASH_VARIANTS: _hashes(groups.get("aud", {})),
        CONSENT: consent_of(groups.get("cs", {})),
        TOUCH: _touch(groups.get("tp", {}), arrival),
    }
    return {key: value for key, value in found.items() if value}


def _known(group: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    return {key: group[key] for key in keys if group.get(key)}


def _hashes(group: Mapping[str, str]) -> dict[str, str]:
    """Hashes of user data as the page gave it, before the library cleaned it up."""
    if "cn" in group:
        group = {"country": group["cn"], **group}
    return {
        key: digest.lower()
        for key, digest in group.items()
        if key in HASHED and _any_sha256(digest)
    }


def consent_of(group: Mapping[str, str]) -> dict[str, Any]:
    """The known words of a hit's `cs[…]`; others are left out.

    >>> consent_of({"ad_storage": "denied", "ad_user_data": "perhaps", "gpc": "1"})
    {'ad_storage': 'denied', 'gpc': True}
    """
    found: dict[str, Any] = {
        key: group[key] for key in PURPOSES if group.get(key) in ("granted", "denied")
    }
    if found and group.get("source") in _CONSENT_SOURCES:
        found["source"] = group["source"]
    if group.get("gpc") in ("1", "true"):
        found["gpc"] = True
    return found


def _touch(group: Mapping[str, str], arrival: Arrival) -> dict[str, Any]:
    found: dict[str, Any] = _cut(_known(group, _TOUCH_KEYS), arrival, _TOUCH_LENGTH_MAX)
    at = group.get("ts", "")
    if found and at.isdecimal() and len(at) <= _TOUCH_TIME_DIGITS_MAX:
        found["ts"] = int(at)
    return found


def _click_id(fbc: str | None) -> str | None:
    """The library undoes the `__DOT__` of its cookie, after which no parser knows the parts."""
    if fbc and fbc.count(".") > 3 and clean_fbc(fbc) is None:
        return fold_dots(fbc)
    return fbc


def _from_milliseconds(text: str | None) -> int | None:
    return int(text) // 1000 if text and text.isdecimal() and len(text) < 20 else None
