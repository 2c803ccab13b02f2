"""What is taken out of URLs, texts and custom data, and what must stay."""

from __future__ import annotations

import copy
import doctest
import json
import time
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doublet import redact as module
from doublet import refusal as refusal_module
from doublet.accept import (
    Arrival,
    accept_events,
    accept_hit,
    hashed_payload,
    is_suspect,
    read_hit,
    read_request,
)
from doublet.event import EventsRequest
from doublet.redact import REMOVED, SENSITIVE_KEYS, redact, redact_text, redact_url
from doublet.refusal import Refusal
from tests.factories import ACCOUNT, NOON, PIXEL, make_event

SHOP = "https://shop.example"
PHONE = "+49 170 5551234567"
FBCLID = "fbclid=IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"

ANY_TEXT = st.text(st.characters(exclude_categories=()))
URL_PARTS = st.sampled_from(
    [
        *("https://", "//", "jo@example.com", "jo%40example.com", "jo%2540example.com", "@", "%40"),
        *("%u0040", "&#64;", "\uff20", "%22", '"', "phone", ":", "{", "%7B", ","),
        *("email", "phone", "user[email]", "q", "=", "%3D", "%253D", "&", "%26", "?", "%3F", "#"),
        *(";", "/", ".", "+", "a", "b.co", "%", "%2B", "%C3%A9", REMOVED, "é", " ", "[", "]", "25"),
    ]
)
URL_LIKE = st.lists(URL_PARTS, max_size=12).map("".join)
TREE_KEYS = st.sampled_from(["email", "jo@b.co", "id", "name", "Label", "value"])
JSON_TREE = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT | URL_LIKE,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT | TREE_KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("/thanks?email=jo%40example.com", "/thanks?email=_removed_"),
        ("/thanks?E-Mail=x&order=7", "/thanks?E-Mail=_removed_&order=7"),
        ("/?n=7&first_name=Jo&lastName=Doe", "/?n=7&first_name=_removed_&lastName=_removed_"),
        ("/reset?token=abc.def#top", "/reset?token=_removed_#top"),
        ("/#access_token=abc&state=1", "/#access_token=_removed_&state=1"),
        ("/#/login?password=a?b/c;d&x=1", "/#/login?password=_removed_&x=1"),
        ("/p;jsessionid=AB12?x=1", "/p;jsessionid=_removed_?x=1"),
        ("/?user[email]=x&user%5Bphone%5D=1", "/?user[email]=_removed_&user%5Bphone%5D=_removed_"),
        ("/?contacts[0][customer][name]=Jo", "/?contacts[0][customer][name]=_removed_"),
        ("/?customer.phone=555", "/?customer.phone=_removed_"),
        ("/?billing-address=High+St+1", "/?billing-address=_removed_"),
        ("/?next=/a?email=x", "/?next=/a?email=_removed_"),
        ("/?a=1&amp;email=x", "/?a=1&amp;email=_removed_"),
        ("/?q=jo@example.com", "/?q=_removed_"),
        ("/?q=o'brien+news@mail.example.co.uk&x=1", "/?q=_removed_&x=1"),
        ("/?q=j%C3%B6rg%2Bshop%40example.com", "/?q=_removed_"),
        ("/?q=jörg@bücher.example", "/?q=_removed_"),
        ("/?q=jo@xn--bcher-kva.xn--p1ai&b=2", "/?q=_removed_&b=2"),
        ("/u/jo@example.com/orders/7", "/u/_removed_/orders/7"),
        ("/u/jo%40example.com", "/u/_removed_"),
        ("/u/jo%2540example.com", "/u/_removed_"),
        ("/?to=mailto:jo@example.com", "/?to=mailto:_removed_"),
        ("/?utm_content=jo@example.com&utm_id=1", "/?utm_content=_removed_&utm_id=1"),
        ("/?u=%2Fa%3Fphone%3D555%26x%3D1", "/?u=%2Fa%3Fphone%3D_removed_%26x%3D1"),
        ("/?u=%252Fa%253Fphone%253D555%2526x", "/?u=%252Fa%253Fphone%253D_removed_%2526x"),
        ("/?u=x%3Femail%3Djo%40example.com&y=2", "/?u=x%3Femail%3D_removed_&y=2"),
        ("/?a=x%26note%3Djo%40example.com", "/?a=x%26note%3D_removed_"),
        ("/?form=phone%3D555%26x%3D1", "/?form=phone%3D_removed_%26x%3D1"),
        ("/?u=%2Fa%3Ffirst%255Fname%3DJo", "/?u=%2Fa%3Ffirst%255Fname%3D_removed_"),
        ("/?data=%7B%22phone%22%3A%22%2B49%22%7D&x=1", "/?data=_removed_&x=1"),
        ("/?data=%257B%2522phone%2522%253A%2522%252B49%2522%257D", "/?data=_removed_"),
        ("/?data=%7B%22q%22%3A%22%7B%5C%22phone%5C%22%3A5%7D%22%7D", "/?data=_removed_"),
        ("/?data=%u007B%u0022phone%u0022%3A5%7D", "/?data=_removed_"),
        ("/?data=%5B%7B%22tel%22%3A%2249", "/?data=_removed_"),
        ('/?data={"q":"a&b","phone":5}&x=1', "/?data=" + '{"q":"a&b_removed_&x=1'),
        ('/#{"phone":"555"}', "/#_removed_"),
        ("/?q={user(phone:5)}", "/?q=_removed_"),
        ("/?q=anna%u0040example.com", "/?q=_removed_"),
        ("/?q=%u0141anna%40example.com", "/?q=_removed_"),
        ("/?q=anna\uff20example.com", "/?q=_removed_"),
        ("/?q=anna%EF%BC%A0example.com", "/?q=_removed_"),
        ("/?q=anna&#64;example.com", "/?q=_removed_"),
        ("/?q=anna%26%23x40%3Bexample.com", "/?q=_removed_"),
        ("/?q=anna%252540example.com", "/?q=_removed_"),
        ("/?q=anna%40b%C3%BCcher.example", "/?q=_removed_"),
        ("/?q=anna%40example%2Ecom", "/?q=_removed_"),
        ("/?q=100%anna@example.com", "/?q=100%_removed_"),
    ],
)
def test_personal_values_leave_a_url_and_nothing_else_does(url: str, clean: str) -> None:
    assert redact_url(SHOP + url) == SHOP + clean


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://jo:secret@shop.example/a", "https://shop.example/a"),
        ("HTTPS://jo@shop.example", "HTTPS://shop.example"),
        ("//jo:p@ss@shop.example/?x=1", "//shop.example/?x=1"),
        ("https://jo:pw@localhost:8701/", "https://localhost:8701/"),
        ("https://shop.example/@jo", "https://shop.example/@jo"),
    ],
)
def test_credentials_leave_the_authority(url: str, clean: str) -> None:
    assert redact_url(url) == clean


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            SHOP,
            "about:blank",
            "not a url",
            "https://[::1",
            "http://%",
            "?",
            "#",
            "&&==;;",
            "@",
        ),
        f"{SHOP}/a?utm_source=fb&utm_medium=cpc&utm_campaign=x&utm_id=1234567890&{FBCLID}",
        f"{SHOP}/thanks?order_id=10023&key=wc_order_9&content_ids=1,2,3&value=129.90",
        f"{SHOP}/?name=Shoe&status=paid&content_name=Boot&city=Bonn&q=%D1%82%D0%B5%D1%81%D1%82",
        f"{SHOP}/?phone_case=7&email_opt_in=1&addressable=1&tokens=3&hashed_email=abc",
        f"{SHOP}/?email=&phone=",
        f"{SHOP}/?email=_removed_",
        f"{SHOP}/img/shoe@2x.png",
        f"{SHOP}/img/shoe%402x.jpeg?v=3",
        f"{SHOP}/lib/react@18.2.0/index.js",
        f"{SHOP}/maps/@52.520008,13.404954,15z",
        f"{SHOP}/users/@jo.example",
        f"{SHOP}/?t=20%25+off&x=100%",
        f"{SHOP}/?filter=%7B%22color%22%3A%22red%22%2C%22size%22%3A7%7D",
    ],
)
def test_a_url_without_personal_data_is_the_same_object(url: str) -> None:
    assert redact_url(url) is url


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to jo@example.com.", "Write to _removed_."),
        ("<jo@example.com>, Al <al@example.org>", "<_removed_>, Al <_removed_>"),
        ("jo@example.com@example.org", "_removed_"),
        ("a@b.co1@c.de", "_removed_"),
        ("a@b.co.@c.de", "_removed_"),
        ("Log out JO.DOE+x@EXAMPLE.COM", "Log out _removed_"),
    ],
)
def test_addresses_leave_a_text(text: str, clean: str) -> None:
    assert redact_text(text) == clean


@pytest.mark.parametrize(
    "text",
    ["", "Buy now", "5 @ 3.50 EUR", "@jo", "jo@home", "1@2.34", "100 %", "0049 170 1234567", "a@b"],
)
def test_a_text_without_address_is_the_same_object(text: str) -> None:
    assert redact_text(text) is text


def make_custom_data() -> dict[str, Any]:
    return {
        "value": 129.9,
        "currency": "EUR",
        "content_type": "product",
        "order_id": "4915112345678",
        "content_ids": ["SKU-1", "SKU-2"],
        "contents": [
            {"id": "SKU-1", "quantity": 1, "item_price": 99.9},
            {"id": "SKU-2", "quantity": 2, "item_price": 15.0},
        ],
    }


@pytest.mark.parametrize(
    "key", ["name", "status", "content_name", "order_id", "contents", "gender"]
)
def test_the_words_of_the_trade_are_not_sensitive(key: str) -> None:
    assert key.replace("_", "") not in SENSITIVE_KEYS
    tree = {key: "A-1"}
    assert redact(tree) is tree


@pytest.mark.parametrize(
    "key",
    [
        *("email", "e-mail", "E_MAIL", "mail", "phone", "tel", "mobile", "password", "token"),
        *("access_token", "auth", "first_name", "last_name", "surname", "address", "street"),
        *("ssn", "iban", "card_number", "birth_date", "session_id", "PHPSESSID", "billingAddress1"),
        *("customer name", "shipping_address[zip]", "Téléphone", "zp"),
    ],
)
def test_values_of_sensitive_keys_are_removed(key: str) -> None:
    for value in ("x", 491512345678, 1.5, ["x"], {"line": "x"}):
        assert redact({"a": 1, key: value, "z": 2}) == {"a": 1, key: REMOVED, "z": 2}


@pytest.mark.parametrize("value", [None, "", True, False, REMOVED])
def test_what_tells_nothing_stays_under_a_sensitive_key(value: Any) -> None:
    tree = {"email": value}
    assert redact(tree) is tree


def test_sensitive_keys_are_listed_in_the_form_they_are_compared_in() -> None:
    for key in SENSITIVE_KEYS:
        assert key == key.lower()
        assert redact({key: "x"}) == {key: REMOVED}


def test_clean_custom_data_is_the_same_object() -> None:
    tree = make_custom_data()
    assert redact(tree) is tree
    assert tree == make_custom_data()


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [], {}, [1, "a", None, [], {}]])
def test_anything_without_personal_data_is_the_same_object(value: Any) -> None:
    assert redact(value) is value


def test_a_change_copies_only_the_containers_around_it() -> None:
    tree = make_custom_data()
    tree["contents"][1]["engraving"] = "For jo@example.com"
    before = copy.deepcopy(tree)
    clean = redact(tree)
    assert tree == before
    assert clean["contents"][1]["engraving"] == "For _removed_"
    assert clean["contents"][0] is tree["contents"][0]
    assert clean["content_ids"] is tree["content_ids"]
    assert list(clean) == list(tree)


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("https://a.example/?phone=555", "https://a.example/?phone=_removed_"),
        ("/thanks?phone=555", "/thanks?phone=_removed_"),
        (["a", ["jo@example.com"]], ["a", [REMOVED]]),
        ({"jo@example.com": 1, "b": 2}, {REMOVED: 1, "b": 2}),
        ({"text": "phone=555"}, {"text": "phone=555"}),
        ({"form": '{"phone":"555","id":7}'}, {"form": '{"phone":"_removed_","id":7}'}),
        ({"form": '[{"q":"jo@example.com"}]'}, {"form": '[{"q":"_removed_"}]'}),
        ({"form": '{"q":"jo@example.com'}, {"form": '{"q":"_removed_'}),
        ({"form": '{"phone":"555'}, {"form": REMOVED}),
        ({"form": '{"phone":"555","phone":""}'}, {"form": REMOVED}),
        ({"form": '"{\\"phone\\":5}"'}, {"form": '"{\\"phone\\":\\"_removed_\\"}"'}),
        ({"form": "phone=555&x=1"}, {"form": "phone=_removed_&x=1"}),
        (
            {"text": "at https://a.example/?phone=555"},
            {"text": "at https://a.example/?phone=_removed_"},
        ),
        ({"/?phone=555": 1}, {"/?phone=_removed_": 1}),
        (
            {"fields": [{"name": "phone", "value": PHONE}, {"name": "size", "value": "XL"}]},
            {"fields": [{"name": "phone", "value": REMOVED}, {"name": "size", "value": "XL"}]},
        ),
        ([{"Key": "First-Name", "Value": "Jo"}], [{"Key": "First-Name", "Value": REMOVED}]),
        ([{"key": "ph", "values": [PHONE]}], [{"key": "ph", "values": REMOVED}]),
        ({"field": "zip", "value": 10115}, {"field": "zip", "value": REMOVED}),
        (
            [{"name": "input_3", "label": "Phone *:", "value": PHONE}],
            [{"name": "input_3", "label": "Phone *:", "value": REMOVED}],
        ),
        ({"name": "user[phone]", "value": PHONE}, {"name": "user[phone]", "value": REMOVED}),
        (
            {"form": '[{"name":"phone","value":"555"}]'},
            {"form": '[{"name":"phone","value":"_removed_"}]'},
        ),
        ({"form": '[{"name":"phone","value":"555'}, {"form": REMOVED}),
        ({"form": "[{name:'phone',value:'555'}] \""}, {"form": REMOVED}),
    ],
)
def test_trees_are_searched_in_every_corner(value: Any, clean: Any) -> None:
    assert redact(value) == clean


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "Wool mittens", "value": 24}, {"key": "size", "value": "XL"}],
        {"name": "phone", "value": 299, "currency": "EUR"},
        [{"name": "phone", "value": ""}, {"name": "phone", "value": None}],
        [{"name": ["phone"], "value": "x"}, {"phone_model": "name", "value": "x"}],
        {"form": '[{"name":"size","value":"XL'},
        {"value": "phone"},
    ],
)
def test_a_value_beside_a_harmless_name_stays(value: Any) -> None:
    assert redact(value) is value


def test_pairs_of_name_and_value_leave_a_url() -> None:
    pairs = '[{"name":"phone","value":"555"}]'
    for fields in (pairs, quote(pairs), quote(quote(pairs)), pairs.replace('"', "'")):
        assert redact_url(f"/thanks?n=7&f={fields}&x=1") == "/thanks?n=7&f=_removed_&x=1"
    url = f"/thanks?f={quote(pairs.replace('phone', 'size'))}"
    assert redact_url(url) is url


def test_json_inside_a_text_stays_byte_for_byte_when_clean() -> None:
    text = '[{"id": "1",  "quantity":2, "item_price":1.10}]'
    assert redact({"contents": text})["contents"] is text


@given(URL_LIKE | ANY_TEXT)
@example("https://a:b@c@d.ef/?email=x@y.zz")
def test_redacting_twice_is_redacting_once(text: str) -> None:
    for remove in (redact_url, redact_text):
        once = remove(text)
        assert remove(once) == once


@given(JSON_TREE)
def test_no_tree_makes_redaction_raise_or_change_its_input(tree: Any) -> None:
    before = copy.deepcopy(tree)
    clean = redact(tree)
    assert tree == before
    assert redact(clean) == clean
    assert clean is tree or clean != tree


LOCAL_PARTS = st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,20}", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z]{2,8}){1,2}", fullmatch=True)


AT_SIGNS = ["@", "%40", "%2540", "%u0040", "\uff20", "%EF%BC%A0", "&#64;", "%26%2364%3B", "\\u0040"]


@given(LOCAL_PARTS, DOMAINS, st.sampled_from(AT_SIGNS))
def test_no_address_survives_wherever_it_stands(local: str, domain: str, at: str) -> None:
    address = local + at + domain
    for text in (address, f"/u/{address}/x", f"{SHOP}/?q={address}&x=1", f"{SHOP}/#{address}"):
        assert at + domain not in redact_url(text)
        assert at + domain not in redact(json.loads(json.dumps({"a": [text]})))["a"][0]


@pytest.mark.parametrize(
    "unit",
    [
        *("a", "%C3", "%3D", "a@", "x@a.", "?", "?a=", "%25", "%26a", "&email=x", "x@a.bc+", ";a"),
        *("[", '{"a":', "a%40a.bb", "//", ":a"),
        *(
            '"',
            '"a":',
            "{a",
            ", ",
            "%22",
            "%7B+",
            "\\",
            "\\u0040",
            "a&#64;a.bb",
            "%EF%BC%A0",
            "%u0141",
            '"name":"a',
            "key:'value",
        ),
    ],
)
@pytest.mark.parametrize("end", ["", "@", "%3D", "=@", '":'])
def test_hostile_texts_cost_linear_time(unit: str, end: str) -> None:
    text = unit * (100_000 // len(unit)) + end
    begun = time.process_time()
    redact_url(text)
    redact({"a": text, text: 1})
    # Quadratic work would take minutes here, linear work takes some tens of milliseconds.
    assert time.process_time() - begun < 2


def test_strange_keys_do_not_fill_the_memory() -> None:
    for number in range(10_000):
        redact({f"key {number}": 1, "k" * 10_000 + str(number): 1})
    assert len(module._CLEAN_KEYS) <= module._KEYS_KEPT_MAX
    assert max(map(len, module._CLEAN_KEYS)) <= module._KEY_LENGTH_KEPT_MAX


# --- at the doors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nickname", ' "nickname"'),
        ("jo@example.com", ""),
        ("Mary Miller", ""),
        ("p491705551234567", ""),
        ("x` - at `$[0].Mary Miller", ""),
        ("n" * 41, ""),
    ],
)
def test_an_unknown_field_is_named_only_when_its_name_is_plain(name: str, shown: str) -> None:
    body = json.dumps({"data": [make_event() | {name: 1}]}).encode()
    request = read_request(body)
    assert isinstance(request, EventsRequest)
    refusal = accept_events(request, Arrival(ACCOUNT, PIXEL, "server", NOON, 0))
    assert isinstance(refusal, Refusal)
    expected = f"Event 0: Unexpected key{shown} on param \"$['data'][0]\"."
    assert (expected, "data.0") == (refusal.message, refusal.field)
    (payload,) = hashed_payload(body)
    assert (name == "nickname") == (name in payload)
    assert "Mary" not in json.dumps(payload)


@pytest.mark.parametrize("key", ["ev", "eid", "sw", "a", "es", "tm", "dl", "rl"])
@pytest.mark.parametrize(
    "text", [json.dumps({"phone": PHONE}), f"/?phone={PHONE}", f"a=1&phone={PHONE}"]
)
def test_no_parameter_of_a_hit_keeps_a_value_under_a_personal_key(key: str, text: str) -> None:
    arrival = Arrival(ACCOUNT, PIXEL, "browser", NOON, slot=0, suspect=False)
    line = accept_hit(read_hit([(key, text), ("ev", "Lead")]), arrival)
    assert isinstance(line, bytes)
    assert PHONE.encode() not in line


@pytest.mark.parametrize("examined", [module, refusal_module])
def test_examples_in_the_docstrings_hold(examined: ModuleType) -> None:
    outcome = doctest.testmod(examined)
    assert outcome.attempted > 0
    assert outcome.failed == 0


SIGNS = ("jo@shop.example", "jo&#64;shop.example", "jo\\u0040shop.example", "jo＠shop.example")
MORE_SIGNS = ("jo%40shop.example", "email=jo", '{"email":"jo"}', "Kissen", "Fußmatte", " ", "&")
WITH_SIGNS = st.lists(st.sampled_from((*SIGNS, *MORE_SIGNS)), max_size=3).map("".join)


@given(WITH_SIGNS, WITH_SIGNS)
def test_what_is_passed_over_in_custom_data_would_not_have_changed(one: str, other: str) -> None:
    custom: dict[str, Any] = {
        "content_name": one,
        "content_ids": [other],
        "contents": [{"id": one, "title": other, "quantity": 1}],
    }
    event = make_event(event_name="ViewContent", custom_data=custom)
    body = json.dumps({"data": [event]}, ensure_ascii=False).encode()
    arrival = Arrival(ACCOUNT, PIXEL, "server", NOON, 0)
    arrival.suspect = is_suspect(body)
    request = read_request(body)
    assert isinstance(request, EventsRequest)
    records = accept_events(request, arrival)
    assert isinstance(records, list), records
    assert redact(custom) == json.loads(records[0])["custom_data"]
