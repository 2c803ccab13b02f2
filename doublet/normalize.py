"""User data → canonical form → SHA-256; the cookies fbp and fbc; the builders' appendix.

The canonical form is the one Meta documents ("Customer information parameters"), not what a single
SDK makes of it, so that one person has one hash whichever client sent the value. Pure functions
that never raise on any text; a value that cannot identify anyone becomes None.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Callable
from datetime import date
from hashlib import md5, sha256

from doublet.countries import country_code, state_code
from doublet.phone import normalize_phone

HASHED_KEYS: tuple[str, ...] = (
    *("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "external_id"),
    *("f5first", "f5last", "fi", "dobd", "dobm", "doby", "app_user_id"),
)
"""Keys of `user_data` that are stored only as SHA-256."""

PLAIN_KEYS: tuple[str, ...] = (
    *("client_ip_address", "client_user_agent", "fbc", "fbp", "subscription_id", "fb_login_id"),
    *("lead_id", "anon_id", "madid", "page_id", "page_scoped_user_id", "ctwa_clid"),
    *("ig_account_id", "ig_sid", "whatsapp_business_account_id"),
)
"""Keys of `user_data` that Meta documents as never hashed."""

YEAR_MIN = 1900
YEAR_MAX = 2099
ZIP_LENGTH_MIN = 2

# An opaque id may itself look like MD5; no other value does unless it was hashed by the client.
_OPAQUE_KEYS = frozenset({"external_id", "app_user_id"})

is_sha256 = re.compile(r"[0-9a-f]{64}").fullmatch
_MD5_LENGTH = 32
_any_sha256 = re.compile(r"[0-9A-Fa-f]{64}").fullmatch
_any_md5 = re.compile(r"[0-9A-Fa-f]{32}").fullmatch

# Eight base64url characters are six bytes. First byte 0x01 and second byte 1 to 6 fix the first two
# characters and leave A–Z, a, b for the third; the two-letter forms name the language alone.
_appendix = re.compile(r"\.(?:A[Qgw]|B[AQg]|AQ[E-Zab][A-Za-z0-9_-]{5})\Z").search
_url_appendix = re.compile(r"\.AQ[E-Zab][A-Za-z0-9_-]{5}\Z").search

_email = re.compile(
    r"""[^\s@,;:<>()\[\]\\"]+@(?:[^\s@,;:<>()\[\]\\".]+\.)+[^\W\d_][\w-]+"""
).fullmatch
_OUTSIDE_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")
_ZIP_PLUS_4 = re.compile(r"[0-9]{9}").fullmatch

# Nearly every birth date, and all that need no calendar.
_iso_date = re.compile(r"((?:19|20)[0-9]{2})(-?)(0[1-9]|1[0-2])\2(0[1-9]|1[0-9]|2[0-8])").fullmatch
_TIME_OF_DAY = r"(?:[t ][0-9:.]+(?:z|[+-][0-9:]+)?)?"
_DATE_FORMS = (
    re.compile(r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})"),
    re.compile(r"(?P<y>[0-9]{4})([-/. ])(?P<m>[0-9]{1,2})\2(?P<d>[0-9]{1,2})" + _TIME_OF_DAY),
    re.compile(r"(?P<a>[0-9]{1,2})(?P<by>[-/. ])\s*(?P<b>[0-9]{1,2})(?P=by)\s*(?P<y>[0-9]{4})"),
    re.compile(r"(?P<d>[0-9]{1,2})(?:st|nd|rd|th|\.)?[ -]*(?P<m>[a-z]{3,9})[., -]*(?P<y>[0-9]{4})"),
    re.compile(r"(?P<m>[a-z]{3,9})[. -]*(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?[, -]+(?P<y>[0-9]{4})"),
)
_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_MONTHS = (
    {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
    | {name[:3]: number for number, name in enumerate(_MONTH_NAMES, 1)}
    | {"sept": 9}
)

_GENDER_WORDS = {
    "m": "m male man men boy mr sir mister masculine herr mann männlich monsieur homme masculin"
    " hombre masculino varón señor uomo maschio homem",
    "f": "f female woman women girl mrs ms miss madam feminine frau w weiblich madame mademoiselle"
    " femme féminin mujer femenino señora señorita donna femmina mulher feminino",
}
_GENDERS = {word: gender for gender, words in _GENDER_WORDS.items() for word in words.split()}

# Index, creation time, payload, and a fifth part that is either a known language or any eight
# characters: a builder newer than this code may write an appendix we cannot read.
_cookie = re.compile(
    r"fb\.(?P<index>[0-9]{1,3})\.(?P<time>[0-9]{1,16})\.(?P<payload>[^.\s\x00-\x1f\x7f]+)"
    r"(?:\.(?:A[Qgw]|B[AQg]|[^.\s]{8}))?"
).fullmatch
# What nearly every browser sends: already in the form that `_rebuild` gives.
_canonical_cookie = re.compile(
    r"fb\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,15})\.[A-Za-z0-9_-]+"
).fullmatch
_fbp_payload = re.compile(r"[A-Za-z0-9_-]+").fullmatch

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ipv4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}").fullmatch
_IPV4_MAPPED = bytes(10) + b"\xff\xff"


def normalize(key: str, text: str) -> str | None:
    """Canonical plain form of one value of a hashed key, None when it is unusable.

    Source: Meta, Customer information parameters. `normalize(key, normalize(key, x))` equals
    `normalize(key, x)`. `key` must be one of `HASHED_KEYS`.

    >>> normalize("ln", "O'Brien-Smith"), normalize("zp", "M1 1AE"), normalize("country", "UK")
    ('obriensmith', 'm11ae', 'gb')
    >>> normalize("em", "nope@localhost") is None
    True
    """
    return _RULES[key](text) or None


def sha256_hex(text: str) -> str:
    """SHA-256 of the UTF-8 text, 64 lower-case hex digits."""
    # A lone surrogate cannot be UTF-8, yet JSON may carry one; it must not stop the request.
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identifier_key(account_id: str, identifier: str) -> int:
    """The key that the models give to an identifier (KEY=VALUE): 60 bits of MD5, as a name and no
    more than that.

    >>> identifier_key("act_1", "fbp=fb.1.2.3")
    128009383436527199
    """
    text = f"{account_id}|{identifier}".encode("utf-8", "surrogatepass")
    return int(md5(text, usedforsecurity=False).hexdigest()[:15], 16)


def hash_user_value(key: str, text: str, country: str = "") -> str | None:
    """SHA-256 of the canonical form; a value that already is SHA-256 is kept, in lower case.

    An appendix behind a hash is dropped. MD5 cannot be compared with SHA-256, so it gives None,
    except for `external_id` and `app_user_id`, where 32 hex digits are as good an id as any.
    `country` is that of phone numbers without a country code.
    Source: Meta, Customer information parameters; Parameter Builder SDK for the appendix.
    """
    return read_user_value(key, text, country)[0]


def read_user_value(key: str, text: str, country: str = "") -> tuple[str | None, str | None]:
    """The same, and the canonical form where the value came raw and is usable."""
    if len(text) >= _MD5_LENGTH:
        if is_sha256(text):
            return text, None
        bare = strip_appendix(text.strip())
        if _any_sha256(bare):
            return bare.lower(), None
        if _any_md5(bare):
            return (sha256_hex(bare.lower()) if key in _OPAQUE_KEYS else None), None
    plain = normalize_phone(text, country) if key == "ph" else _RULES[key](text) or None
    return (None if plain is None else sha256_hex(plain)), plain


def are_hex(digests: str) -> bool:
    """Whether a text holds the lower-case digits of hexadecimal numbers alone; several times as
    fast as a regular expression."""
    return not digests.encode("utf-8", "replace").translate(None, b"0123456789abcdef")


_DUD_WORDS = ("", "null", "none", "None", "undefined", "nan", "NaN", "n/a", "0", "unknown")
_DUDS = frozenset(map(sha256_hex, (*_DUD_WORDS, "na", "[object Object]", "[object object]")))
_DUDS_OF_KEY = {
    "em": _DUDS
    | frozenset(map(sha256_hex, ("test@test.com", "test@example.com", "test@gmail.com"))),
    "ph": _DUDS | frozenset(map(sha256_hex, ("1234567890", "0000000000"))),
    # One or two letters, and a place may be called None.
    **dict.fromkeys(("ge", "st", "country", "ct", "fi", "zp"), frozenset({sha256_hex("")})),
}
DUDS = _DUDS.union(*_DUDS_OF_KEY.values())
"""Hashes that are those of placeholders under some key; see `is_dud`."""


def is_dud(key: str, digest: str) -> bool:
    """Whether a hash is that of a placeholder, such as of `null` or of nothing: it fits everybody.

    >>> is_dud("em", sha256_hex("undefined")), is_dud("ph", sha256_hex("1234567890"))
    (True, True)
    """
    return digest in _DUDS_OF_KEY.get(key, _DUDS)


def strip_appendix(text: str) -> str:
    """Remove the `.AQ` or `.AQIBAQMC` that Meta's Parameter Builders append to what they touch.

    Only a known two-letter language, or eight characters that decode (base64url) to 0x01, a
    language from 1 to 6 and four more bytes, are an appendix. Source: Parameter Builder SDK.

    >>> strip_appendix("203.0.113.7.AQQBAQMC"), strip_appendix("203.0.113.7")
    ('203.0.113.7', '203.0.113.7')
    """
    found = _appendix(text[-9:])
    return text[: found.start() - found.end()] if found else text


def strip_url_appendix(url: str) -> str:
    """Remove an eight-character appendix from a URL.

    The two-letter form stays: builders that write it do not touch URLs, and `.BA` may be a domain.
    """
    # Most have none: looked for like this first, it costs a third.
    return url[:-9] if url[-9:-6] == ".AQ" and _url_appendix(url[-9:]) else url


def clean_fbp(text: str) -> str | None:
    """Canonical `fb.index.time.payload` of a browser id, None if it is not one.

    Source: Meta, fbp and fbc parameters. Meant for the value as it arrived.

    >>> clean_fbp("fb.1.1596403881668.1116446470.AQ")
    'fb.1.1596403881668.1116446470'
    """
    if _canonical_cookie(text) and "__DOT__" not in text:
        return text
    found = _cookie(text.strip())
    return _rebuild(found) if found and _fbp_payload(found["payload"]) else None


def clean_fbc(text: str) -> str | None:
    """Canonical `fb.index.time.fbclid` of a click id, None if it is not one.

    The click id keeps its case: Meta no longer knows one that was lowered. The pixel writes a dot
    in it as `__DOT__`, which is undone here, so clean a value once. A creation time in seconds, as
    some shop plug-ins write it, is kept. Source: Meta, fbp and fbc parameters.
    """
    if _canonical_cookie(text) and "__DOT__" not in text:
        return text
    found = _cookie(text.strip())
    return _rebuild(found) if found else None


def fold_dots(text: str) -> str:
    """A click id with the dots of its last part written as `__DOT__`, as the pixel writes them into
    its cookie; a builder's appendix stays.

    >>> fold_dots("fb.1.1596403881668.Iw.AR.AQ"), fold_dots("fb.1.1596403881668.IwAR")
    ('fb.1.1596403881668.Iw__DOT__AR.AQ', 'fb.1.1596403881668.IwAR')
    """
    bare = strip_appendix(text)
    parts = bare.split(".", 3)
    return (
        ".".join((*parts[:3], *(part.replace(".", "__DOT__") for part in parts[3:])))
        + (text[len(bare) :])
    )


def clean_ip(text: str) -> str | None:
    """Canonical text of an IPv4 or IPv6 address, None for all else.

    An IPv4 address inside IPv6 (`::ffff:203.0.113.7`, RFC 4291) is returned as IPv4, because it is
    the same visitor seen through another socket. IPv6 is written as RFC 5952 has it.

    >>> clean_ip(" 2001:DB8:0::1.AQQBAQMC"), clean_ip("203.0.113.256")
    ('2001:db8::1', None)
    """
    if _ipv4(text):
        return text
    bare = strip_appendix(text.strip())
    if _ipv4(bare):
        return bare
    try:
        packed = socket.inet_pton(socket.AF_INET6, bare)
    except (OSError, ValueError):
        return None
    if packed.startswith(_IPV4_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _rebuild(found: re.Match[str]) -> str:
    payload = found["payload"].replace("__DOT__", ".")
    return f"fb.{int(found['index'])}.{int(found['time'])}.{payload}"


def _normalize_email(text: str) -> str | None:
    email = text.strip().lower()
    return email if _email(email) else None


def _normalize_id(text: str) -> str:
    return text.strip().lower()


def _letters_and_digits(text: str) -> str:
    """Lower case without punctuation, spaces, symbols and invisible characters, in NFC.

    Accents and other scripts stay. NFC, because the same name typed on a Mac may arrive with its
    accents as separate characters and would hash differently.
    """
    lower = text.lower()
    if lower.isascii():
        return lower if lower.isalnum() else _OUTSIDE_ALPHANUMERIC.sub("", lower)
    if lower.isalnum():
        return unicodedata.normalize("NFC", lower)
    kept = [c for c in lower if c.isalnum() or _is_accent(c)]
    # Accents before any letter are what remains of an emoji or of damaged text.
    start = next((i for i, c in enumerate(kept) if c.isalnum()), len(kept))
    return unicodedata.normalize("NFC", "".join(kept[start:]))


def _is_accent(character: str) -> bool:
    if "\ufe00" <= character <= "\ufe0f":  # Variation selectors: the invisible half of an emoji.
        return False
    return unicodedata.category(character) in ("Mn", "Mc")


def _western_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join([str(int(c)) if c.isdecimal() else c for c in text])


def _normalize_gender(text: str) -> str | None:
    return _GENDERS.get(_letters_and_digits(text))


def _normalize_state(text: str) -> str:
    return state_code(text) or _letters_and_digits(text)


def _normalize_zip(text: str) -> str | None:
    zip_code = _letters_and_digits(_western_digits(text))
    if _ZIP_PLUS_4(zip_code):
        return zip_code[:5]
    return zip_code if len(zip_code) >= ZIP_LENGTH_MIN else None


def _normalize_birth_date(text: str) -> str | None:
    plain = _iso_date(text)
    if plain:
        return plain[1] + plain[3] + plain[4]
    lower = _western_digits(text).strip().lower()
    for form in _DATE_FORMS:
        found = form.fullmatch(lower)
        if found:
            return _write_date(found)
    return None


def _write_date(found: re.Match[str]) -> str | None:
    parts = found.groupdict()
    if "a" in parts:
        # Slash and dash are read as American, which is Meta's own example (2/16/1997), dots as
        # European; where only the other order can be a date, it is that.
        first, second = int(parts["a"]), int(parts["b"])
        is_day_first = first > 12 or (parts["by"] == "." and second <= 12)
        day, month = (first, second) if is_day_first else (second, first)
    else:
        day = int(parts["d"])
        month = int(parts["m"]) if parts["m"].isdigit() else _MONTHS.get(parts["m"], 0)
    try:
        born = date(int(parts["y"]), month, day)
    except ValueError:
        return None
    return f"{born.year}{born.month:02}{born.day:02}" if YEAR_MIN <= born.year <= YEAR_MAX else None


def _normalize_birth_day(text: str) -> str | None:
    return _number_between(text.strip(), 1, 31)


def _normalize_birth_month(text: str) -> str | None:
    word = text.strip().lower().rstrip(".")
    return f"{_MONTHS[word]:02}" if word in _MONTHS else _number_between(word, 1, 12)


def _normalize_birth_year(text: str) -> str | None:
    return _number_between(text.strip(), YEAR_MIN, YEAR_MAX)


def _number_between(text: str, low: int, high: int) -> str | None:
    # The length is looked at first: Python refuses to read numbers of thousands of digits.
    if len(text) > len(str(high)) or not (text.isascii() and text.isdigit()):
        return None
    return f"{int(text):02}" if low <= int(text) <= high else None


_RULES: dict[str, Callable[[str], str | None]] = {
    "em": _normalize_email,
    "ph": normalize_phone,
    "fn": _letters_and_digits,
    "ln": _letters_and_digits,
    "ge": _normalize_gender,
    "db": _normalize_birth_date,
    "ct": _letters_and_digits,
    "st": _normalize_state,
    "zp": _normalize_zip,
    "country": country_code,
    "external_id": _normalize_id,
    "f5first": lambda text: _letters_and_digits(text)[:5],
    "f5last": lambda text: _letters_and_digits(text)[:5],
    "fi": lambda text: _letters_and_digits(text)[:1],
    "dobd": _normalize_birth_day,
    "dobm": _normalize_birth_month,
    "doby": _normalize_birth_year,
    "app_user_id": _normalize_id,
}
