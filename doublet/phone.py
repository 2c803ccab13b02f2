"""Phone numbers → digits with country code, by the numbering plan where a country is known.

Meta's form is the number's digits with country code and without leading zeros. Customers type
national forms; which number that is only the plan of their country tells (package phonenumbers,
the data of Google's libphonenumber). Pure functions that never raise on any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

DIGITS_MIN = 7
DIGITS_MAX = 15  # ITU-T E.164; the shortest numbers with a country code have seven.
_OWN_CODE_DIGITS_MIN = 10
_TEXT_LENGTH_MAX = 64

_e164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
_OUTSIDE_DIGITS = re.compile(r"[^0-9]+")
_NOTHING = r"(?!)"
_CALLING_CODES = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}
_Match = Callable[[str], re.Match[str] | None]
_KINDS = (
    *("mobile", "fixed_line", "toll_free", "voip", "shared_cost", "premium_rate"),
    *("personal_number", "pager", "uan", "voicemail"),
)


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
    plan = _plan(country)
    if plan is None:
        return digits
    if plan.zero_first and digits[:1] != "0":
        if digits.startswith(plan.code) and len(digits) >= _OWN_CODE_DIGITS_MIN:
            return digits
        return _with_own_code(digits) or _dialled(digits, plan, country) or digits
    return _dialled(digits, plan, country) or digits


def _dialled(digits: str, plan: _Plan, country: str) -> str | None:
    """What parsing finds, a tenth as dear, for nearly all numbers. The parser itself reads what is
    dialled abroad or with an unusual prefix."""
    if not plan.abroad(digits):
        if not digits.startswith(plan.code) or plan.general(digits):
            return _complete(digits, plan, digits, country)
        rest = digits[len(plan.code) :]
        if plan.general(rest) and not plan.prefix(rest):
            return _complete(rest, plan, digits, country)
    return _valid(digits, country)


def _with_own_code(digits: str) -> str | None:
    """The same for digits that begin with the calling code of some country."""
    for length in (1, 2, 3):
        countries = _CALLING_CODES.get(digits[:length])
        plan = _plan(countries[0]) if countries else None
        if plan:
            return _complete(digits[length:], plan, "+" + digits, None)
    return _valid("+" + digits, None)


def _complete(digits: str, plan: _Plan, whole: str, country: str | None) -> str | None:
    """Country code and valid number, without what is dialled before it within the country. Where
    that names a carrier or changes the number, the parser reads the `whole` as of `country`."""
    prefix = plan.prefix(digits)
    if prefix:
        if prefix.lastindex is not None:
            return _valid(whole, country)
        rest = digits[prefix.end() :]
        if len(rest) in plan.lengths and (plan.general(rest) or not plan.general(digits)):
            digits = rest
    return plan.code + digits if _is_valid(plan.code, digits) else None


def _international(digits: str, text: str) -> str | None:
    """`+49 (0)170 …`: the zero is dialled only within the country."""
    if "+" in text or digits.startswith("00"):
        return _with_own_code(digits.lstrip("0"))
    return None


def _valid(number: str, country: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(number, country)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"


class _Plan(NamedTuple):
    """How a country dials. `abroad` and `prefix` find what is dialled before other countries'
    numbers and before its own, `general` tells what its numbers look like."""

    code: str
    zero_first: bool
    abroad: _Match
    prefix: _Match
    general: _Match
    lengths: tuple[int, ...]


@cache
def _plan(country: str) -> _Plan | None:
    """None for what is no country."""
    metadata = PhoneMetadata.metadata_for_region(country, None)
    if metadata is None:
        return None
    return _Plan(
        str(metadata.country_code),
        metadata.national_prefix == "0",
        re.compile(metadata.international_prefix or _NOTHING).match,
        re.compile(metadata.national_prefix_for_parsing or _NOTHING).match,
        re.compile(_pattern(metadata.general_desc)).fullmatch,
        metadata.general_desc.possible_length if metadata.general_desc else (),
    )


def _is_valid(code: str, national: str) -> bool:
    """As `phonenumbers.is_valid_number`, by one pattern for each country of a calling code."""
    for leading, any_kind in _countries(code):
        if leading is None:
            if any_kind(national):
                return True
        elif leading(national):
            return any_kind(national) is not None
    return False


@cache
def _countries(code: str) -> tuple[tuple[_Match | None, _Match], ...]:
    """Of each country with a calling code: the leading digits that alone tell it from the others,
    None where it has none, and its valid numbers."""
    regions = _CALLING_CODES[code]
    found: list[tuple[_Match | None, _Match]] = []
    for metadata in map(PhoneMetadata.metadata_for_region, regions):
        if metadata is not None:
            kinds = "|".join([_pattern(getattr(metadata, kind), True) for kind in _KINDS])
            whole = rf"(?={_pattern(metadata.general_desc, True)}\Z)(?:{kinds})"
            digits = metadata.leading_digits if len(regions) > 1 else None
            leading = re.compile(digits).match if digits else None
            found.append((leading, re.compile(whole).fullmatch))
    return tuple(found)


def _pattern(numbers: PhoneNumberDesc | None, has_length: bool = False) -> str:
    """A pattern of the described numbers, on demand of those with a possible length only."""
    if numbers is None or not numbers.national_number_pattern:
        return _NOTHING
    lengths = "|".join([f"[0-9]{{{length}}}" for length in numbers.possible_length])
    before = rf"(?=(?:{lengths})\Z)" if lengths and has_length else ""
    return f"{before}(?:{numbers.national_number_pattern})"
