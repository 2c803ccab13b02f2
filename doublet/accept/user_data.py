"""Customer information: every key checked and hashed by its rule (Meta, *Customer information
parameters*); unknown keys are dropped, since their values may be anything."""

from __future__ import annotations

from collections.abc import Callable
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
    text: str = redact(value.strip())
    return text[:PLAIN_LENGTH_MAX] or None


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
        cleaned: Any
        if key in HASHED:
            if type(value) is list and len(value) > VALUES_MAX:
                flags.append(f"too_many_{key}")
                value = value[:VALUES_MAX]
            country = _country(user_data) or phone_country if key == "ph" else ""
            cleaned = _hashes(key, value, country, variants)
        elif key in _RULES:
            text = _text(value)
            cleaned = _RULES[key](text) if text else None
        else:
            if "unknown_user_data" not in flags:
                flags.append("unknown_user_data")
            continue
        if cleaned is not None:
            if key in HASHED:
                _keep(kept, flags, key, cleaned)
            else:
                kept[key] = cleaned
        elif value != []:
            flags.append(f"invalid_{key}")
    return kept


def _keep(kept: dict[str, Any], flags: list[str], key: str, digests: list[str]) -> None:
    """Keep hashes, but not those of placeholders: they would make one person of many."""
    if any(is_dud(key, digest) for digest in digests):
        flags.append(f"dud_{key}")
        digests = [digest for digest in digests if not is_dud(key, digest)]
    if digests:
        kept[key] = digests


def _country(user_data: dict[str, Any]) -> str:
    """The event's own country when it is one and not hashed; a list counts by its first."""
    value = user_data.get("country")
    if isinstance(value, list):
        value = value[0] if value else None
    return country_code(value) or "" if isinstance(value, str) and len(value) < 64 else ""


def _hashes(
    key: str, values: Any, country: str, variants: dict[str, list[str]]
) -> list[str] | None:
    """The distinct hashes of one value or a list of them, sorted; None when there is no usable
    one. `country` is that of phone numbers without a country code."""
    found: set[str] = set()
    others: set[str] = set()
    for value in values if isinstance(values, list) else (values,):
        text = _text(value)
        digest, plain = read_user_value(key, text, country) if text else (None, None)
        if digest is not None:
            found.add(digest)
            if plain is not None and digest not in DUDS:
                others.update(other_hashes(key, text or "", plain))
    if others - found:
        variants[key] = sorted(others - found)
    return sorted(found) or None


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
