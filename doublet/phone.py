"""Phone numbers → digits with country code, by the numbering plan where a country is known.

Meta's form is the number's digits with country code and without leading zeros. Customers type
national forms; which number that is only the plan of their country tells (package phonenumbers,
the data of Google's libphonenumber). Pure functions that never raise on any text.
"""

from __future__ import annotations

import re
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber

DIGITS_MIN = 7
DIGITS_MAX = 15  # ITU-T E.164; the shortest numbers with a country code have seven.
_OWN_CODE_DIGITS_MIN = 10
_TEXT_LENGTH_MAX = 64

_e164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
_OUTSIDE_DIGITS = re.compile(r"[^0-9]+")


def normalize_phone(text: str, country: str = "") -> str | None:
    """The digits of a phone number with country code, None for what is no number.

    `country` is an ISO 3166 code, of any case, for numbers that do not bear their code; empty when
    nobody knows. A number that no plan knows keeps its digits without leading zeros. Source: Meta,
    Customer information parameters.

    >>> normalize_phone("(650)555-1212", "us"), normalize_phone("0170 1234567", "de")
    ('16505551212', '491701234567')
    >>> normalize_phone("+44 (0)20 7946 0958"), normalize_phone("33612345678", "de")
    ('442079460958', '33612345678')
    """
    if _e164(text):
        return text[1:]
    western = _western_digits(text)
    digits = _OUTSIDE_DIGITS.sub("", western)
    if "(0)" in western and len(western) <= _TEXT_LENGTH_MAX:
        digits = _international(digits, western) or digits
    elif country and len(western) <= _TEXT_LENGTH_MAX and "+" not in western:
        digits = _with_code(digits, country.upper())
    digits = digits.lstrip("0")
    return digits if DIGITS_MIN <= len(digits) <= DIGITS_MAX else None


def _western_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join([str(int(c)) if c.isdecimal() else "+" if c == "＋" else c for c in text])


def _with_code(digits: str, country: str) -> str:
    """The digits as dialled in `country`, or as Meta wants them. Where people write a leading zero
    before area codes, digits without it bear a country code; elsewhere only the plan can tell."""
    code, zero_first, only_zero = _plan(country)
    if only_zero and digits[:1] == "0" and digits[1:2] not in ("", "0"):
        # Most numbers that people type: without that zero a valid one, as parsing would find.
        number = PhoneNumber(country_code=int(code), national_number=int(digits[1:]))
        if phonenumbers.is_valid_number(number):
            return code + digits[1:]
    if zero_first and digits[:1] != "0":
        if digits.startswith(code) and len(digits) >= _OWN_CODE_DIGITS_MIN:
            return digits
        return _valid("+" + digits, None) or _valid(digits, country) or digits
    return _valid(digits, country) or digits


def _international(digits: str, text: str) -> str | None:
    """`+49 (0)170 …`: the zero is dialled only within the country."""
    if "+" in text or digits.startswith("00"):
        return _valid("+" + digits.lstrip("0"), None)
    return None


def _valid(number: str, country: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(number, country)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"


@cache
def _plan(country: str) -> tuple[str, bool, bool]:
    """Calling code, whether area codes are written with a leading zero, and whether nothing but
    that zero can stand before them."""
    metadata = PhoneMetadata.metadata_for_region(country, None)
    if metadata is None:
        return "", False, False
    prefix = metadata.national_prefix_for_parsing
    return str(metadata.country_code), metadata.national_prefix == "0", prefix == "0"
