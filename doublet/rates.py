"""Exchange rates that the user supplies: a CSV file per account, `day,currency,rate`.

A rate is what one unit of the currency is worth in the account's currency from that day on, until
the next rate of the currency, but for at most `AGE_DAYS_MAX` days: a forgotten file must not
convert with last year's rates. Doublet brings no rates of its own.
"""

from __future__ import annotations

import csv
import io
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from doublet.errors import SenderError
from doublet.processes import make_folder

AGE_DAYS_MAX = 31
_COLUMNS = ("day", "currency", "rate")


class Rate(NamedTuple):
    """One line of the file."""

    day: date
    currency: str
    rate: Decimal


class Span(NamedTuple):
    """The days, both included, for which a currency has one rate."""

    currency: str
    first: date
    last: date
    rate: Decimal


class Rates:
    """Rates to one currency."""

    def __init__(self, currency: str, known: Iterable[Rate] = ()) -> None:
        self._currency = currency
        self._known: dict[str, list[tuple[date, Decimal]]] = {}
        for rate in sorted(known):
            self._known.setdefault(rate.currency, []).append((rate.day, rate.rate))

    def rate(self, day: date, currency: str) -> Decimal | None:
        """What one unit is worth on a day; 1 for the account's own currency, None if unknown.

        >>> rates = Rates("EUR", [Rate(date(2026, 11, 2), "USD", Decimal("0.9"))])
        >>> rates.rate(date(2026, 11, 3), "USD"), rates.rate(date(2026, 11, 1), "USD")
        (Decimal('0.9'), None)
        """
        if currency == self._currency:
            return Decimal(1)
        known = self._known.get(currency, [])
        at = bisect_right(known, day, key=lambda pair: pair[0])
        if at == 0 or day - known[at - 1][0] > timedelta(days=AGE_DAYS_MAX):
            return None
        return known[at - 1][1]

    def spans(self) -> Iterator[Span]:
        """What `rate` says, in days that do not overlap, by currency and day; the account's own
        currency first, on all days.

        >>> rates = Rates("EUR", [Rate(date(2026, 11, 2), "USD", Decimal("0.9"))])
        >>> [(span.currency, str(span.first), str(span.last)) for span in rates.spans()]
        [('EUR', '0001-01-01', '9999-12-31'), ('USD', '2026-11-02', '2026-12-03')]
        """
        yield Span(self._currency, date.min, date.max, Decimal(1))
        for currency, known in self._known.items():
            if currency == self._currency:
                continue
            # A rate that is too old ends before the next one begins.
            nexts = [day for day, _ in known[1:]] + [date.max]
            for (day, rate), following in zip(known, nexts, strict=True):
                oldest = day + min(timedelta(days=AGE_DAYS_MAX), date.max - day)
                last = oldest if following == date.max else min(oldest, _day_before(following))
                yield Span(currency, day, last, rate)


def _day_before(day: date) -> date:
    return day - timedelta(days=1)


def read_rates(lines: Iterable[str], name: str) -> list[Rate]:
    """The rates of a CSV file, in its order. Raises SenderError with the first line that is
    wrong."""
    reader = csv.reader(lines)
    found: list[Rate] = []
    try:
        header = [cell.strip().lower().lstrip("\ufeff") for cell in next(reader, [])]
        if tuple(header) != _COLUMNS:
            raise SenderError(f"{name}: the first line is not day,currency,rate.", "Begin with it.")
        for cells in reader:
            if cells:
                found.append(_rate(cells, f"{name}, line {reader.line_num}"))
    except (csv.Error, UnicodeDecodeError) as error:
        raise SenderError(f"{name} is no CSV file in UTF-8: {error}.", "Save it as one.") from error
    seen: set[tuple[date, str]] = set()
    for rate in found:
        if rate[:2] in seen:
            raise SenderError(
                f"{name}: two rates of {rate.currency} for {rate.day}.", "Keep one of them."
            )
        seen.add(rate[:2])
    return found


def _rate(cells: list[str], place: str) -> Rate:
    if len(cells) != len(_COLUMNS):
        raise SenderError(f"{place}: {len(cells)} cells, not 3.", "Write day,currency,rate.")
    day, currency, text = (cell.strip() for cell in cells)
    try:
        when = date.fromisoformat(day)
    except ValueError:
        raise SenderError(f"{place}, column day: no day.", "Write 2026-11-01.") from None
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise SenderError(f"{place}, column currency: no code of three letters.", "Write USD.")
    try:
        rate = Decimal(text)
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or not 0 < rate < 10**9 or len(text) > 30:
        raise SenderError(f"{place}, column rate: no number above zero.", "Write 0.9215.")
    return Rate(when, currency.upper(), rate)


def _file(folder: Path, account_id: str) -> Path:
    return folder / f"{account_id}.csv"


def load_rates(folder: Path, account_id: str, currency: str) -> Rates:
    """The rates of an account as they are now; none when it has supplied none."""
    return Rates(currency, kept_rates(folder, account_id))


def kept_rates(folder: Path, account_id: str) -> list[Rate]:
    """What an account has supplied, by day and currency."""
    path = _file(folder, account_id)
    if not path.exists():
        return []
    return sorted(read_rates(path.read_text("utf-8").splitlines(), path.name))


def keep_rates(folder: Path, account_id: str, rates: Iterable[Rate]) -> int:
    """Add rates to an account's, a new one in place of the old one of its day; how many it has
    then."""
    merged = {rate[:2]: rate for rate in [*kept_rates(folder, account_id), *rates]}
    make_folder(folder)
    path = _file(folder, account_id)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(_text(sorted(merged.values())))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return len(merged)


def _text(rates: Iterable[Rate]) -> str:
    def rows() -> Iterator[tuple[str, str, str]]:
        for rate in rates:
            yield rate.day.isoformat(), rate.currency, f"{rate.rate:f}"

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows())
    return text.getvalue()
