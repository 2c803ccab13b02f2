"""The hashes that other clients make: Meta's vectors, and its SDK itself."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from facebook_business.adobjects.serverside.normalize import Normalize
from hypothesis import given, settings
from hypothesis import strategies as st

from doublet import variants
from doublet.accept.user_data import clean_user_data
from doublet.normalize import DUDS
from tests.factories import sha256

OTHERS = [
    # Client, key, raw value, what that client makes of it, its SHA-256.
    (
        *("builder", "ct", "Zürich", "zrich"),
        "b253f8d990c571b122610eb0ce308ba1d4d04a944fa3bc2e28eed230deb430c5",
    ),
    (
        *("builder", "ct", "São Paulo", "sopaulo"),
        "4a287883aa51936209f313e4c62d9b38b41b7df896dfdff33b98dc1a86607668",
    ),
    (
        *("builder", "st", "Québec", "qu"),
        "a082f17cf976fb34724b2d88f5a779341f1db75157bde2da48cd392c0b74ecb7",
    ),
    (
        *("builder", "st", "New South Wales", "ne"),
        "cb58e4600bf0142cbe4ad513de98b73c5c9da7f4023a393d13b395375fccaea6",
    ),
    (
        *("builder", "st", "Bavaria", "ba"),
        "970f519c2cadbcefb1e81694f904bc6229dd2a8300e98c6d0d4fc4bfca584140",
    ),
    (
        *("builder", "zp", "M1 1AE", "m1 1ae"),
        "44f487fd97c3c7916f0ab013622787d7c4d7667cf16905c9bf8def1ff35e0e8d",
    ),
    (
        *("builder", "country", "UK", "uk"),
        "83116acf18e4dc4414762f584ff43d9979ff2c2b0e9e48fbc97b21e23d7004ec",
    ),
    (
        *("SDK", "ln", "O'Brien-Smith", "o'brien-smith"),
        "5349291f7c643970cc1b897c8ffb45a8b630e59c1fecc3d1e4dc8e292a7971a9",
    ),
    (
        *("SDK", "ln", " Van der  Berg ", "van der  berg"),
        "3d9832c3f3938b49c2d1432517ba399a31a3d260fddec2107b78c0c3918527b7",
    ),
    (
        *("SDK", "ct", "Zürich", "zürich"),
        "201f10d5d64518d86d2d3a47d28675d1c788762c5345df643dadec71d4e0a91e",
    ),
    (
        *("SDK", "ct", "São Paulo", "sãopaulo"),
        "3eda1428ae1aece064071f8d40f08fe2bc59ffa66c171a163caf15122ec4d7f0",
    ),
    (
        *("SDK", "st", "California", "california"),
        "7e8eea5cc60980270c9ceb75ce8c087d48d726110fd3d17921f774eefd8e18d8",
    ),
    (
        *("SDK", "zp", "M1 1AE", "m11ae"),
        "1dc694c2070e697769fb959b50671d76cafd430d8ca191fbdd0affcaea344ac5",
    ),
    (
        *("SDK", "db", "2/16/1997", "2/16/1997"),
        "959a22b72d335478ca18edf5fbc731b54d62271bcd8ac9f8c845d10c19737fcc",
    ),
    (
        *("SDK", "db", "1997-02-16", "1997-02-16"),
        "903192ebb69f81d518c7718d70124023b0cab5c7a5da0aa5eee6bbdf61f43ef8",
    ),
    (
        *("SDK", "ge", "Male", "male"),
        "0d248e82c62c9386878327d491c762a002152d42ab2c391a31c44d9f62675ddf",
    ),
    (
        *("SDK", "f5first", "George", "georg"),
        "d6e075ad15048c12f2974d121a25c3d9fc5898072c7a4236fe5245d342a41c7d",
    ),
    (
        *("SDK", "dobd", "1", "01"),
        "938db8c9f82c8cb58d3f3ef4fd250036a48d26a712753d2fde5abd03a85cabf4",
    ),
    (
        *("SDK", "dobm", "2", "02"),
        "a953f09a1b6b6725b81956e9ad0b1eb49e3ad40004c04307ef8af6246a054116",
    ),
    (
        *("SDK", "doby", "1997", "1997"),
        "0985b889a1fe4f4e1fb925061ac6fb2247f10875f5fcbe63eec2ab55ed68970e",
    ),
    (
        *("GTM", "ct", "Menlo Park", "menlo park"),
        "2b7b5dd4587e8545cc153c9c739bef276f32afe028ab2e46e73087d6a2c1eb32",
    ),
    (
        *("GTM", "country", "usa", "usa"),
        "5fc90ab335783816990ffd960cbad0afd64510a53f895b4d02b9f8b279c0ed08",
    ),
]
"""Facts of Meta's clients: Parameter Builder 1.3.2 for Node, facebook_business 26.0.3, the server
tag for Google Tag Manager."""


def all_hashes(key: str, text: str, **others: str) -> set[str]:
    """The documented hash and those of other clients."""
    found: dict[str, list[str]] = {}
    kept = clean_user_data({key: text, **others}, [], variants=found)
    return {*kept.get(key, []), *found.get(key, [])}


def test_the_examples_in_the_docstrings_hold() -> None:
    assert 0 == doctest.testmod(variants).failed


@pytest.mark.parametrize(("client", "key", "text", "form", "digest"), OTHERS)
def test_a_raw_value_has_the_hash_of_each_client(
    client: str, key: str, text: str, form: str, digest: str
) -> None:
    assert sha256(form) == digest
    assert digest in all_hashes(key, text), client


_WORDS = st.sampled_from(
    ["O'Neil", " Van der  Berg ", "Zürich", "St. Louis", "Menlo Park!", "New York 2", "Bavaria"]
) | st.text("aBcÄé '-.9", min_size=1, max_size=12)
_PLAIN = {
    **dict.fromkeys(("fn", "ln", "ct", "st"), _WORDS),
    "zp": st.from_regex(r"[A-Z0-9]{2,5}[ -]?[A-Z0-9]{0,4}", fullmatch=True),
    "em": st.from_regex(
        r" ?[A-Za-z]{1,9}[.+]?[a-z]{1,5}@[A-Z]?[a-z]{1,9}\.(com|example) ?", fullmatch=True
    ),
    "country": st.sampled_from(["us", " DE ", "G.B.", "fr"]),
    "ph": st.from_regex(r"(\+|00)?49 ?1[5-7][0-9] ?[0-9]{7,8}", fullmatch=True),
}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(_PLAIN)).flatmap(lambda key: st.tuples(st.just(key), _PLAIN[key])))
def test_the_sdks_own_hash_is_among_them(pair: tuple[str, str]) -> None:
    key, text = pair
    kept = clean_user_data({key: text}, [])
    # Of a town that is a number the SDK leaves nothing, and hashes that.
    if key in kept and (digest := Normalize.normalize_field(key, text)) not in DUDS:
        assert digest in all_hashes(key, text)


def test_values_that_were_hashed_have_no_other_forms() -> None:
    found: dict[str, Any] = {}
    clean_user_data({"ct": sha256("menlo park"), "em": [sha256("a").upper()]}, [], variants=found)
    assert {} == found


@pytest.mark.parametrize("text", ["User-42 ", "user-42"])
def test_an_id_that_came_raw_has_the_hashes_of_sites_that_keep_its_letters(text: str) -> None:
    assert {sha256("user-42"), sha256(text), sha256(text.strip())} == all_hashes(
        "external_id", text
    )
