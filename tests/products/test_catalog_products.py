"""Products in the catalog: a feed replaces them, all or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from doublet.catalog import Catalog, Product
from doublet.catalog.products import Chosen, Replaced, digests_of
from doublet.errors import OperatorError


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path}/catalog.sqlite")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def account(catalog: Catalog) -> str:
    return catalog.create_account("Shop").account_id


def replace(
    catalog: Catalog, *found: Product, keeps_others: bool = False, now_s: int = 1
) -> Replaced:
    return catalog.products.replace(
        found[0].account_id, found, digests_of(found), keeps_others=keeps_others, now_s=now_s
    )


def test_a_feed_replaces_what_was_there(catalog: Catalog, account: str) -> None:
    first, second = (Product(account, each, title=each) for each in ("a", "b"))
    assert Replaced(2, 0, 0, 0) == replace(catalog, first, second)
    other = msgspec.structs.replace(second, price="9.9", currency="EUR")
    third = Product(account, "c")
    assert Replaced(1, 1, 0, 1) == replace(catalog, other, third, now_s=2)
    assert [("b", "9.9", 2), ("c", "", 2)] == [
        (each.product_id, each.price, each.updated_at) for each in catalog.products.each(account)
    ]
    assert Replaced(0, 0, 1, 1) == replace(catalog, other, now_s=3)
    assert 2 == catalog.products.some(account, Chosen())[0].updated_at
    assert Replaced(1, 0, 0, 0) == replace(catalog, first, keeps_others=True)
    assert 2 == catalog.products.count(account)


def test_products_of_another_account_stay(catalog: Catalog, account: str) -> None:
    other = catalog.create_account("Other").account_id
    replace(catalog, Product(account, "a"))
    replace(catalog, Product(other, "a"), Product(other, "b"))
    replace(catalog, Product(account, "b"))
    assert (["b"], ["a", "b"]) == (catalog.products.ids(account), catalog.products.ids(other))
    assert catalog.products.find(account, "a") is None


def test_what_breaks_off_changes_nothing(catalog: Catalog, account: str) -> None:
    old = [Product(account, each) for each in ("a", "b")]
    replace(catalog, *old)
    named = digests_of([Product(account, "c"), Product(account, "d")])

    def broken() -> Iterator[Product]:
        yield Product(account, "c")
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        catalog.products.replace(account, broken(), named)
    assert ["a", "b"] == catalog.products.ids(account)


def test_too_many_are_refused(
    catalog: Catalog, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doublet.catalog.products.PRODUCTS_MAX", 2)
    replace(catalog, Product(account, "a"), Product(account, "b"))
    with pytest.raises(OperatorError, match="3 products, at most 2"):
        replace(catalog, Product(account, "c"), keeps_others=True)


def test_products_are_chosen_by_category_and_words(catalog: Catalog, account: str) -> None:
    made = [
        Product(account, "1", "g", "Trail shoe", "Shoes > Running", "Grat"),
        Product(account, "2", "g", "Road shoe", "shoes > running > Road", "Grat"),
        Product(account, "3", "", "Slipper", "Shoes", "50% off"),
        Product(account, "4", "h", "Polish", "Shoeshine", "Wax"),
    ]
    replace(catalog, *made)
    found = catalog.products
    assert ["1", "2", "3"] == found.ids(account, Chosen("SHOES"))
    assert ["1", "2"] == found.ids(account, Chosen("Shoes > Running"))
    assert ["2"] == found.ids(account, Chosen("Shoes", words="ROAD"))
    assert ["3"] == found.ids(account, Chosen(words="50%"))
    assert ["1", "2"] == found.ids(account, Chosen(item_group_id="g"))
    assert ["g", "h"] == found.group_ids(account)
    assert ["g"] == found.group_ids(account, Chosen("Shoes"))
    assert 1 == found.categories(account)["Shoes"]
