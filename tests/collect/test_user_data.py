"""Customer information at the front door: numbers without country code, placeholders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256 as digest_of
from typing import Any

import pytest
from capi_param_builder import ParamBuilder
from capi_param_builder.model import PlainDataObject
from hypothesis import given, settings
from hypothesis import strategies as st

from doublet.accept.user_data import clean_user_data
from doublet.catalog import PixelRules
from doublet.person.identifiers import read_identifiers
from tests.collector import Collector, body_of, event
from tests.factories import sha256

CLICK_ID = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
FBP = "fb.1.1596403881668.1116446470"


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


@pytest.mark.parametrize(
    "key", ["fb_login_id", "page_scoped_user_id", "lead_id", "subscription_id", "anon_id", "madid"]
)
@pytest.mark.parametrize("value", ["jo@example.org", "user/jo%40example.org?x=1"])
def test_an_id_that_is_an_address_joins_nobody(key: str, value: str) -> None:
    flags: list[str] = []
    assert {} == clean_user_data({key: value}, flags)
    assert [f"invalid_{key}"] == flags
    with_hash = {key: value, "em": sha256("jo@example.org")}
    assert {"em": [sha256("jo@example.org")]} == clean_user_data(with_hash, [])


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


def test_what_metas_parameter_builder_makes_is_understood(server: Collector) -> None:
    page = f"https://shop.example/p/1?fbclid={CLICK_ID}"
    request = PlainDataObject(
        host="shop.example",
        query_params={"fbclid": [CLICK_ID]},
        cookies={"_fbp": FBP},
        referer="https://news.example/a?b=1",
        x_forwarded_for=None,
        remote_address="203.0.113.7",
        scheme="https",
        request_uri=f"/p/1?fbclid={CLICK_ID}",
    )
    builder = ParamBuilder(["shop.example"])
    builder.process_request_from_context(request)
    hashed = sha256("jo@example.org")
    made = {
        "fbp": builder.get_fbp(),
        "fbc": builder.get_fbc(),
        # As the builder for Node leaves them.
        "em": f"{hashed}.AQQBAQMC",
        "client_ip_address": "203.0.113.7.AQQBAQMC",
    }
    urls = {
        "event_source_url": builder.get_event_source_url(),
        "referrer_url": builder.get_referrer_url(),
    }
    # It is the builder's doing, not ours, that nothing of this is in its plain form.
    assert FBP != made["fbp"]
    assert page != urls["event_source_url"]
    answer = server.client.post(
        server.events_path(),
        params={"access_token": server.token},
        content=body_of(event(user_data=made) | urls),
    )
    assert 200 == answer.status_code, answer.text
    stored = server.new_record()
    index, created_at, click_id = stored["user_data"]["fbc"].split(".")[1:]
    assert (FBP, "1", CLICK_ID) == (stored["user_data"]["fbp"], index, click_id)
    assert abs(int(created_at) / 1000 - time.time()) < 60
    assert [hashed] == stored["user_data"]["em"]
    assert "203.0.113.7" == stored["user_data"]["client_ip_address"]
    assert page == stored["event_source_url"]
    assert "https://news.example/a?b=1" == stored["extra"]["referrer_url"]


def test_cookies_that_the_builder_sets_are_those_of_the_browser(server: Collector) -> None:
    builder = ParamBuilder(["shop.example"])
    builder.process_request("www.shop.example", {"fbclid": [CLICK_ID]}, {})
    for cookie in builder.get_cookies_to_set() or ():
        server.hit(ev="PageView", **{cookie.name.lstrip("_"): cookie.value})
        kept = server.new_record()["user_data"][cookie.name.lstrip("_")]
        assert kept == cookie.value.rpartition(".")[0]


def test_other_hashes_of_raw_values_are_kept_beside_and_found(server: Collector) -> None:
    given = {"em": "Jo@Example.org", "ct": "São Paulo", "external_id": "User-42", "ln": "Miller"}
    server.client.post(
        server.events_path(),
        params={"access_token": server.token},
        content=body_of(event(user_data=given)),
    )
    stored = server.new_record()
    assert [sha256("user-42")] == stored["user_data"]["external_id"]
    assert {
        "ct": sorted(map(sha256, ("são paulo", "sopaulo"))),
        "external_id": [sha256("User-42")],
    } == stored["extra"]["hash_variants"]
    assert f"external_id={sha256('User-42')}" in read_identifiers({"external_id": "User-42"})


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
