"""Fields that messages of several kinds have: ids, moments, currencies, amounts.

Each reader gives back what is kept, or raises Fault with what to write instead; it never repeats
what it was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from doublet.accept.steps import EVENT_ID_LENGTH_MAX, FUTURE_S_MAX, YEAR_2000_S, stored_event_id
from doublet.event import money

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_S = 1e15
_is_number = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?").fullmatch


class Fault(Exception):  # noqa: N818 - it ends the reading of one message, nothing has failed
    """A message is wrong: what is, and which field."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def read_id(field: str, given: object) -> str | None:
    """An id as events have theirs, so that both meet; an address in it becomes its hash. Raises
    Fault."""
    if given is None or given == "":
        return None
    text = str(given)
    if len(text) > EVENT_ID_LENGTH_MAX:
        raise Fault(
            f"{field} has {len(text)} characters, at most {EVENT_ID_LENGTH_MAX} are allowed.", field
        )
    return stored_event_id(text)


def read_pixel_id(given: object, pixels: Mapping[str, str]) -> str:
    """One of the account's pixels, the only one where none is named. Raises Fault."""
    if given is None or given == "":
        if len(pixels) == 1:
            return next(iter(pixels))
        raise Fault("pixel_id is missing, and the account has not just one pixel.", "pixel_id")
    if str(given) not in pixels:
        raise Fault("pixel_id is none of the account's pixels.", "pixel_id")
    return str(given)


def read_currency(given: str | None) -> str | None:
    """Three letters, upper case. Raises Fault."""
    code = (given or "").strip().upper()
    if code and not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise Fault("currency is not a three-letter code such as EUR.", "currency")
    return code or None


def read_amount(field: str, given: object) -> Decimal:
    """A plain number. Raises Fault."""
    text = money(given)
    if text is None:
        raise Fault(f"{field} is not a plain number such as 49.90, with a point.", field)
    return Decimal(text)


def plain(amount: Decimal) -> str:
    """One sum, one text.

    >>> plain(Decimal("10.50")), plain(Decimal("1E+2"))
    ('10.5', '100')
    """
    return f"{amount.normalize():f}"


def read_moment(field: str, given: float | str | None, received_at: int) -> int:
    """The sender's own time of something in µs since 1970. Raises Fault."""
    micros = _micros(field, given)
    if micros is None:
        raise Fault(
            f"{field} is missing or no time; write 2026-11-01T10:00:00+01:00, or Unix seconds.",
            field,
        )
    if micros > received_at + FUTURE_S_MAX * 1_000_000:
        raise Fault(
            f"{field} is more than a day in the future; as a number it is in seconds, not "
            "milliseconds.",
            field,
        )
    if micros < YEAR_2000_S * 1_000_000:
        raise Fault(f"{field} is before the year 2000; as a number it is seconds.", field)
    return micros


def _micros(field: str, given: float | str | None) -> int | None:
    if isinstance(given, str):
        text = given.strip()
        if not _is_number(text):
            return _micros_of_text(field, text)
        given = float(text) if "." in text else int(text)
    if isinstance(given, int):
        return given * 1_000_000
    if given is None or math.isnan(given):
        return None
    return round(max(-_FAR_S, min(given, _FAR_S)) * 1_000_000)


def _micros_of_text(field: str, text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        raise Fault(
            f"{field} names no time zone; end it with Z or an offset such as +01:00.", field
        )
    return (moment - _EPOCH) // timedelta(microseconds=1)
