"""What an event was about, whatever the shop wrote."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as some

from doublet.destinations.contract import Outgoing
from doublet.destinations.encoding import encode_json
from doublet.destinations.products import Product, amount, decimal_text, integer, products


def _event(**custom: Any) -> Outgoing:
    return Outgoing("AddToCart", "e-1", 1, custom_data=custom)


@pytest.mark.parametrize(
    ("custom", "expected"),
    [
        ({}, []),
        ({"content_ids": ["A", 7]}, [Product("A"), Product("7")]),
        ({"content_ids": "A"}, [Product("A")]),
        ({"content_ids": [None, "", True, {"id": "A"}]}, []),
        ({"contents": [], "content_ids": ["A"]}, [Product("A")]),
        ({"contents": ["A", {"quantity": 1}, {"id": "B"}]}, [Product("B")]),
        (
            {"contents": [{"id": "A", "quantity": 2.0, "item_price": "7.50"}], "content_ids": [1]},
            [Product("A", 2, "7.5")],
        ),
        (
            {"contents": [{"id": 1, "quantity": "two", "item_price": "7,50", "title": "T"}]},
            [Product("1", name="T")],
        ),
    ],
)
def test_products_are_read(custom: dict[str, Any], expected: list[Product]) -> None:
    assert expected == products(_event(**custom))


@pytest.mark.parametrize("value", [None, True, "", " 7", "1e3", "007", [], float("nan")])
def test_what_is_no_number_gives_none(value: object) -> None:
    assert (None, None, None) == (decimal_text(value), amount(value), integer(value))


@for_all(some.one_of(some.integers(), some.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_keeps_its_value(value: float) -> None:
    assert Decimal(repr(value)) == Decimal(decimal_text(value) or "nan")
    assert encode_json([amount(value)])
