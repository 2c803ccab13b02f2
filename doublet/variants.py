"""What Meta's other clients hash where Doublet hashes the documented form.

One person's raw value becomes other hashes in the SDK for Python, in the Parameter Builder, in the
tag for Google Tag Manager and in clients that normalise nothing. Where the raw value arrives all of
them can be made, so that copies and lists which bear only such a hash can still be found to be the
same person's. Nothing of this is sent anywhere or counted as information that a client gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from doublet.normalize import sha256_hex

# facebook_business, serverside/normalize.py: characters that `ct` and `st` lose there.
_OUTSIDE_LOCATION = re.compile(r"[0-9.\s\-()]")
_OUTSIDE_LATIN = re.compile(r"[^a-z]+")
_OUTSIDE_DIGITS = re.compile(r"[^0-9]+")
_SPACE = re.compile(r"\s+")


def other_forms(key: str, text: str, plain: str) -> set[str]:
    """What other clients make of a raw value before they hash it, without its documented form
    `plain`.

    Sources: facebook_business 26 (`serverside/normalize.py`), Parameter Builder 1.3.2 for Node,
    Meta's server tag for Google Tag Manager (trims and lowers), RudderStack's destination (hashes
    `ph`, `db` and `external_id` as they are).

    >>> sorted(other_forms("ct", "São Paulo", "sãopaulo"))
    ['sopaulo', 'são paulo']
    >>> sorted(other_forms("zp", "M1 1AE", "m11ae")), sorted(other_forms("country", "UK", "gb"))
    (['m1 1ae'], ['uk'])
    """
    lower = text.lower().strip()
    forms = {lower}
    if key in _AS_THEY_ARE:
        forms.update((text, text.strip()))
    forms.update([rule(lower) for rule in _RULES.get(key, ())])
    forms -= {plain, ""}
    return forms


def other_hashes(key: str, text: str, plain: str) -> list[str]:
    """SHA-256 of the other forms of a raw value, sorted; mostly none."""
    lower = text.lower().strip()
    if text == plain if key in _AS_THEY_ARE else lower == plain and key in _CLEAN_AS_PLAIN:
        return []
    if key == "ph":
        if text[1:] == plain:  # E.164, which only keeps its plus.
            return [sha256_hex(text)]
    elif key not in _RULES and (text == lower or key not in _AS_THEY_ARE):
        return [sha256_hex(lower)]
    return sorted(map(sha256_hex, other_forms(key, text, plain)))


def _without_spaces(text: str) -> str:
    return _SPACE.sub("", text)


def _before_dash(text: str) -> str:
    return text.partition("-")[0]


def _location(text: str) -> str:
    return _OUTSIDE_LOCATION.sub("", text)


def _latin(text: str) -> str:
    return _OUTSIDE_LATIN.sub("", text)


# Of a text that is in its documented form already, no client makes anything else.
_CLEAN_AS_PLAIN = frozenset(("em", "fn", "ln", "ge", "zp", "country", "dobd", "dobm", "doby"))
_AS_THEY_ARE = frozenset({"ph", "db", "external_id"})
_RULES: dict[str, tuple[Callable[[str], str], ...]] = {
    "ph": (lambda text: _OUTSIDE_DIGITS.sub("", text).lstrip("0"),),
    "ct": (_location, _latin),
    # The builder knows America's and Canada's by name; of all others it takes two letters.
    "st": (_location, lambda text: _latin(text)[:2]),
    "zp": (_before_dash, lambda text: _before_dash(_without_spaces(text))),
    "country": (_latin,),
    "f5first": (lambda text: text[:5],),
    "f5last": (lambda text: text[:5],),
    "fi": (lambda text: text[:1],),
}
