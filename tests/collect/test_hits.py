"""What the parameters of a hit become, from every client that sends to `/tr` and `/px`."""

from __future__ import annotations

import doctest
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from doublet import normalize
from doublet.accept import MARKS, hits
from tests.collector import Collector, refusal_of
from tests.factories import sha256

ORIGIN = "https://www.shop.example"
FORM = {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}
MARY, ADA, LATER = sha256("mary@example.com"), sha256("ada@example.com"), sha256("later")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("hits"))
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _nothing_new(server: Collector) -> None:
    server.new_records()


def taken(server: Collector, *pairs: tuple[str, str], **parameters: str) -> dict[str, Any]:
    """The record of a hit with these parameters, posted as the pixel does."""
    known = {"id": server.pixel.pixel_id, "ev": "Lead", "ts": str(int(time.time() * 1000))}
    body = urlencode([*(known | parameters).items(), *pairs])
    answer = server.client.post("/px", content=body, headers=FORM)
    assert 200 == answer.status_code
    return server.new_record()


def extra_of(server: Collector, *pairs: tuple[str, str], **parameters: str) -> dict[str, Any]:
    return dict(taken(server, *pairs, **parameters).get("extra", {}))


def test_examples() -> None:
    assert 0 == doctest.testmod(hits).failed + doctest.testmod(normalize).failed


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tr", "/tr/", "/px"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_pages_may_read_answers(server: Collector, path: str, method: str) -> None:
    query = {"id": server.pixel.pixel_id, "ev": "Lead"}
    for origin in (ORIGIN, "null"):
        answer = server.client.request(method, path, params=query, headers={"origin": origin})
        assert (200, origin, "true", "x-doublet-refused", "origin") == (
            answer.status_code,
            *(
                answer.headers[f"access-control-{name}"]
                for name in (
                    "allow-origin",
                    "allow-credentials",
                    "expose-headers",
                )
            ),
            answer.headers["vary"],
        )
    silent = server.client.request(method, path, params=query)
    assert "access-control-allow-origin" not in silent.headers
    assert (0 if method == "HEAD" else 3) == len(server.new_records())


@pytest.mark.parametrize("path", ["/tr", "/px"])
def test_pages_may_read_why_a_hit_is_refused(server: Collector, path: str) -> None:
    nobody = server.client.get(path, params={"id": "1", "ev": "Lead"}, headers={"origin": ORIGIN})
    assert (400, "pixel_unknown") == (nobody.status_code, refusal_of(nobody))
    wrong = server.client.delete(path, headers={"origin": ORIGIN})
    assert 400 <= wrong.status_code < 500
    for answer in (nobody, wrong):
        assert ORIGIN == answer.headers["access-control-allow-origin"]
        assert "x-doublet-refused" == answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/tr", "/tr/", "/px"])
def test_a_preflight_allows_what_it_asks_for(server: Collector, path: str) -> None:
    asked = {"access-control-request-method": "POST"}
    answer = server.client.options(
        path, headers={"origin": ORIGIN, "access-control-request-headers": "traceparent", **asked}
    )
    assert (204, b"") == (answer.status_code, answer.content)
    told = {
        name: answer.headers[f"access-control-{name}"]
        for name in (
            "allow-origin",
            "allow-credentials",
            "allow-methods",
            "allow-headers",
            "max-age",
        )
    }
    assert {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        "allow-methods": "GET, HEAD, POST",
        "allow-headers": "traceparent",
        "max-age": "86400",
    } == told
    assert [] == server.new_records()


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["query", "urlencoded", "multipart"])
def test_names_may_be_encoded_twice(server: Collector, form: str) -> None:
    names = {"cd%5Bvalue%5D": "3", "cd[my%20key]": "x", "ud%5bem%5d": MARY}
    known = {"id": server.pixel.pixel_id, "ev": "Lead", **names}
    if form == "query":
        answer = server.client.get("/tr/?" + urlencode(known))
    elif form == "urlencoded":
        answer = server.client.post("/tr/", content=urlencode(known), headers=FORM)
    else:
        answer = server.client.post("/tr/", files={k: (None, v) for k, v in known.items()})
    assert 200 == answer.status_code
    record = server.new_record()
    assert {"value": "3", "my key": "x"} == record["custom_data"]
    assert [MARY] == record["user_data"]["em"]


def test_personal_keys_are_found_behind_encodings(server: Collector) -> None:
    name = quote(quote("cd[e%6dail]"))
    record = taken(server, (name, "mary"), ("cd[note%40]", "x"))
    assert "mary" not in str(record)


def test_the_first_event_id_that_says_something_counts(server: Collector) -> None:
    assert "a" == taken(server, ("eid", "a"), ("eid", "b"))["event_id"]
    assert "b" == taken(server, ("eid", ""), ("eid", "b"))["event_id"]
    assert "c" == taken(server, ("eid[]", "c"), ("eid[]", "d"))["event_id"]
    assert "e" == taken(server, ("eid[0]", "e"), ("eid[1]", "f"))["event_id"]
    assert "event_id" not in taken(server, ("eid[]", ""))


@pytest.mark.parametrize("name", ["6012345678901", "PixelInitialized", "NoScript"])
def test_names_of_the_old_pixels_are_kept(server: Collector, name: str) -> None:
    answer = server.client.get(
        "/tr", params={"id": server.pixel.pixel_id, "ev": name, "noscript": "1"}
    )
    assert 200 == answer.status_code
    assert (name, {"noscript": "1"}) == (
        (record := server.new_record())["event_name"],
        record["extra"],
    )


# --- who ------------------------------------------------------------------------------------------


def test_ids_of_the_browser_may_be_long_or_dotted(server: Collector) -> None:
    fbp = "fb.1.1780000000000.123456789012345678"
    user = taken(server, fbp=fbp, fbc="fb.2.1780000000000.IwAR.2_F-x")["user_data"]
    assert (fbp, "fb.2.1780000000000.IwAR.2_F-x") == (user["fbp"], user["fbc"])
    user = taken(server, fbc="fb.2.1780000000000.IwAR__DOT__2.AQYBAQMC")["user_data"]
    assert "fb.2.1780000000000.IwAR.2" == user["fbc"]


def test_what_forms_tell_fills_what_init_did_not(server: Collector) -> None:
    user = taken(
        server,
        ("udff[em]", ADA),
        ("audff[ph]", sha256("1")),
        ("udff[ph]", sha256("4915112345678")),
        ("audff[ln]", sha256("lovelace")),
        ("ud[em]", MARY),
        ("ud[ln]", ""),
        ("udff[nickname]", "ada"),
        ("ud[cn]", "DE"),
    )["user_data"]
    assert [MARY] == user["em"]
    assert [sha256("4915112345678")] == user["ph"]
    assert [sha256("lovelace")] == user["ln"]
    assert [sha256("de")] == user["country"]
    assert "ada" not in str(user)


def test_hashes_of_what_the_page_gave_are_variants(server: Collector) -> None:
    record = taken(
        server,
        ("ud[em]", MARY),
        ("aud[em]", ADA.upper()),
        ("aud[ph]", LATER),
        ("ud[fn]", sha256("mary")),
        ("aud[fn]", sha256("mary")),
        ("ud[ln]", sha256("smith")),
        ("aud[ln]", "Smith"),
        ("ud[external_id]", sha256("7")),
        ("aud[external_id]", sha256("null")),
    )
    assert {"em": [ADA]} == record["extra"]["hash_variants"]
    assert "Smith" not in str(record)
    assert "extra" not in taken(server, ("ud[em]", MARY), ("aud[em]", MARY))
    raw = taken(server, ("ud[ct]", "São Paulo"), ("aud[ct]", LATER))
    assert {LATER, sha256("são paulo")} < set(raw["extra"]["hash_variants"]["ct"])


# --- consent, touch, page -------------------------------------------------------------------------


def test_consent_is_kept_in_known_words(server: Collector) -> None:
    extra = extra_of(
        server,
        ("cs[ad_storage]", "denied"),
        ("cs[ad_user_data]", "granted"),
        ("cs[ad_personalization]", "maybe"),
        ("cs[analytics_storage]", "granted"),
        ("cs[email]", "mary@example.com"),
        ("cs[source]", "gcm"),
        ("cs[gpc]", "1"),
    )
    assert {
        "ad_storage": "denied",
        "ad_user_data": "granted",
        "analytics_storage": "granted",
        "source": "gcm",
        "gpc": True,
    } == extra["consent"]
    assert {} == extra_of(server, ("cs[source]", "mine"), ("cs[gpc]", "0"))


def test_the_last_touch_is_kept_without_addresses(server: Collector) -> None:
    extra = extra_of(
        server,
        ("tp[gclid]", "Cj0K"),
        ("tp[ScCid]", "s-1"),
        ("tp[utm_source]", "letter to mary@example.com"),
        ("tp[utm_campaign]", "c" * 900),
        ("tp[secret]", "x"),
        ("tp[ts]", "1780000000123"),
    )
    touch = extra["touch"]
    assert {"gclid", "ScCid", "utm_source", "utm_campaign", "ts"} == touch.keys()
    assert ("Cj0K", 500, 1780000000123) == (touch["gclid"], len(touch["utm_campaign"]), touch["ts"])
    assert "mary" not in touch["utm_source"]
    assert {} == extra_of(server, ("tp[ts]", "1780000000123"))


def test_limited_data_use_empty_and_absent_are_three_things(server: Collector) -> None:
    said = extra_of(server, dpo="LDU", dpoco="1", dpost="1000")
    assert {"dpo": "LDU", "dpoco": "1", "dpost": "1000"} == said
    assert {"dpo": ""} == extra_of(server, dpo="")
    assert {} == extra_of(server)


def test_what_nobody_has_looked_at_is_dropped(server: Collector) -> None:
    extra = extra_of(
        server,
        ("pmd[title]", "Thank you, Mary Smith, +49 170 1234567"),
        ("expv2[0]", "pl0"),
        ("ncud[em]", "x"),
        tm="1",
    )
    assert {"tm": "1"} == extra


def test_a_source_that_names_no_purpose_says_nothing_of_consent(server: Collector) -> None:
    assert {} == extra_of(server, ("cs[source]", "gpp"))
    assert {"consent": {"gpc": True}} == extra_of(server, ("cs[source]", "gpp"), ("cs[gpc]", "1"))


# --- automatic events, times ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "category", "expected"),
    [
        ("SubscribedButtonClick", "automatic", True),
        ("SubscribedButtonClick", "", True),
        ("UserProperties", "user_properties", True),
        ("PageMetadata", "", True),
        ("Purchase", "automatic", True),
        ("PageView", "", False),
        ("Microdatas", "", False),
    ],
)
def test_what_the_library_reports_by_itself_is_stored_and_marked(
    server: Collector, name: str, category: str, expected: bool
) -> None:
    record = taken(server, ev=name, **({"es": category} if category else {}))
    assert expected == ("automatic" in record.get("flags", []))
    assert "automatic" in MARKS


@pytest.mark.parametrize(
    ("ahead_s", "expected"), [(-90, []), (60, []), (900, ["event_time_in_future"])]
)
def test_no_event_is_later_than_its_receipt(
    server: Collector, ahead_s: int, expected: list[str]
) -> None:
    said = int(time.time()) + ahead_s
    record = taken(server, ("cd[value]", "1"), ts=str(said * 1000))
    received_s = record["received_at"] // 1_000_000
    assert min(said, received_s) == record["event_time"]
    assert expected == [flag for flag in record.get("flags", []) if flag.startswith("event_time")]


def test_a_time_of_another_age_is_that_of_the_receipt(server: Collector) -> None:
    record = taken(server, ts=str((int(time.time()) + 3 * 86_400) * 1000))
    assert record["received_at"] // 1_000_000 == record["event_time"]
    assert "ts_out_of_range" in record["flags"]


# --- real requests --------------------------------------------------------------------------------


def test_a_request_of_metas_library_is_read_whole(server: Collector) -> None:
    """The names, order and forms of version 2.9.252, with values of our own."""
    at = int(time.time() * 1000)
    query = (
        f"id={server.pixel.pixel_id}&ev=Purchase&dl=https%3A%2F%2Fshop.example%2Fthanks&rl=&if=false"
        f"&ts={at}&cd[value]=12.5&cd[currency]=EUR&cd[contents]=%5B%7B%22id%22%3A%221%22%7D%5D"
        f"&sw=1920&sh=1080&ud[em]={MARY}&ud[external_id]={LATER}&aud[external_id]={ADA}"
        "&ncud[em]=x&v=2.9.252&r=stable&a=tmgoogletagmanager&ec=1&o=4126"
        f"&fbp=fb.1.{at}.123456789012345678&ler=empty&cdl=API_unavailable&eid=o-1&it={at}"
        "&coo=false&dpo=&tm=1&exp=k2&expv2[0]=pl0&pmd[title]=Thanks&rqm=GET"
    )
    assert 200 == server.client.get(f"/tr/?{query}").status_code
    record = server.new_record()
    assert ("Purchase", "o-1", "12.5", "EUR") == tuple(
        record[key] for key in ("event_name", "event_id", "value", "currency")
    )
    assert re.fullmatch(r"fb\.1\.\d{13}\.\d{18}", record["user_data"]["fbp"])
    assert {
        "if": "false",
        "sw": "1920",
        "sh": "1080",
        "v": "2.9.252",
        "a": "tmgoogletagmanager",
        "ec": "1",
        "tm": "1",
        "dpo": "",
        "rqm": "GET",
        "ler": "empty",
        "hash_variants": {"external_id": [ADA]},
    } == record["extra"]
    assert "flags" not in record


def test_a_hit_of_our_pixel_is_read_whole(server: Collector) -> None:
    record = taken(
        server,
        ("dl", "https://shop.example/cart"),
        ("if", "false"),
        ("cd[value]", "5"),
        ("udff[em]", MARY),
        ("v", "1.0.0"),
        ("o", "4120"),
        ("es", "automatic"),
        ("cs[ad_storage]", "granted"),
        ("tp[utm_source]", "letter"),
        ("test_event_code", "TEST1"),
        ("rqm", "fetch"),
        ev="SubscribedButtonClick",
    )
    extra = record["extra"]
    assert ({"ad_storage": "granted"}, {"utm_source": "letter"}, "TEST1", "fetch") == tuple(
        extra[key] for key in ("consent", "touch", "test_event_code", "rqm")
    )
    assert ["automatic"] == record["flags"]
    assert [MARY] == record["user_data"]["em"]
