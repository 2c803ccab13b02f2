"""Cells as people write them: understood for sure, or refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.imports.values import (
    Unclear,
    dates_of,
    decimals_of,
    read_currency,
    read_sum,
    read_time,
    time_of,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("49", "49"),
        ("49.90", "49.90"),
        ("49,90", "49.90"),
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1.234.567", "1234567"),
        ("1,234,567.8", "1234567.8"),
        ("1 234,56", "1234.56"),
        ("1\u00a0234,56\u202f€", "1234.56"),
        ("1'234.50", "1234.50"),
        ("1’234’567", "1234567"),
        ("-12,50", "-12.50"),
        ("$-12.50", "-12.50"),
        ("€1.234,56", "1234.56"),
        ("USD 12.5", "12.5"),
        ("12,5 kr.", "12.5"),
        ("Fr. 12.50", "12.50"),
        ("0.500", "0.500"),
        ("0,500", "0.500"),
        ("1234.567", "1234.567"),
        ("12345", "12345"),
    ],
)
def test_a_sum_has_one_meaning(text: str, amount: str) -> None:
    assert Decimal(amount) == read_sum(text).amount


@pytest.mark.parametrize("text", ["1.234", "12,345", "€ 1.000", "999.999"])
def test_three_digits_behind_one_sign_may_be_either(text: str) -> None:
    with pytest.raises(Unclear, match="--decimal comma or --decimal point") as told:
        read_sum(text)
    assert "ambiguous_value" == told.value.reason
    comma, point = read_sum(text, "comma").amount, read_sum(text, "point").amount
    assert comma != point
    assert {comma, point} == {max(comma, point), max(comma, point) / 1000}


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1.23.45", "12.34,56,7", "1,23,456.00", "49.90.", "1e3", "--5", "5-", "(5)"),
        *("49 apples", "€ 5 $", "1'23.50", "٤٩", "1.2345.678", "5%", "NaN", "."),
    ],
)
def test_what_is_no_sum_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Unclear) as told:
        read_sum(text)
    assert not text or text not in str(told.value) or text in (".", "x")


def test_what_was_said_of_decimals_is_not_contradicted() -> None:
    for text in ("12.50", "1.234.5"):
        with pytest.raises(Unclear):
            read_sum(text, "comma")
    with pytest.raises(Unclear):
        read_sum("12,50", "point")
    assert Decimal(1234) == read_sum("1.234", "comma").amount


@given(st.integers(-(10**12), 10**12), st.sampled_from([",", "."]), st.booleans())
def test_a_sum_that_is_written_out_comes_back(cents: int, sign: str, grouped: bool) -> None:
    amount = Decimal(cents) / 100
    text = f"{amount:,.2f}" if grouped else f"{amount:.2f}"
    if sign == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    assert amount == read_sum(text).amount == read_sum(text, "comma" if sign == "," else "point")[0]


def test_a_column_tells_by_its_plain_cells() -> None:
    assert "comma" == decimals_of(["1.234", "€ 12,50", "7"])
    assert "point" == decimals_of(["1,234", "1,234.00"])
    assert "" == decimals_of(["1.234", "7", "x", ""])
    assert "" == decimals_of(["1.5", "2,5"])


def test_signs_stand_for_currencies() -> None:
    assert {"EUR"} == read_sum("5 €").currencies
    assert {"USD", "CAD"} < read_sum("$5").currencies
    assert {"USD"} == read_sum("US$5").currencies == read_sum("5 usd").currencies
    assert set() == read_sum("5").currencies
    assert ("EUR", "CHF") == (read_currency("€"), read_currency(" chf "))
    for text in ("$", "XYZ", "Euros"):
        with pytest.raises(Unclear):
            read_currency(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01T10:00:00+01:00", "2026-11-01T09:00:00"),
        ("2026-11-01 10:00:00 +0100", "2026-11-01T09:00:00"),
        ("2026-11-01 10:00:00 UTC", "2026-11-01T10:00:00"),
        ("2026-11-01T10:00:00.123Z", "2026-11-01T10:00:00"),
        ("2026-11-01 10:00", "2026-11-01T09:00:00"),
        ("2026-07-01", "2026-06-30T22:00:00"),
        ("2026/11/01 10:00", "2026-11-01T09:00:00"),
        ("01.11.2026 10:00", "2026-11-01T09:00:00"),
        ("1.11.2026, 10:00 Uhr", "2026-11-01T09:00:00"),
        ("23/11/2026 22:15:30", "2026-11-23T21:15:30"),
        ("11/23/2026 10:15 PM", "2026-11-23T21:15:00"),
        ("Nov 1, 2026 12:05 am", "2026-10-31T23:05:00"),
        ("1 November 2026 10:00", "2026-11-01T09:00:00"),
        ("1. März 2026 10:00", "2026-03-01T09:00:00"),
        ("Sunday, 1 November 2026 at 10:00", "2026-11-01T09:00:00"),
        ("1793523600", "2026-11-01T09:00:00"),
        ("1793523600000", "2026-11-01T09:00:00"),
        ("1793523600.75", "2026-11-01T09:00:00"),
    ],
)
def test_a_time_has_one_meaning(text: str, moment: str) -> None:
    expected = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
    assert expected == read_time(text, BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "soon",
            "45962.4167",
            "12",
            "20261101",
            "2026-13-01",
            "30.02.2026",
            "2026-11-01 25:00",
        ),
        *(
            "01.11.26",
            "2026-11-01 10",
            "13:00 PM 2026-11-01",
            "1 Smarch 2026",
            "2026-11-01 10:00 CET",
        ),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Unclear) as told:
        read_time(text, BERLIN)
    assert "time" == told.value.reason


def test_day_and_month_are_not_guessed() -> None:
    with pytest.raises(Unclear, match="--dates day-first or month-first"):
        read_time("11/01/2026", UTC)
    assert read_time("2026-01-11", UTC) == read_time("11/01/2026", UTC, "day-first")
    assert read_time("2026-11-01", UTC) == read_time("11/01/2026", UTC, "month-first")
    with pytest.raises(Unclear):
        read_time("11/23/2026", UTC, "day-first")
    assert "month-first" == dates_of(["11/01/2026", "11/23/2026"])
    assert "" == dates_of(["11/23/2026", "23/11/2026"]) == dates_of(["1/1/2026"])


def test_what_a_table_holds_as_a_time_is_one() -> None:
    there = datetime(2026, 11, 1, 10, tzinfo=BERLIN)
    assert int(there.timestamp()) == time_of(there, UTC)
    assert int(there.timestamp()) == time_of(there.replace(tzinfo=None), BERLIN)
    assert read_time("2026-11-01", BERLIN) == time_of(date(2026, 11, 1), BERLIN)
    assert 1793523600 == time_of(1793523600, UTC) == time_of(1793523600.9, UTC)
