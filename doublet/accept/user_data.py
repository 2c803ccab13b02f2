"""Customer information: every key checked and hashed by its rule (Meta, *Customer information
parameters*); unknown keys are dropped, since their values may be anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from doublet.countries import country_code
from doublet.normalize import (
    DUDS,
    HASHED_KEYS,
    PLAIN_KEYS,
    are_hex,
    clean_fbc,
    clean_fbp,
    clean_ip,
    is_dud,
    read_user_value,
)
from doublet.redact import redact
from doublet.variants import other_hashes

USER_AGENT_LENGTH_MAX = 1024
PLAIN_LENGTH_MAX = 256
VALUES_MAX = 100

HASHED = frozenset(HASHED_KEYS)

# Only these, alone or together, are too broad (combinations refused since Graph API v13).
_BROAD_SETS = (
    frozenset(("ct", "country", "st", "zp", "ge", "client_user_agent")),
    frozenset(("db", "client_user_agent")),
    frozenset(("fn", "ge")),
    frozenset(("ln", "ge")),
)
_STRONG = frozenset((*HASHED_KEYS, *PLAIN_KEYS)) - frozenset().union(*_BROAD_SETS)


def _plain(value: str) -> str | None:
    """An id as it is. One that holds an address is none: without the address, ids of different
    people would be the same."""
    text = value.strip()
    return text[:PLAIN_LENGTH_MAX] if text and redact(text) is text else None


def _user_agent(value: str) -> str | None:
    text: str = redact(value.strip())
    return text[:USER_AGENT_LENGTH_MAX] or None


def _click_id(value: str) -> str | None:
    """A click id is never changed; one that holds an address is none."""
    cleaned = clean_fbc(value)
    return cleaned if cleaned and redact(cleaned) is cleaned else None


_RULES: dict[str, Callable[[str], str | None]] = {
    **dict.fromkeys(PLAIN_KEYS, _plain),
    "client_ip_address": clean_ip,
    "client_user_agent": _user_agent,
    "fbp": clean_fbp,
    "fbc": _click_id,
}


# Names of the offline page and of the older tables (Meta, *Offline events*; *Business messaging*).
_OFFLINE_NAMES = {"email": "em", "phone": "ph", "gen": "ge", "zip": "zp"}
_OTHER_NAMES = {"instagram_business_account_id": "ig_account_id"}


def with_wire_names(user_data: dict[str, Any], action_source: str | None) -> dict[str, Any]:
    """Keys that Meta documents under two names, under the one that is stored. The offline names
    count for `physical_store` only."""
    if action_source == "physical_store":
        names = {**_OFFLINE_NAMES, **_OTHER_NAMES}
    elif "instagram_business_account_id" in user_data:
        names = _OTHER_NAMES
    else:
        return user_data
    renamed = {names.get(key, key): value for key, value in user_data.items()}
    return {**renamed, **{key: user_data[key] for key in names.values() if key in user_data}}


def clean_user_data(
    user_data: dict[str, Any],
    flags: list[str],
    phone_country: str = "",
    variants: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """Hashed keys as lists of SHA-256 hex, the others as clean text; faults go to `flags`.

    Phone numbers without a country code are of the event's own country where that is plain,
    otherwise of `phone_country` (ISO 3166, empty for none). `variants` gets the hashes that other
    clients make of values that came raw, by key.
    """
    kept = _clean_hashed(user_data)
    if kept is not None:
        return kept
    return _clean_any(user_data, flags, phone_country, {} if variants is None else variants)


def _clean_hashed(user_data: dict[str, Any]) -> dict[str, Any] | None:
    """The same for what most servers send: one good hash per key and good plain texts; None for
    anything else. All hashes are looked at together, and what is good already stays as it is."""
    changed: dict[str, Any] = {}
    digests: list[str] = []
    for key, value in user_data.items():
        if key in HASHED:
            if type(value) is list and len(value) == 1:
                digest = value[0]
            else:
                digest, changed[key] = value, [value]
            if type(digest) is not str or len(digest) != 64:
                return None
            digests.append(digest)
        else:
            cleaned = _RULES[key](value) if key in _RULES and type(value) is str else None
            if not cleaned:
                return None
            if cleaned is not value:
                changed[key] = cleaned
    if are_hex("".join(digests)) and DUDS.isdisjoint(digests):
        return user_data | changed if changed else user_data
    return None


def _clean_any(
    user_data: dict[str, Any],
    flags: list[str],
    phone_country: str,
    variants: dict[str, list[str]],
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in user_data.items():
        if value is None or value == "":
            continue
        if key in HASHED:
            country = ""
            if type(value) is list and len(value) == 1:
                value = value[0]
            if key == "ph" and not (type(value) is str and value[:1] == "+"):
                country = _country(user_data) or phone_country
            if type(value) is str:
                _keep_one(kept, flags, key, value, country, variants)
            elif value != []:
                _keep_some(kept, flags, key, value, country, variants)
        elif key in _RULES:
            text = _text(value)
            cleaned = _RULES[key](text) if text else None
            if cleaned is not None:
                kept[key] = cleaned
            elif value != []:
                flags.append(f"invalid_{key}")
        elif "unknown_user_data" not in flags:
            flags.append("unknown_user_data")
    return kept


def _keep_one(
    kept: dict[str, Any],
    flags: list[str],
    key: str,
    text: str,
    country: str,
    variants: dict[str, list[str]],
) -> None:
    """Keep the hash of one text, but not that of a placeholder: it would make one person of many.
    `country` is that of phone numbers without a country code."""
    if key in _SHARED and len(text) <= _SHARED_LENGTH_MAX:
        digest, others = _read_shared(key, text)
    else:
        digest, others = _read(key, text, country)
    if digest is None:
        flags.append(f"invalid_{key}")
    elif digest in DUDS and is_dud(key, digest):
        flags.append(f"dud_{key}")
    else:
        kept[key] = [digest]
        if others:
            variants[key] = [*others]


def _read(key: str, text: str, country: str = "") -> tuple[str | None, list[str]]:
    """The hash of a text as documented, and those that other clients make of it."""
    digest, plain = read_user_value(key, text, country) if text else (None, None)
    return digest, [] if plain is None else other_hashes(key, text, plain)


_SHARED = frozenset(("ct", "st", "country", "ge"))
_SHARED_LENGTH_MAX = 31

# What thousands of people share is worked out once. Nothing that names one person is kept so.
_read_shared = lru_cache(maxsize=8192)(_read)


def _keep_some(
    kept: dict[str, Any],
    flags: list[str],
    key: str,
    values: Any,
    country: str,
    variants: dict[str, list[str]],
) -> None:
    """The same for a list of values, or for one that is no text; hashes are distinct and sorted."""
    if type(values) is not list:
        values = [values]
    elif len(values) > VALUES_MAX:
        flags.append(f"too_many_{key}")
        values = values[:VALUES_MAX]
    single: dict[str, list[str]] = {}
    found: set[str] = set()
    others: set[str] = set()
    said: list[str] = []
    for value in values:
        theirs: dict[str, list[str]] = {}
        _keep_one(single, said, key, _text(value) or "", country, theirs)
        found.update(single.pop(key, ()))
        others.update(theirs.get(key, ()))
    if found:
        kept[key] = sorted(found)
    if others - found:
        variants[key] = sorted(others - found)
    if f"dud_{key}" in said:
        flags.append(f"dud_{key}")
    elif not found:
        flags.append(f"invalid_{key}")


def _country(user_data: dict[str, Any]) -> str:
    """The event's own country when it is one and not hashed; a list counts by its first."""
    value = user_data.get("country")
    if isinstance(value, list):
        value = value[0] if value else None
    return country_code(value) or "" if isinstance(value, str) and len(value) < 64 else ""


def _text(value: Any) -> str | None:
    """Clients send ids as numbers or strings; nothing else can be one."""
    if type(value) is str:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def is_too_broad(user_data: dict[str, Any]) -> bool:
    """Whether only information remains that fits a multitude of people."""
    if not _STRONG.isdisjoint(user_data):
        return False
    return any(user_data.keys() <= broad for broad in _BROAD_SETS)
