"""Identifiers as texts, `KEY=VALUE`: what may be given, what a record carries, their digests."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any

from doublet.accept import HASH_VARIANTS
from doublet.accept.user_data import clean_user_data
from doublet.errors import SenderError
from doublet.normalize import HASHED_KEYS, PLAIN_KEYS

PEOPLE_KEYS = (
    *("em", "ph", "external_id", "app_user_id", "subscription_id", "fb_login_id", "lead_id"),
    *("page_scoped_user_id", "ig_sid"),
)
"""Keys of `user_data` that name a person, whatever the device."""

DEVICE_KEYS = ("fbp", "fbc", "anon_id", "madid", "ctwa_clid")
"""Keys that name a browser, a device or a click: a person may have many in time."""

STRONG_KEYS = (*PEOPLE_KEYS, *DEVICE_KEYS)
"""What leads from one record to others of the same person; identifiers.sql and
touch_identifiers.sql list the same."""

EVENT_KINDS = ("event_key", "order_id")
"""What copies of one event share; each with its pixel."""

TEXT_LENGTH_MIN = 16
"""Shorter values are not looked for inside other texts, where they may mean anything."""

_click_of = re.compile(r"fb\.[0-9]+\.[0-9]+\.(.{8,})").fullmatch


class GivenError(SenderError):
    """An identifier that was given is of no use."""

    code = "identifier"


def read_identifiers(user_data: Mapping[str, Any]) -> frozenset[str]:
    """Identifiers from `user_data` in its wire form: plain values are normalised and hashed as in
    `accept`, and as other clients hash them; SHA-256 is taken as it is. Raises GivenError, which
    names keys and never a value."""
    if not user_data:
        raise GivenError("No identifier was given.", f"Give one of {', '.join(STRONG_KEYS)}.")
    for key in user_data:
        if key not in STRONG_KEYS:
            known = key in HASHED_KEYS or key in PLAIN_KEYS
            raise GivenError(
                f"{key} fits many people." if known else "A key of user_data is unknown.",
                f"Give one of {', '.join(STRONG_KEYS)}.",
            )
    cleaned: dict[str, Any] = {}
    for key, value in user_data.items():
        for one in value if isinstance(value, list) else [value]:
            variants: dict[str, list[str]] = {}
            found = clean_user_data({key: one}, [], variants=variants).get(key)
            if found is None:
                raise GivenError(
                    f"A value of {key} is none that an event could have.",
                    "Give it as in user_data, plain or as SHA-256.",
                )
            cleaned.setdefault(key, []).extend([found] if isinstance(found, str) else found)
            cleaned[key] += variants.get(key, [])
    return frozenset(identifiers_of(cleaned))


def identifiers_of(user_data: Mapping[str, Any] | None) -> set[str]:
    """The strong identifiers of a record's `user_data`, as identifiers.sql has them."""
    found: set[str] = set()
    for key in STRONG_KEYS:
        values = (user_data or {}).get(key)
        found.update(f"{key}={v}" for v in ([values] if isinstance(values, str) else values or ()))
    return found


def identifiers_in(element: Mapping[str, Any]) -> set[str]:
    """Those of an event of a refused request, also as other clients hash them."""
    return identifiers_of(element.get("user_data")) | identifiers_of(element.get(HASH_VARIANTS))


def kind_of(identifier: str) -> str:
    """The key of an identifier."""
    return identifier.partition("=")[0]


def texts_of(identifiers: Iterable[str]) -> set[str]:
    """The values that may stand inside other texts: hashes, cookies, and of a click id also the
    bare `fbclid`, which the address of the page that was clicked to has."""
    values = {i.partition("=")[2] for i in identifiers if kind_of(i) not in EVENT_KINDS}
    clicks = (_click_of(value) for value in values)
    values |= {click[1] for click in clicks if click}
    return {value for value in values if len(value) >= TEXT_LENGTH_MIN}


class Digests:
    """Keyed digests, which say nothing about an identifier to who lacks the key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, account_id: str, identifier: str) -> str:
        """HMAC-SHA-256 (RFC 2104) of account and identifier, 64 hex digits."""
        text = f"{account_id}\n{identifier}"
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def parameters(self, account_id: str) -> dict[str, bytes]:
        """What the same takes in SQL: `sha256($outer || unhex(sha256($inner || encode(…))))`."""
        block = self._key.ljust(64, b"\0")
        inner = bytes(byte ^ 0x36 for byte in block) + f"{account_id}\n".encode()
        return {"inner": inner, "outer": bytes(byte ^ 0x5C for byte in block)}
