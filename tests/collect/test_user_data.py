"""Customer information at the front door: numbers without country code, placeholders."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256 as digest_of
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doublet.accept.user_data import clean_user_data
from doublet.catalog import PixelRules
from tests.collector import Collector, body_of, event
from tests.factories import sha256


@pytest.fixture
def server(tmp_path: Any) -> Iterator[Collector]:
    running = Collector(tmp_path)
    yield running
    running.close()


def test_both_doors_read_numbers_by_the_pixels_country(server: Collector) -> None:
    pixel_id = server.pixel.pixel_id
    server.catalog.edit_pixel(pixel_id, rules=PixelRules(phone_country="DE"))

    def stored() -> str:
        server.client.get("/tr", params={"id": pixel_id, "ev": "Lead", "ud[ph]": "0170 1234567"})
        hashed: str = server.new_record()["user_data"]["ph"][0]
        return hashed

    server.wait_until(lambda: stored() == sha256("491701234567"), what="the rule is read")
    sent = event(user_data={"ph": "0170 1234567", "em": sha256("jo@example.org")})
    answer = server.client.post(
        f"/v25.0/{pixel_id}/events", params={"access_token": server.token}, content=body_of(sent)
    )
    assert 200 == answer.status_code, answer.text
    assert [sha256("491701234567")] == server.new_record()["user_data"]["ph"]
    raw = b"".join(path.read_bytes() for path in server.settings.data.rglob("*") if path.is_file())
    assert b"1234567" not in raw.replace(sha256("491701234567").encode(), b"")


@pytest.mark.parametrize(
    ("text", "country", "pixel_country", "digits"),
    [
        ("(650)555-1212", "US", "", "16505551212"),
        ("(650)555-1212", "United States", "DE", "16505551212"),
        ("15559876543", "us", "", "15559876543"),
        ("0170 1234567", None, "DE", "491701234567"),
        ("0170 1234567", "Atlantis", "DE", "491701234567"),
        ("+33 6 12 34 56 78", "DE", "", "33612345678"),
        ("33612345678", "DE", "", "33612345678"),
        ("491701234567", "DE", "", "491701234567"),
        ("+49 (0)170 1234567", None, "", "491701234567"),
        ("0044 (0)20 7946 0958", None, "", "442079460958"),
        ("011 44 20 7946 0958", "US", "", "442079460958"),
        ("06 12 34 56 78", "FR", "", "33612345678"),
        ("06 1234 5678", "IT", "", "390612345678"),
        ("0170 1234567", None, "", "1701234567"),
    ],
)
def test_a_number_gets_its_country_code(
    text: str, country: str | None, pixel_country: str, digits: str
) -> None:
    cleaned = clean_user_data({"ph": text, "country": country}, [], pixel_country)
    assert [sha256(digits)] == cleaned["ph"]


DUDS = (
    *("", "null", "None", "none", "undefined", "nan", "n/a", "0", "unknown", "[object Object]"),
    *("test@test.com", "test@example.com", "test@gmail.com"),
)


@pytest.mark.parametrize("plain", DUDS)
def test_the_hash_of_a_placeholder_joins_nobody(plain: str) -> None:
    digest = digest_of(plain.encode()).hexdigest()
    flags: list[str] = []
    assert clean_user_data({"em": [digest], "fbp": "fb.1.2.3"}, flags) == {"fbp": "fb.1.2.3"}
    assert ["dud_em"] == flags
    mixed = clean_user_data({"em": [digest.upper(), sha256("jo@example.org")]}, flags)
    assert {"em": [sha256("jo@example.org")]} == mixed


def test_placeholders_are_told_by_key() -> None:
    flags: list[str] = []
    given = {"external_id": "undefined", "ph": "1234567890", "ct": "None", "fn": "Jo"}
    assert {"ct": [sha256("none")], "fn": [sha256("jo")]} == clean_user_data(given, flags)
    assert ["dud_external_id", "dud_ph"] == flags
    assert {"external_id": [sha256("1234567890")]} == clean_user_data(
        {"external_id": "1234567890"}, []
    )


def test_a_placeholder_alone_refuses_no_event(server: Collector) -> None:
    sent = event(user_data={"em": sha256("null")})
    answer = server.client.post(
        f"/v25.0/{server.pixel.pixel_id}/events",
        params={"access_token": server.token},
        content=body_of(sent),
    )
    assert 200 == answer.status_code, answer.text
    record = server.new_record()
    assert "dud_em" in record["flags"]
    assert not record.get("user_data")


_DIGESTS = st.sampled_from([sha256(word) for word in ("jo@example.org", "undefined", "", "x")])
_HASHES = _DIGESTS | _DIGESTS.map(str.upper) | _DIGESTS.map(lambda text: text[:63] + "g")
_VALUES = _HASHES | st.sampled_from(["", "fb.1.2.3", "203.0.113.7", "jo", None]) | st.integers()
_KEYS = st.sampled_from(["em", "ph", "external_id", "fbp", "client_ip_address", "lead_id"])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.dictionaries(_KEYS, _VALUES | st.lists(_VALUES, max_size=2)))
def test_the_quick_way_for_hashes_keeps_what_the_long_way_keeps(user_data: dict[str, Any]) -> None:
    quick: list[str] = []
    long: list[str] = []
    # A key that nobody knows lets the whole go the long way.
    expected = clean_user_data({**user_data, "nickname": "x"}, long)
    assert expected == clean_user_data(user_data, quick)
    assert sorted(long) == sorted([*quick, "unknown_user_data"])
