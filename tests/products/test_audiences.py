"""Audiences by product: which ids a category stands for, and what rule comes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from doublet.catalog import Catalog, Product
from doublet.catalog.products import digests_of
from doublet.errors import SenderError
from doublet.products import audiences
from doublet.products.audiences import Interest, ids_of, rule_of


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path}/catalog.sqlite")
    made.migrate()
    account = made.create_account("Shop").account_id
    products = [
        Product(account, "1-42", "1", category="Shoes > Running"),
        Product(account, "1-43", "1", category="Shoes > Running"),
        Product(account, "2", category="Shoes > Slippers"),
        Product(account, "3", category="Hats"),
    ]
    made.products.replace(account, products, digests_of(products))
    yield made
    made.close()


def ids(catalog: Catalog, interest: Interest) -> list[str]:
    return ids_of(catalog.products, catalog.account(None).account_id, interest)


def test_a_category_stands_for_its_products_and_their_groups(catalog: Catalog) -> None:
    assert ["1", "1-42", "1-43", "2"] == ids(catalog, Interest("Shoes"))
    assert ["2"] == ids(catalog, Interest("shoes > slippers"))


def test_a_group_stands_for_its_variants(catalog: Catalog) -> None:
    assert ["1", "1-42", "1-43", "3"] == ids(catalog, Interest(product_ids=("1", "3")))
    assert ["1-42"] == ids(catalog, Interest(product_ids=("1-42",)))


@pytest.mark.parametrize(
    ("interest", "said"),
    [
        (Interest("Gloves"), "no category 'Gloves'"),
        (Interest(product_ids=("9",)), "no product or group '9'"),
        (Interest(), "No product is named"),
    ],
)
def test_what_the_feed_does_not_know_is_refused(
    catalog: Catalog, interest: Interest, said: str
) -> None:
    with pytest.raises(SenderError, match=said):
        ids(catalog, interest)


def test_too_many_ids_are_refused_with_categories_that_fit(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "CONTENT_IDS_MAX", 3)
    with pytest.raises(SenderError, match="4 ids, but a rule names at most 3") as caught:
        ids(catalog, Interest("Shoes"))
    assert "Shoes > Running, Shoes > Slippers" in caught.value.hint


def test_the_rule_has_the_form_of_the_wire() -> None:
    made = msgspec.json.decode(rule_of(["a", "b"], Interest(did="AddToCart", days=14), ["123"]))

    def part(event_name: str) -> dict[str, object]:
        return {
            "operator": "or",
            "rules": [
                {
                    "event_sources": [{"id": "123", "type": "pixel"}],
                    "retention_seconds": 1_209_600,
                    "filter": {
                        "operator": "and",
                        "filters": [
                            {"field": "event", "operator": "eq", "value": event_name},
                            {"field": "content_ids", "operator": "is_any", "value": ["a", "b"]},
                        ],
                    },
                }
            ],
        }

    assert {"inclusions": part("AddToCart"), "exclusions": part("Purchase")} == made
