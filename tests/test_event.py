"""Values as money: every one fits its column."""

from __future__ import annotations

import doctest
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doublet import decoding, event
from doublet.event import money


def test_the_examples_in_the_docstrings_hold() -> None:
    assert 0 == doctest.testmod(event).failed + doctest.testmod(decoding).failed


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("99999999999999.9999", "99999999999999.9999"),
        ("99999999999999.99994", "99999999999999.9999"),
        ("99999999999999.99995", None),
        ("-99999999999999.99999", None),
        (10**14, None),
        (10**14 - 1, "99999999999999"),
        (-5, "-5.0000"),
        ("1e3", "1000.0000"),
        ("1e-5000000", "0.0000"),
        (5e-324, "0.0000"),
        (0, "0.0000"),
        ("0", "0"),
        ("1_000", None),
        ("١٢", None),
        ("1e99999999999999999999", None),
        ("9" * 5000, None),
        ("nan", None),
        (True, None),
        ([1], None),
    ],
)
def test_a_value_always_fits_its_column(wire: object, expected: str | None) -> None:
    assert expected == money(wire)


@settings(deadline=None, derandomize=True)
@given(st.floats() | st.integers() | st.text(max_size=50) | st.decimals().map(str))
@example("1e-999999999")
def test_money_is_short_and_below_its_limit(wire: object) -> None:
    text = money(wire)
    if text is not None:
        assert len(text) <= 20
        assert abs(round(Decimal(text), 4)) < 10**14
