"""What people and spreadsheets write in cells: sums, currencies, times. Each is understood for sure
or refused with what to write instead; nothing is taken for what it may not be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Literal, NamedTuple

from doublet.accept.steps import CURRENCIES

Decimals = Literal["", "comma", "point"]
Dates = Literal["", "day-first", "month-first"]


class Unclear(ValueError):  # noqa: N818 - it says what a cell is, nothing has failed
    """A cell that is not understood: a stable `reason`, and a sentence that says what to write. It
    never holds what is in the cell."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Sum(NamedTuple):
    """A sum of money, and the currency that was written beside it: a code, the codes that a sign
    may stand for, or nothing."""

    amount: Decimal
    currencies: frozenset[str]


_DOLLARS = "USD CAD AUD NZD SGD HKD MXN ARS CLP COP TWD BRL JMD TTD BBD BSD FJD NAD"
_SIGNS: dict[str, frozenset[str]] = {
    sign: frozenset(codes.split())
    for sign, codes in {
        "€": "EUR",
        "£": "GBP EGP GIP FKP",
        "$": _DOLLARS,
        "us$": "USD",
        "¥": "JPY CNY",
        "₹": "INR",
        "₺": "TRY",
        "₽": "RUB",
        "₴": "UAH",
        "₩": "KRW",
        "₪": "ILS",
        "₫": "VND",
        "₱": "PHP",
        "₦": "NGN",
        "฿": "THB",
        "zł": "PLN",
        "kč": "CZK",
        "ft": "HUF",
        "lei": "RON",
        "kr": "SEK NOK DKK ISK",
        "kr.": "SEK NOK DKK ISK",
        "fr.": "CHF",
        "sfr.": "CHF",
        "r$": "BRL",
        "euro": "EUR",
    }.items()
}
_NOTHING: frozenset[str] = frozenset()

_sum = re.compile(
    r"(?P<minus>[-−]?)(?P<before>s?fr\.|kr\.|[^\d.,'’+−\-]*)(?P<inner>[-−]?)"
    r"(?P<number>[\d.,'’]+)(?P<after>kr\.|[^\d.,'’+−\-]*)",
    re.IGNORECASE,
).fullmatch
_SPACES = dict.fromkeys(map(ord, " \t\u00a0\u2007\u2009\u202f"))


def read_sum(text: str, decimals: Decimals = "") -> Sum:
    """A sum with whatever signs people put to it. `decimals` says which sign stands before the
    decimals. Raises Unclear.

    >>> read_sum("1.234,56 €").amount, read_sum("$1,234.56").amount, read_sum("1'234").amount
    (Decimal('1234.56'), Decimal('1234.56'), Decimal('1234'))
    """
    found = _sum(text.strip().translate(_SPACES))
    if found is None or (found["minus"] and found["inner"]):
        raise Unclear("value", "It is no sum of money; write a plain number such as 49.90.")
    currencies = _currencies(found["before"], found["after"])
    number = _plain(found["number"], decimals)
    negative = found["minus"] or found["inner"]
    return Sum(-number if negative else number, currencies)


def _currencies(before: str, after: str) -> frozenset[str]:
    found = _NOTHING
    for said in (before, after):
        word = said.strip().casefold()
        if not word:
            continue
        codes = _SIGNS.get(word) or (
            frozenset((word.upper(),)) if word.upper() in CURRENCIES else None
        )
        if codes is None:
            raise Unclear(
                "value", "What stands beside the number is no currency; write 49.90 or 49.90 EUR."
            )
        found = found & codes if found else codes
        if not found:
            raise Unclear("value", "Two currencies stand beside the number; write one.")
    return found


_AMBIGUOUS = (
    "ambiguous_value",
    "A single sign before three digits may be decimals or thousands: say which with "
    "--decimal comma or --decimal point.",
)
_GROUPING = Unclear(
    "value", "Its thousands are not in groups of three; write a plain number such as 1234.56."
)


def _plain(text: str, decimals: Decimals) -> Decimal:
    text = text.replace("’", "'")
    if "'" in text:
        if not _is_grouped(re.split("[.,]", text)[0], "'"):
            raise _GROUPING
        text = text.replace("'", "")
    point = {"comma": ",", "point": "."}.get(decimals) or _decimal_sign(text)
    other = "," if point == "." else "."
    whole, sign, part = text.partition(point)
    if sign and (point in part or other in part or not part):
        raise Unclear("value", f"It has no decimals behind {point}; write 1234{point}56.")
    if other in whole and not _is_grouped(whole, other):
        raise _contradicts(point, decimals)
    digits = whole.replace(other, "")
    if not digits.isdecimal() or not digits.isascii() or (part and not part.isascii()):
        raise Unclear("value", "It is no sum of money; write a plain number such as 49.90.")
    return Decimal(f"{digits}.{part}" if part else digits)


def _contradicts(point: str, decimals: Decimals) -> Unclear:
    if not decimals:
        return _GROUPING
    return Unclear(
        "value",
        f"It does not fit decimals behind {point} (--decimal {decimals}), as the others have them.",
    )


def _is_grouped(text: str, sign: str) -> bool:
    first, *others = text.split(sign)
    return 1 <= len(first) <= 3 and all(len(group) == 3 for group in others)


def _decimal_sign(text: str) -> str:
    """The sign that stands before decimals for sure, a point where there are none. Raises Unclear
    where both readings make sense."""
    points, commas = text.count("."), text.count(",")
    if points and commas:
        return "." if text.rindex(".") > text.rindex(",") else ","
    if not points and not commas:
        return "."
    sign = "." if points else ","
    if points + commas > 1:
        return "," if sign == "." else "."
    whole, _, part = text.partition(sign)
    if len(part) == 3 and 1 <= len(whole) <= 3 and whole.strip("0"):
        raise Unclear(*_AMBIGUOUS)
    return sign


def decimals_of(texts: Iterable[str]) -> Decimals:
    """Which sign stands before the decimals in a column, where some of its cells tell for sure and
    none says otherwise.

    >>> decimals_of(["1.234", "12,50"]), decimals_of(["1.234"]), decimals_of(["1.5", "1,5"])
    ('comma', '', '')
    """
    seen = set()
    for text in texts:
        found = _sum(text.strip().translate(_SPACES))
        if found is None:
            continue
        number = found["number"]
        try:
            sign = _decimal_sign(number)
        except Unclear:
            continue
        if sign in number or number.count("." if sign == "," else ",") > 1:
            seen.add(sign)
    if len(seen) != 1:
        return ""
    return "comma" if seen == {","} else "point"


def read_currency(text: str) -> str:
    """A currency's code, upper case; a sign counts where it stands for one currency alone. Raises
    Unclear."""
    word = text.strip()
    if word.upper() in CURRENCIES:
        return word.upper()
    codes = _SIGNS.get(word.casefold(), _NOTHING)
    if len(codes) == 1:
        return min(codes)
    raise Unclear("currency", "It is no currency; write a three-letter code such as EUR.")


# --- times -----------------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan january januar jänner|feb february februar|mar march märz mär mrz|apr april"
        "|may mai|jun june juni|jul july juli|aug august|sep sept september|oct october okt oktober"
        "|nov november|dec december dez dezember".split("|"),
        1,
    )
    for name in names.split()
}
_CLOCK = (
    r"(?:[T ,]+(?:(?:at|um) )?(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,]\d{1,9})?)?)?"
    r" ?(?P<half>[aApP]\.?[mM]\.?)?(?: Uhr)?)?"
    r" ?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|(?:UTC|GMT)[+-]\d{2}:?\d{2})?"
)
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})" + _CLOCK).fullmatch
_WITH_POINTS = re.compile(r"(?P<d>\d{1,2})\. ?(?P<m>\d{1,2})\. ?(?P<y>\d{4})" + _CLOCK).fullmatch
_EITHER = re.compile(r"(?P<a>\d{1,2})([-/])(?P<b>\d{1,2})\2(?P<y>\d{4})" + _CLOCK).fullmatch
_NAMED = (
    re.compile(
        r"(?:[^\W\d_]+, )?(?P<d>\d{1,2})(?:st|nd|rd|th|\.)?[ -](?P<n>[^\W\d_]{3,9})\.?[ -,]+"
        r"(?P<y>\d{4})" + _CLOCK
    ).fullmatch,
    re.compile(
        r"(?:[^\W\d_]+, )?(?P<n>[^\W\d_]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})"
        + _CLOCK
    ).fullmatch,
)
_unix = re.compile(r"(\d{9,10})(?:\.\d{1,9})?").fullmatch
_unix_ms = re.compile(r"\d{13}").fullmatch

_NO_TIME = (
    "time",
    "It is no time; write 2026-11-01T10:00:00+01:00, 2026-11-01 10:00 or Unix seconds.",
)


def read_time(text: str, zone: tzinfo, dates: Dates = "") -> int:
    """A moment in Unix seconds; without an offset it is on the clocks of `zone`. Raises Unclear.

    >>> read_time("01.11.2026 10:00", UTC) == read_time("2026-11-01 11:00:00 +0100", UTC)
    True
    """
    text = text.strip()
    if found := _unix(text):
        return int(found[1])
    if _unix_ms(text):
        return int(text) // 1000
    parts = _parts(text, dates)
    try:
        return _moment(parts, zone)
    except (ValueError, OverflowError) as error:
        raise Unclear("time", "There is no such day or time; look at it.") from error


def _parts(text: str, dates: Dates) -> dict[str, str | int | None]:
    for form in (_YEAR_FIRST, _WITH_POINTS, *_NAMED):
        found = form(text)
        if found:
            parts: dict[str, str | int | None] = dict(found.groupdict())
            if "n" in parts:
                month = _MONTHS.get(str(parts["n"]).casefold())
                if month is None:
                    continue
                parts["m"] = month
            return parts
    found = _EITHER(text)
    if found is None:
        raise Unclear(*_NO_TIME)
    a, b = int(found["a"]), int(found["b"])
    order = dates or _order(a, b)
    if not order:
        raise Unclear(
            "ambiguous_time",
            "Day or month may stand first: say which with --dates day-first or month-first.",
        )
    day, month = (a, b) if order == "day-first" else (b, a)
    return {**found.groupdict(), "d": day, "m": month}


def _order(a: int, b: int) -> Dates:
    if a == b or a > 12 >= b:
        return "day-first"
    return "month-first" if b > 12 >= a else ""


def _moment(parts: dict[str, str | int | None], zone: tzinfo) -> int:
    hour = int(parts["H"] or 0)
    half = str(parts["half"] or "").casefold().replace(".", "")
    if parts["H"] and not parts["M"] and not half:
        raise Unclear(*_NO_TIME)
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(half)
        hour = hour % 12 + (12 if half == "pm" else 0)
    named = str(parts["zone"] or "")
    at = datetime(
        int(parts["y"] or 0),
        int(parts["m"] or 0),
        int(parts["d"] or 0),
        hour,
        int(parts["M"] or 0),
        int(parts["S"] or 0),
        tzinfo=_offset(named) if named else zone,
    )
    return int(at.timestamp())


def _offset(named: str) -> tzinfo:
    digits = re.sub(r"^(?:UTC|GMT)(?=[+-])", "", named)
    if digits in ("Z", "UTC", "GMT"):
        return UTC
    found = datetime.strptime(digits.replace(":", ""), "%z").tzinfo
    assert found is not None
    return found


def dates_of(texts: Iterable[str]) -> Dates:
    """Whether the day or the month stands first in a column of dates such as 11/01/2026, where some
    of its cells tell for sure and none says otherwise.

    >>> dates_of(["11/01/2026", "11/23/2026"]), dates_of(["11/01/2026"])
    ('month-first', '')
    """
    seen: set[Dates] = set()
    for text in texts:
        found = _EITHER(text.strip())
        if (
            found
            and found["a"] != found["b"]
            and (order := _order(int(found["a"]), int(found["b"])))
        ):
            seen.add(order)
    return seen.pop() if len(seen) == 1 else ""


def time_of(value: object, zone: tzinfo, dates: Dates = "") -> int:
    """The same for what a file holds as a time, a number or a text."""
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=zone)).timestamp())
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=zone).timestamp())
    if isinstance(value, float):
        value = int(value)
    return read_time(str(value), zone, dates)
