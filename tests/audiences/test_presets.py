"""Presets: ordinary rules, and whom each chooses in a small shop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from doublet.audiences.presets import PRESETS, PresetError, preset
from doublet.audiences.rule import parse_audience_rule
from tests.audiences import reference
from tests.audiences.behaviours import ACCOUNT, evaluated, make_table, write

NOW_S = 1_780_000_000
PIXEL = "1234567890123456"
ANN, BEN, CAT, DAN, EVE, FAY, GUS = range(1, 8)
NAMES = dict(zip(range(1, 8), "ann ben cat dan eve fay gus".split(), strict=True))
REQUIRED = {"text": "shoes", "amount": "150", "ids": "sku1, sku2"}


def did(person_id: int, event_name: str, days_ago: float, **told: Any) -> dict[str, Any]:
    """An event."""
    value = told.pop("value", None)
    return {
        "account_id": ACCOUNT,
        "pixel_id": PIXEL,
        "person_id": person_id,
        "event_name": event_name,
        "event_time": NOW_S - int(days_ago * 86_400),
        "event_source_url": told.pop("url", "https://shop.example/"),
        "value": None if value is None else Decimal(value),
        "currency": told.pop("currency", None if value is None else "EUR"),
        "custom": told or None,
    }


SHOP = [
    *(did(ANN, "PageView", each) for each in (1, 2, 3, 4, 5)),
    did(BEN, "PageView", 100, url="https://shop.example/SHOES/1"),
    did(BEN, "ViewContent", 10, content_ids=["sku1"], content_category="Shoes > Men"),
    did(CAT, "ViewContent", 9, content_ids=["sku2", "sku9"]),
    did(CAT, "AddToCart", 9, content_ids=["sku2"], url="https://shop.example/shoes"),
    did(DAN, "AddToCart", 8, content_ids=["sku1"], content_category="shoes"),
    did(DAN, "InitiateCheckout", 8),
    did(DAN, "Purchase", 7.9, value="120", content_ids=["sku1"]),
    did(EVE, "InitiateCheckout", 2),
    did(EVE, "Purchase", 100, value="99.50", content_ids=["sku1"]),
    did(EVE, "Purchase", 170, value="50.50", content_ids=["sku3"]),
    did(FAY, "Lead", 30),
    did(FAY, "CompleteRegistration", 30),
    did(GUS, "Lead", 30),
    did(GUS, "Purchase", 150, value="200", currency="USD"),
]
CHOSEN: dict[str, tuple[dict[str, str], str]] = {
    "visitors": ({"days": "5"}, "ann eve"),
    "visitors_of": ({"text": "shoes"}, "cat"),
    "often": ({}, "ann"),
    "viewed_not_carted": ({}, "ben"),
    "carted_not_bought": ({}, "cat"),
    "checkout_not_bought": ({}, "eve"),
    "buyers": ({}, "dan eve gus"),
    "bought_once": ({}, "dan gus"),
    "bought_again": ({}, "eve"),
    "high_value": ({"amount": "150"}, "eve gus"),
    "big_order": ({"amount": "120", "currency": "eur"}, "dan"),
    "lapsed": ({}, "eve gus"),
    "product": ({"ids": "sku1,sku2"}, "ben cat"),
    "category": ({"text": "SHOES"}, "ben"),
    "leads_not_customers": ({}, "fay"),
    "registered_not_bought": ({"days": "31"}, "fay"),
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        make_table(opened)
        write(opened, SHOP)
        yield opened


def test_each_preset_is_tried() -> None:
    assert list(CHOSEN) == [each.name for each in PRESETS]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_preset_chooses_whom_its_words_say(
    connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    given, chosen = CHOSEN[name]
    text = preset(name).make([PIXEL], given)
    rule = parse_audience_rule(text, pixel_ids=[PIXEL])
    found = evaluated(connection, rule, NOW_S)
    members = {person_id for person_id, (is_in, _) in found.items() if is_in}
    assert chosen == " ".join(NAMES[each] for each in sorted(members))
    assert members == reference.members(json.loads(text), SHOP, NOW_S, account_id=ACCOUNT)


def test_defaults_make_a_rule_wherever_nothing_has_to_be_known() -> None:
    for each in PRESETS:
        needed = {p.name: REQUIRED[p.name] for p in each.parameters if p.default is None}
        rule = parse_audience_rule(each.make([PIXEL, "22"], needed))
        assert ("1234567890123456", "22") == rule.inclusions.rules[0].pixel_ids


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("carted_not_bougt", {}, "Did you mean carted_not_bought"),
        ("nonsense", {}, "There are visitors, "),
        ("visitors", {"day": "3"}, "no such parameter"),
        ("visitors", {"days": "0"}, "from 1 to 180"),
        ("visitors", {"days": "181"}, "from 1 to 180"),
        ("visitors", {"days": "1.5"}, "from 1 to 180"),
        ("visitors_of", {}, "needs text"),
        ("visitors_of", {"text": " "}, "needs text"),
        ("often", {"times": "0"}, "from 1 on"),
        ("high_value", {"amount": "much"}, "a number as"),
        ("high_value", {"amount": "5", "currency": "euro"}, "a currency as"),
        ("lapsed", {"days": "90", "within_days": "90"}, "fewer than within_days"),
        ("product", {"ids": " , "}, "ids with commas"),
    ],
)
def test_what_a_preset_cannot_use_is_refused(
    name: str, given: dict[str, str], message: str
) -> None:
    with pytest.raises(PresetError) as refused:
        preset(name).make([PIXEL], given)
    assert message in str(refused.value)


def test_a_preset_needs_a_pixel() -> None:
    with pytest.raises(PresetError, match="at least one pixel"):
        PRESETS[0].make([])


def test_the_documentation_tells_every_preset_as_it_is() -> None:
    page = (Path(__file__).parent.parent.parent / "docs/audiences.md").read_text("utf-8")
    for each in PRESETS:
        wanted = {None: "`{}`", "": "`{}` (optional)"}
        parameters = ", ".join(
            wanted.get(p.default, f"`{{}}` = {p.default}").format(p.name) for p in each.parameters
        )
        assert f"| `{each.name}` | {each.words} | {parameters} |\n" in page
