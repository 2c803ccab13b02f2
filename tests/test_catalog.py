"""The catalog: accounts, pixels, tokens; whose is what."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from doublet.catalog import (
    Account,
    Catalog,
    DestinationRules,
    PixelRules,
    token_sha256,
)
from doublet.entries import check_domains, check_phone_country
from doublet.errors import NewerFormatError, OperatorError


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path / 'deep' / 'catalog.sqlite'}")
    made.migrate()
    yield made
    made.close()


def test_a_new_catalog_is_empty_and_may_be_migrated_again(catalog: Catalog) -> None:
    catalog.create_account("Shop")
    catalog.migrate()
    assert ["Shop"] == [account.name for account in catalog.accounts()]
    assert ({}, {}) == (
        catalog.directory().account_of_pixel,
        catalog.directory().account_of_token,
    )


def test_a_catalog_of_a_newer_version_is_left_alone(catalog: Catalog) -> None:
    with closing(sqlite3.connect(catalog.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
    with pytest.raises(NewerFormatError, match=r"catalog has format 9999; .* up to 0"):
        catalog.migrate()


def test_ids_and_tokens_have_the_forms_that_clients_expect(catalog: Catalog) -> None:
    account = catalog.create_account("Shop", "Europe/Berlin", "eur")
    pixel, token = catalog.create_pixel(account.account_id, "Site")
    assert re.fullmatch(r"act_[1-9][0-9]{14}", account.account_id)
    assert re.fullmatch(r"[1-9][0-9]{15}", pixel.pixel_id)
    assert re.fullmatch(r"dbl_[A-Za-z0-9_-]{43}", token)
    assert Account(account.account_id, "Shop", "Europe/Berlin", "EUR") == account
    assert ([account], [pixel]) == (catalog.accounts(), catalog.pixels())


def test_the_plain_token_is_nowhere_on_the_disk(catalog: Catalog, tmp_path: Path) -> None:
    account = catalog.create_account("Shop")
    _, token = catalog.create_pixel(account.account_id, "Site")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [] == [path for path in files if token[4:].encode() in path.read_bytes()]
    assert any(token_sha256(token).encode() in path.read_bytes() for path in files)


def test_the_directory_says_whose_each_pixel_and_token_is(catalog: Catalog) -> None:
    ours, theirs = catalog.create_account("Ours"), catalog.create_account("Theirs")
    made = [(a, *catalog.create_pixel(a.account_id, "Site")) for a in (ours, theirs, ours)]
    directory = catalog.directory()
    assert {p.pixel_id: a.account_id for a, p, _ in made} == directory.account_of_pixel
    assert {token_sha256(t): a.account_id for a, _, t in made} == directory.account_of_token
    assert [made[1][1]] == catalog.pixels(theirs.account_id)
    assert [a for a, _, _ in made] == [catalog.account_of_token(t) for _, _, t in made]
    assert [None] * 3 == [catalog.account_of_token(t) for t in ("", "dbl_x", "\ud800")]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "", "../etc/passwd", "A\0"])
def test_an_unknown_time_zone_is_refused(catalog: Catalog, zone: str) -> None:
    with pytest.raises(OperatorError, match="Unknown time zone"):
        catalog.create_account("Shop", zone)


@pytest.mark.parametrize("currency", ["", "EURO", "E1R", "ÄÖÜ", "€€€"])
def test_an_impossible_currency_is_refused(catalog: Catalog, currency: str) -> None:
    with pytest.raises(OperatorError, match="Unknown currency"):
        catalog.create_account("Shop", currency=currency)


def test_an_account_is_found_by_id_or_name_or_because_it_is_the_only_one(catalog: Catalog) -> None:
    with pytest.raises(OperatorError, match="There is no account yet"):
        catalog.account(None)
    one = catalog.create_account("One")
    assert [one] * 3 == [catalog.account(name) for name in (None, "One", one.account_id)]
    catalog.create_account("Two")
    with pytest.raises(OperatorError, match="More than one account fits") as caught:
        catalog.account(None)
    assert "Two" in str(caught.value)
    assert "--account" in caught.value.hint
    with pytest.raises(OperatorError, match="no account 'Three'"):
        catalog.account("Three")


def test_a_pixel_of_no_account_cannot_be_made(catalog: Catalog) -> None:
    with pytest.raises(OperatorError):
        catalog.create_pixel("act_1", "Site")
    assert ([], {}) == (catalog.pixels(), catalog.directory().account_of_token)


def test_what_one_process_makes_another_sees(catalog: Catalog) -> None:
    other = Catalog(catalog.url)
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Site")
    assert {pixel.pixel_id: account.account_id} == other.directory().account_of_pixel
    other.close()


def test_many_threads_may_write_at_once(catalog: Catalog) -> None:
    account = catalog.create_account("Shop")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: catalog.create_pixel(account.account_id, str(n)), range(40)))
    assert {pixel.pixel_id for pixel, _ in made} == set(catalog.directory().account_of_pixel)


def test_a_catalog_that_is_locked_for_long_says_so(catalog: Catalog) -> None:
    path = catalog.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as other:
        catalog.create_account("Before")
        other.execute("begin exclusive")
        with pytest.raises(OperatorError, match="cannot be used"):
            catalog.create_account("Shop")
    catalog.create_account("After")


def test_a_pixels_rules_and_an_accounts_secret_reach_the_directory(catalog: Catalog) -> None:
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Site")
    plain, _ = catalog.create_pixel(account.account_id, "Other site")
    assert PixelRules() == catalog.pixel_rules(plain.pixel_id)
    catalog.edit_pixel(pixel.pixel_id, name="New name", rules=PixelRules(phone_country="DE"))
    catalog.edit_account(account.account_id, app_secret="s3cret")
    directory = catalog.directory()
    assert {pixel.pixel_id: PixelRules(phone_country="DE")} == directory.rules_of_pixel
    assert {account.account_id: "s3cret"} == directory.secret_of_account
    assert {"New name", "Other site"} == {p.name for p in catalog.pixels()}


def test_what_is_changed_is_checked_like_what_is_new(catalog: Catalog) -> None:
    account = catalog.create_account("Shop")
    changed = catalog.edit_account(account.account_id, time_zone="Europe/Berlin", currency="eur")
    assert ("Shop", "Europe/Berlin", "EUR") == (changed.name, changed.time_zone, changed.currency)
    with pytest.raises(OperatorError, match="Unknown time zone"):
        catalog.edit_account(account.account_id, time_zone="Berlin")
    with pytest.raises(OperatorError, match="Unknown currency"):
        catalog.edit_account(account.account_id, currency="euro")
    with pytest.raises(OperatorError, match="Unknown country 'XX'"):
        check_phone_country("XX")
    with pytest.raises(OperatorError, match="There is no pixel '1'"):
        catalog.pixel_rules("1")
    assert changed == catalog.account(None)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "two\nlines", "a\x1b[2J"])
def test_what_can_be_no_name_is_refused_at_every_place(catalog: Catalog, name: str) -> None:
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Site")
    with pytest.raises(OperatorError, match="no name"):
        catalog.create_account(name)
    with pytest.raises(OperatorError, match="no name"):
        catalog.edit_account(account.account_id, name=name)
    with pytest.raises(OperatorError, match="no name"):
        catalog.create_pixel(account.account_id, name)
    with pytest.raises(OperatorError, match="no name"):
        catalog.edit_pixel(pixel.pixel_id, name=name)
    assert ("Shop", "Site") == (catalog.accounts()[0].name, catalog.pixels()[0].name)


def test_an_account_counts_in_a_currency_that_exists(catalog: Catalog) -> None:
    assert "EUR" == catalog.create_account("Shop", currency="eur").currency
    with pytest.raises(OperatorError, match="Unknown currency"):
        catalog.create_account("Shop", currency="XQX")


def test_a_secret_of_several_lines_is_refused(catalog: Catalog) -> None:
    account = catalog.create_account("Shop")
    for secret in ("a\nb", "x" * 129):
        with pytest.raises(OperatorError, match="no app secret"):
            catalog.edit_account(account.account_id, app_secret=secret)
    assert "" == catalog.app_secret(account.account_id)


def test_a_domain_of_other_letters_is_kept_as_browsers_send_it() -> None:
    domains = ["Bücher.example", "*.bücher.example", " shop.example. ", "", "a_b.example"]
    kept = ["*.xn--bcher-kva.example", "a_b.example", "shop.example", "xn--bcher-kva.example"]
    assert kept == check_domains(domains)
    for domain in ("https://shop.example", "a..b", "*", "☃.example", "x" * 64 + ".example"):
        with pytest.raises(OperatorError, match="is no domain"):
            check_domains([domain])


def test_a_destination_is_kept_as_it_was_made_and_changed(catalog: Catalog) -> None:
    account = catalog.create_account("Shop")
    rules = DestinationRules(mode="beside", events=["Purchase"], value_minus=["tax"])
    made = catalog.create_destination(
        account.account_id, "meta", "Meta", {"pixel_id": "1"}, "EAAB secret", rules
    )
    assert made == catalog.destination("Meta") == catalog.destination(made.destination_id)
    assert "secret" not in repr(made)
    changed = msgspec.structs.replace(made, is_paused=True, rules=DestinationRules())
    catalog.save_destination(changed)
    assert [changed] == catalog.destinations(account.account_id)
    with pytest.raises(OperatorError, match="already"):
        catalog.create_destination(account.account_id, "webhook", "Meta", {})
    catalog.remove_destination(made.destination_id)
    with pytest.raises(OperatorError, match="no destination"):
        catalog.destination("Meta")


def test_a_setup_and_its_keys(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    made = [
        catalog.setups.create(account.account_id, pixel.pixel_id, "html", goal, "own", "https://a/")
        for goal in ("purchases", "leads")
    ]
    setup = made[0]
    assert setup == catalog.setups.one(setup.setup_id, account.account_id)
    assert {s.test_code: pixel.pixel_id for s in made} == catalog.directory().pixel_of_setup_code
    catalog.setups.change(setup.setup_id, results={"a": [1]}, verified_at=7)
    changed = catalog.setups.one(setup.setup_id)
    assert ({"a": [1]}, 7) == (changed.results, changed.verified_at)
    first, second = catalog.setups.share(setup.setup_id), catalog.setups.share(setup.setup_id)
    assert None is catalog.setups.shared(setup.setup_id, first)
    assert None is catalog.setups.shared(made[1].setup_id, second)
    assert changed == msgspec.structs.replace(
        catalog.setups.shared(setup.setup_id, second) or setup, share_sha256=""
    )
    catalog.setups.unshare(setup.setup_id)
    # Nobody has the key whose digest is no text.
    for key in (second, ""):
        assert None is catalog.setups.shared(setup.setup_id, key)
    with pytest.raises(OperatorError, match="no setup"):
        catalog.setups.one(setup.setup_id, "act_1")
    catalog.setups.remove(setup.setup_id)
    assert [made[1]] == catalog.setups.all()


def test_a_shop_and_the_change_of_its_secret(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    account = catalog.create_account("Shop")
    pixel, _ = catalog.create_pixel(account.account_id, "Shop")
    shop = catalog.shops.create(
        account.account_id, pixel.pixel_id, "shopify", "Main", {"domain": "a.example"}, "one"
    )
    assert [shop] == catalog.shops.all(account.account_id)
    assert {shop.shop_id: shop} == catalog.directory().shops
    rotated = catalog.shops.rotate(shop, "two")
    assert ["two", "one"] == [secret.value for secret in rotated.secrets]
    assert rotated.secrets[1].until is not None
    assert rotated == catalog.shops.one(None)
    # A third one ends no old one earlier or later than it was to end.
    third = catalog.shops.rotate(rotated, keep_s=-1)
    assert 1 == len(third.secrets)
    assert "two" not in repr(rotated) + repr(rotated.secrets)
    with pytest.raises(OperatorError, match="already"):
        catalog.shops.create(account.account_id, pixel.pixel_id, "woocommerce", "Main")
    catalog.shops.remove(shop.shop_id)
    with pytest.raises(OperatorError, match="no shop 'Main'"):
        catalog.shops.one("Main")
