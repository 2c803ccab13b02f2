"""Links keep what they were given, and nobody else can make one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doublet.delivery.links import (
    CLICK_S,
    IMPRESSION_S,
    KEY_FILE,
    HeldOut,
    Link,
    LinkError,
    Links,
    landing_url,
)
from doublet.errors import CorruptError
from tests.factories import sha256

LINK = Link(
    account_id="act_100000000000001",
    campaign_id="11",
    adset_id="12",
    ad_id="13",
    decision_id="d1",
    position=1,
    decided_at=1_780_000_000,
    price=250,
    is_per_click=False,
    currency="EUR",
    lease="7",
    click_id="abc",
    url="https://shop.example/shoes",
    person=5,
    placement="home",
    user_data={"em": [sha256("mary@example.com")], "fbp": "fb.1.1780000000000.1234"},
    held_out=(HeldOut("21", "22", "23"),),
)


def test_a_link_comes_back_whole_and_shows_nothing(tmp_path: Path) -> None:
    links = Links(tmp_path)
    sealed = links.seal(LINK)
    assert LINK == links.open(sealed)
    # Other processes read the same key.
    assert LINK == Links(tmp_path).open(sealed)
    assert 0o600 == (tmp_path / KEY_FILE).stat().st_mode & 0o777
    assert "1780000000000" not in sealed
    assert len(sealed) < 400


@given(st.data())
def test_what_was_changed_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    links = Links(tmp_path_factory.getbasetemp() / "changed")
    sealed = links.seal(LINK)
    at = data.draw(st.integers(0, len(sealed) - 2))
    other = data.draw(st.sampled_from("ABCDEFGHabcdefgh0123456789-_").filter(sealed[at].__ne__))
    with pytest.raises(LinkError):
        links.open(sealed[:at] + other + sealed[at + 1 :])


@pytest.mark.parametrize("text", ["", "a", "é", "AAAA" * 30, "A" * 100_000, "a b", "..", "\x00"])
def test_what_is_no_link_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LinkError):
        Links(tmp_path).open(text)


def test_a_link_of_another_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LinkError):
        Links(tmp_path / "ours").open(Links(tmp_path / "theirs").seal(LINK))


def test_only_what_is_paid_for_costs_and_only_in_time() -> None:
    at = LINK.decided_at
    assert 250 == LINK.cost("view", at + IMPRESSION_S)
    assert 0 == LINK.cost("view", at + IMPRESSION_S + 1)
    assert 0 == LINK.cost("click", at)
    click = msgspec.structs.replace(LINK, is_per_click=True)
    assert (0, 250, 0) == (
        click.cost("view", at),
        click.cost("click", at + CLICK_S),
        click.cost("click", at + CLICK_S + 1),
    )


def test_a_key_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(CorruptError, match=KEY_FILE):
        Links(tmp_path)


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=50))
def test_an_address_of_any_characters_stays_one_header(text: str) -> None:
    made = landing_url(f"https://shop.example/{text}", "Ab_-9")
    assert made.isascii()
    assert not set(made) & set("\r\n \x00")
    assert made.startswith("https://shop.example/")
    query = urlsplit(made).query
    assert "fbclid=Ab_-9" in query
    assert parse_qs(query)["fbclid"][-1] == "Ab_-9"


@pytest.mark.parametrize(
    ("url", "lands"),
    [
        ("https://shop.example/?fbclid=OLD", "https://shop.example/?fbclid=new"),
        (
            "https://shop.example/?a=1&fbclid=OLD&b=2#x",
            "https://shop.example/?a=1&b=2&fbclid=new#x",
        ),
        ("https://shop.example/?", "https://shop.example/?fbclid=new"),
        ("https://shop.example/?a=b=c&&d", "https://shop.example/?a=b=c&&d&fbclid=new"),
    ],
)
def test_an_old_click_in_an_address_gives_way_to_the_new_one(url: str, lands: str) -> None:
    assert lands == landing_url(url, "new")


def test_whatever_is_known_a_link_is_short_enough_to_be_opened(tmp_path: Path) -> None:
    links = Links(tmp_path)
    many = [sha256(str(n)) for n in range(100)]
    user_data = {"em": many, "ph": many, "fbp": "fb.1.1.2", "fbc": "x" * 400_000}
    held_out = tuple(HeldOut(str(n), str(n), str(n)) for n in range(500))
    full = msgspec.structs.replace(LINK, user_data=user_data, held_out=held_out)
    opened = links.open(links.seal(full))
    assert {"em": many[:4], "ph": many[:4], "fbp": "fb.1.1.2"} == opened.user_data
    assert held_out[:20] == opened.held_out
    every = {f"key {n}": many for n in range(25)}
    far = msgspec.structs.replace(full, url="https://shop.example/" + "x" * 2000, user_data=every)
    opened = links.open(links.seal(far))
    assert (far.url, far.price, {}, ()) == (
        opened.url,
        opened.price,
        opened.user_data,
        opened.held_out,
    )
