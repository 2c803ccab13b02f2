"""The body of `POST /v1/decide`, and what is known of the person and the place from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

import msgspec

from doublet.accept.ad_touches import TOUCH_USER_KEYS
from doublet.accept.batch import read_batch
from doublet.accept.user_data import clean_user_data
from doublet.collect.request import host_name
from doublet.decoding import decoder
from doublet.delivery.decide import PLACES_MAX
from doublet.event import Text
from doublet.normalize import identifier_key
from doublet.refusal import Reason, Refusal

PLACEMENT_LENGTH_MAX = 64

_placement = re.compile(rf"[A-Za-z0-9_.:/-]{{0,{PLACEMENT_LENGTH_MAX}}}").fullmatch
_USER_AGENT_LENGTH_MAX = 1024
_is_tablet = re.compile(r"iPad|Tablet").search
_is_phone = re.compile(r"Mobi|iPhone|Android").search


class DecideRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body. `user_data` is as in events, plain or hashed; `fbp` and `fbc` may stand beside it.
    `placement` names the place of up to `n` ads; `url` is the page they are for."""

    user_data: dict[str, Any] | None = None
    fbp: Text = None
    fbc: Text = None
    placement: str = ""
    url: str | None = None
    user_agent: str | None = None
    n: int = 1
    explain: bool = False
    access_token: str | None = None


class Known(NamedTuple):
    """What is known of a person. `user_data` has hashes and cookies only, as touches keep them;
    `identifiers` are KEY=VALUE, also as other clients hash them; `identifier` is the first of them,
    `person` its key, empty and 0 for nobody."""

    user_data: dict[str, Any]
    identifiers: list[str]
    identifier: str
    person: int


_decode = decoder(DecideRequest)


def read_decide(body: bytes) -> DecideRequest | Refusal:
    """A JSON body as a request, or why it is none."""
    asked = read_batch(body or b"{}", _decode, Reason.PARAMETER_INVALID)
    if isinstance(asked, Refusal):
        return asked
    if not 1 <= asked.n <= PLACES_MAX:
        return Refusal(Reason.PARAMETER_INVALID, f"n is how many ads fit: 1 to {PLACES_MAX}.", "n")
    if not _placement(asked.placement):
        return Refusal(
            Reason.PARAMETER_INVALID,
            f"placement has up to {PLACEMENT_LENGTH_MAX} letters, digits and _ . : / -; write for "
            "example home_top.",
            "placement",
        )
    return asked


def who(asked: DecideRequest, account_id: str, phone_country: str) -> Known:
    """The person that is asked about. Plain values are hashed here, and go no further."""
    given = {k: v for k, v in (asked.user_data or {}).items() if k in TOUCH_USER_KEYS}
    for key, value in (("fbp", asked.fbp), ("fbc", asked.fbc)):
        if value is not None:
            given.setdefault(key, value)
    if not given:
        return Known({}, [], "", 0)
    variants: dict[str, list[str]] = {}
    user_data = clean_user_data(given, [], phone_country, variants)
    identifiers = _identifiers(user_data)
    if not identifiers:
        return Known({}, [], "", 0)
    first = identifiers[0]
    return Known(
        user_data, identifiers + _identifiers(variants), first, identifier_key(account_id, first)
    )


def _identifiers(user_data: Mapping[str, Any]) -> list[str]:
    """In the order of TOUCH_USER_KEYS, so that a person is first known by the same one each time
    the same ones are given."""
    found = []
    for key in TOUCH_USER_KEYS:
        value = user_data.get(key)
        if value is not None:
            found += [f"{key}={v}" for v in ([value] if isinstance(value, str) else value)]
    return found


def features_of(
    asked: DecideRequest, audiences: set[str], now_s: float, zone: tzinfo, user_agent: str
) -> tuple[str, ...]:
    """What rates may hang on, as `kind:value`: the person's audiences, the placement, the hour and
    weekday (Monday is 0) of the account, the device and the page's host."""
    local = datetime.fromtimestamp(now_s, UTC).astimezone(zone)
    found = [f"aud:{each}" for each in sorted(audiences)]
    found += [f"hour:{local.hour}", f"weekday:{local.weekday()}", f"device:{device(user_agent)}"]
    if asked.placement:
        found.append(f"place:{asked.placement}")
    if asked.url and (host := _host(asked.url)):
        found.append(f"site:{host}")
    return tuple(found)


def device(user_agent: str) -> str:
    """phone, tablet, desktop, or unknown without a user agent.

    >>> device("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Mobile/15E148")
    'phone'
    >>> device("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"), device("")
    ('desktop', 'unknown')
    """
    if not user_agent:
        return "unknown"
    agent = user_agent[:_USER_AGENT_LENGTH_MAX]
    if _is_tablet(agent) or ("Android" in agent and "Mobile" not in agent):
        return "tablet"
    return "phone" if _is_phone(agent) else "desktop"


def _host(url: str) -> str:
    rest = url.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return host_name(authority.encode("utf-8", "replace"))
