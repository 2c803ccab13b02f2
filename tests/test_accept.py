"""From a request to records: canonical, repeatable, without raw personal data, whatever comes."""

from __future__ import annotations

import doctest
import json
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doublet.accept import (
    Arrival,
    accept_events,
    accept_hit,
    hashed_payload,
    is_suspect,
    read_hit,
    read_request,
    record,
    refused_record,
)
from doublet.accept.record import RECORD_SIZE_BYTES_MAX
from doublet.accept.steps import STEPS
from doublet.collect.request import parse_form, parse_pairs
from doublet.event import Event, Refused
from doublet.refusal import Reason, Refusal
from tests.factories import ACCOUNT, NOON, PIXEL, SECOND, Pipeline, make_event, sha256
from tests.strategies import EMAIL, LIKELY_EVENTS, LOOSE_EVENTS, NAMES, TREES, VALUES

PHONE = "+49 170 5551234567"
DAY = 86_400


def test_the_examples_in_the_docstrings_hold() -> None:
    assert 0 == doctest.testmod(record).failed


def arrival(
    body: bytes = b"", source: Literal["browser", "server"] = "server", **fields: Any
) -> Arrival:
    """What the edge knows of a request with this content."""
    fields = {"received_at": NOON, "suspect": is_suspect(body), **fields}
    return Arrival(ACCOUNT, PIXEL, source, slot=0, **fields)


def accept(*events: Any, **fields: Any) -> list[dict[str, Any]] | Refusal:
    """The records of server events."""
    body = msgspec.json.encode({"data": list(events), **fields})
    request = read_request(body)
    if isinstance(request, Refusal):
        return request
    records = accept_events(request, arrival(body))
    return records if isinstance(records, Refusal) else [json.loads(line) for line in records]


def accept_one(**fields: Any) -> dict[str, Any]:
    """The record of one good server event with these fields."""
    records = accept(make_event(**fields))
    assert isinstance(records, list), records
    return records[0]


def reason(**fields: Any) -> str:
    """Why a server event with these fields is refused."""
    refusal = accept(make_event(**fields))
    assert isinstance(refusal, Refusal), refusal
    return refusal.reason.label


# --- server events ---------------------------------------------------------------------------


def test_one_record_is_one_canonical_line() -> None:
    body = msgspec.json.encode({"data": [make_event()]})
    request = read_request(body)
    assert not isinstance(request, Refusal)
    records = accept_events(request, arrival(body))
    expected = (
        f'{{"record_type":"event","account_id":"{ACCOUNT}","pixel_id":"{PIXEL}",'
        f'"source":"server","received_at":{NOON},'
        f'"event_key":{record.event_key(PIXEL, "Purchase", "iorder.1")},'
        f'"event_name":"Purchase","event_time":{NOON // SECOND},"event_id":"order.1",'
        '"action_source":"website","event_source_url":"https://shop.example/thanks",'
        f'"user_data":{{"em":["{sha256("mary@example.com")}"]}},"value":"10.5",'
        '"currency":"USD","custom_data":{"value":10.5,"currency":"USD"}}'
    )
    assert [expected.encode()] == records


def test_copies_of_one_event_share_their_key_on_both_doors() -> None:
    server = accept_one(event_id=7)
    hit = read_hit([("ev", "Purchase"), ("eid", "7"), ("cd[value]", "1")])
    browser = accept_hit(hit, arrival(source="browser"))
    assert isinstance(browser, bytes)
    assert server["event_key"] == json.loads(browser)["event_key"]


def test_events_without_an_id_have_keys_of_their_own() -> None:
    records = accept(make_event(event_id=None), make_event(event_id=""))
    assert isinstance(records, list)
    assert 2 == len({line["event_key"] for line in records})
    assert ["event_id" in line for line in records] == [False, False]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"event_name": None}, "event_name_missing"),
        ({"event_name": "e" * 257}, "invalid_event"),
        ({"event_id": "e" * 1025}, "invalid_event"),
        ({"event_time": None}, "invalid_event"),
        ({"event_time": NOON // SECOND - 7 * DAY - 1}, "event_too_old"),
        (
            {"event_time": NOON // SECOND - 62 * DAY - 1, "action_source": "physical_store"},
            "event_too_old",
        ),
        ({"event_time": NOON // SECOND + DAY + 1}, "event_in_future"),
        ({"event_time": NOON // 1000}, "event_in_future"),
        ({"user_data": None}, "user_data_missing"),
        ({"user_data": {}}, "user_data_insufficient"),
        ({"user_data": {"em": "nobody"}}, "user_data_insufficient"),
        ({"user_data": {"ct": "Paris", "country": "fr"}}, "user_data_insufficient"),
        ({"user_data": {"fn": "Mary", "ge": "f"}}, "user_data_insufficient"),
        ({"custom_data": {"currency": "EUR"}}, "value_missing"),
        ({"custom_data": {"value": "1,5", "currency": "EUR"}}, "value_missing"),
        ({"custom_data": {"value": True, "currency": "EUR"}}, "value_missing"),
        ({"custom_data": {"value": 1}}, "currency_missing"),
        ({"custom_data": {"value": 1, "currency": "EURO"}}, "currency_missing"),
        ({"custom_data": None}, "value_missing"),
        ({"nickname": "Mary"}, "invalid_event"),
        ({"opt_out": "yes"}, "invalid_event"),
        ({"custom_data": {"value": 1, "currency": "EUR", "x": "y" * 2**20}}, "too_large"),
    ],
)
def test_a_faulty_server_event_is_refused(fields: dict[str, Any], expected: str) -> None:
    assert expected == reason(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"event_time": NOON // SECOND - 7 * DAY},
        {"event_time": NOON // SECOND - 62 * DAY, "action_source": "physical_store"},
        {"event_time": str(NOON // SECOND)},
        {"event_time": NOON / SECOND},
        {"event_name": "e" * 256, "event_id": "e" * 1024},
        {"user_data": {"fbp": "fb.1.1780000000000.1"}},
        {"user_data": {"client_ip_address": "203.0.113.7", "client_user_agent": "x"}},
        {"custom_data": {"value": "0", "currency": "eur"}},
        {"event_name": "Lead", "custom_data": None},
    ],
)
def test_a_server_event_just_within_the_rules_is_taken(fields: dict[str, Any]) -> None:
    assert "event" == accept_one(**fields)["record_type"]


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({}, None),
        ({"event_time": NOON // SECOND + 301}, ["event_time_in_future"]),
        ({"action_source": None}, ["missing_action_source"]),
        ({"action_source": "shop"}, ["invalid_action_source"]),
        ({"event_source_url": None}, ["missing_event_source_url"]),
        ({"user_data": {"em": "a@b.example", "ph": "x"}}, ["invalid_ph"]),
        ({"user_data": {"em": "a@b.example", "ph": [""]}}, ["invalid_ph"]),
        ({"user_data": {"em": "a@b.example", "x": 1, "y": 1}}, ["unknown_user_data"]),
        ({"user_data": {"external_id": list(range(1, 102))}}, ["too_many_external_id"]),
        ({"event_name": "Lead", "custom_data": {"value": "x"}}, ["invalid_value"]),
        ({"event_name": "Lead", "custom_data": {"currency": 5}}, ["invalid_currency"]),
        ({"custom_data": {"value": 1, "currency": "BTC"}}, ["invalid_currency"]),
        ({"custom_data": {"value": 1, "currency": " usd "}}, None),
    ],
)
def test_what_is_odd_about_a_server_event_is_flagged(
    fields: dict[str, Any], flags: list[str] | None
) -> None:
    assert flags == accept_one(**fields).get("flags")


def test_the_index_of_the_bad_event_is_named() -> None:
    refusal = accept(make_event(), make_event(event_name=""))
    assert isinstance(refusal, Refusal)
    assert ("data.1.event_name", "Event 1: event_name is empty.") == (
        refusal.field,
        refusal.message,
    )
    refusal = accept(make_event(custom_data={"value": 1, "currency": "USD", "x": "y" * 2**20}))
    assert isinstance(refusal, Refusal)
    assert "data.0" == refusal.field


def test_rare_fields_and_the_request_parameters_are_kept() -> None:
    rare = {
        "referrer_url": "https://search.example/?email=x@y.example",
        "opt_out": False,
        "data_processing_options": ["LDU"],
        "data_processing_options_country": 0,
        "customer_segmentation": "new_customer",
    }
    (line,) = accept(make_event(**rare), test_event_code="TEST1", partner_agent="pl")  # type: ignore[misc]
    expected = {
        **rare,
        "referrer_url": "https://search.example/?email=_removed_",
        "test_event_code": "TEST1",
        "partner_agent": "pl",
    }
    assert expected == line["extra"]


# --- personal data ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"phone": PHONE},
        [[{"phone": PHONE}]],
        [{"id": {"phone": PHONE}}],
        [{"id": f"https://shop.example/?phone={PHONE}"}],
        [f"https://shop.example/?phone={PHONE}"],
        f"/thanks?phone={PHONE}",
        f"/thanks?next=%2F%3Fphone%3D{PHONE}",
        json.dumps([{"phone": PHONE}]),
        f'[{{"phone" : "{PHONE}"}}]',
        f' {{"phone":"{PHONE}"}}',
        [{"id": json.dumps({"phone": PHONE})}],
        EMAIL,
        EMAIL.replace("@", "%40"),
        EMAIL.replace("@", "%2540"),
        {EMAIL: 1},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "key", ["contents", "content_ids", "content_name", "search_string", "order_id", "other"]
)
def test_a_personal_value_is_removed_wherever_it_hides(key: str, value: Any) -> None:
    custom = {"value": 1, "currency": "USD", key: value}
    # An unknown key in contents is refused, and the refusal must be as clean.
    text = repr(accept(make_event(custom_data=custom)))
    assert [] == [raw for raw in (PHONE, EMAIL, EMAIL.split("@")[0]) if raw in text]
    flat = value if isinstance(value, str) else json.dumps(value)
    line = accept_hit(
        read_hit([("ev", "Lead"), (f"cd[{key}]", flat)]), arrival(flat.encode(), "browser")
    )
    assert isinstance(line, bytes)
    assert [] == [raw for raw in (PHONE, EMAIL) if raw.encode() in line]


def test_harmless_custom_data_stay_as_they_are() -> None:
    custom = {
        "value": 10.5,
        "currency": "USD",
        "content_name": '50% off: the 12" phone, size=7',
        "contents": [{"id": "1", "quantity": 2, "title": "Café", "brand": None}],
        "content_ids": ["1234567890", 5],
        "order_id": "4917055512345",
    }
    assert custom == accept_one(custom_data=custom)["custom_data"]


@pytest.mark.parametrize(
    "place",
    [
        *("query", "form", "JSON in a form", "JSON", "full-width", "full-width query"),
        *("old escape", "HTML", "HTML in a query"),
    ],
)
def test_an_address_is_suspected_in_every_encoding(place: str) -> None:
    raw = {
        "query": b"a=jo%40example.com",
        "form": b"a=jo%2540example.com",
        "JSON in a form": b"data=%7B%22a%22%3A%22jo%5Cu0040example.com",
        "JSON": b'{"a":"jo\\u0040example.com"}',
        "full-width": "jo\uff20example.com".encode(),
        "full-width query": b"a=jo%EF%BC%A0example.com",
        "old escape": b"a=jo%25u0040example.com",
        "HTML": b'{"a":"jo&#64;example.com"}',
        "HTML in a query": b"a=jo%26%2364;example.com",
    }[place]
    assert is_suspect(raw)
    assert not is_suspect(b"a=100%25&b=%5B%5D&c=40")


def test_ids_that_hold_addresses_stay_different() -> None:
    one, two = (
        accept_one(
            event_id=f"{name}@shop.example",
            custom_data={"value": 1, "currency": "USD", "order_id": f"{name}@shop.example"},
        )
        for name in ("mary", "john")
    )
    assert sha256("mary@shop.example") == one["event_id"] == one["order_id"]
    assert one["event_key"] != two["event_key"]
    assert one["order_id"] != two["order_id"]


def test_a_click_id_that_holds_an_address_is_none() -> None:
    line = accept_one(user_data={"external_id": "7", "fbc": "fb.1.1.mary@shop__DOT__example"})
    assert {"external_id": [sha256("7")]} == line["user_data"]
    assert ["invalid_fbc"] == line["flags"]


def test_known_parameters_of_a_hit_are_searched_before_they_are_cut() -> None:
    text = "x" * 180 + " " + EMAIL
    hit = read_hit([("ev", "Lead"), ("a", text), ("sw", EMAIL)])
    line = accept_hit(hit, arrival(EMAIL.encode(), "browser"))
    assert isinstance(line, bytes)
    assert {"a": "x" * 180 + " _removed_", "sw": "_removed_"} == json.loads(line)["extra"]


# --- refused requests ------------------------------------------------------------------------


def test_a_refused_request_keeps_its_events_hashed() -> None:
    bad = make_event(
        user_data={"em": EMAIL, "hobby": EMAIL},
        custom_data={"email": EMAIL, "value": 1},
        event_source_url=f"https://shop.example/?email={EMAIL}",
        nickname=EMAIL,
    )
    expected = {
        "nickname": None,
        **bad,
        "user_data": {"em": [sha256(EMAIL)]},
        "custom_data": {"email": "_removed_", "value": 1},
        "event_source_url": "https://shop.example/?email=_removed_",
    } | {"nickname": None, "user_data_flags": ["unknown_user_data"]}
    for data in ([bad], [json.dumps(bad)], json.dumps([bad]), json.dumps([json.dumps(bad)])):
        assert [expected] == hashed_payload(json.dumps({"data": data}).encode())
    assert [expected] == hashed_payload(json.dumps([bad]).encode())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"5", b"[" * 5000, b'{"data":{}}', b'{"data":"["}', b'{"data":5}']
)
def test_of_what_cannot_be_read_nothing_is_kept_but_size_and_digest(body: bytes) -> None:
    refusal = Refusal(Reason.MALFORMED_BODY, "The body is not valid JSON.")
    line = json.loads(refused_record(refusal, arrival(), body, hashed_payload(body)))
    assert ("malformed_body", len(body)) == (line["reason"], line["size_bytes"])
    assert "payload" not in line


# --- cost ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user_data",
    [
        {"external_id": list(range(200_000))},
        {"em": [f"a{n}@b.example" for n in range(100_000)]},
        {f"k{n}": n for n in range(100_000)} | {"external_id": "7"},
    ],
    ids=["ids", "addresses", "keys"],
)
def test_hostile_user_data_cost_little(user_data: dict[str, Any]) -> None:
    began_at = time.process_time()
    assert len(json.dumps(accept_one(user_data=user_data))) < 20_000
    assert time.process_time() - began_at < 1


# --- properties ------------------------------------------------------------------------------

_decode_event = msgspec.json.Decoder(Event).decode
_decode_refused = msgspec.json.Decoder(Refused).decode


def _check_record(line: bytes) -> None:
    """One line of canonical JSON, short, with just the keys of its kind, without the address."""
    assert line.startswith(b'{"record_type":')
    assert b"\n" not in line
    assert len(line) <= RECORD_SIZE_BYTES_MAX
    known = Event if b'{"record_type":"event"' in line[:25] else Refused
    keys = list(json.loads(line))
    assert keys == [name for name in known.__struct_fields__ if name in keys]
    (_decode_event if known is Event else _decode_refused)(line)
    lower = line.lower()
    for raw in (EMAIL, EMAIL.replace("@", "%40")):
        assert raw.encode() not in lower


def _accept_body(body: bytes) -> list[bytes] | Refusal:
    request = read_request(body)
    return request if isinstance(request, Refusal) else accept_events(request, arrival(body))


def _check_body(body: bytes) -> None:
    first, again = _accept_body(body), _accept_body(body)
    assert first == again
    if isinstance(first, Refusal):
        assert EMAIL not in first.message.lower()
        first = [refused_record(first, arrival(), body, hashed_payload(body))]
    for line in first:
        _check_record(line)


def _encode(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.lists(LIKELY_EVENTS | LOOSE_EVENTS, max_size=3), st.integers(0, 3))
def test_any_events_give_clean_records_or_a_refusal(events: list[Any], form: int) -> None:
    data: Any = [json.dumps(one) for one in events] if form % 2 else events
    _check_body(_encode({"data": json.dumps(data) if form > 1 else data}))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TREES | TREES.map(lambda tree: {"data": tree}) | TREES.map(lambda t: {"data": [t]}))
def test_any_json_gives_clean_records_or_a_refusal(tree: Any) -> None:
    _check_body(_encode(tree))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_give_clean_records_or_a_refusal(junk: bytes, at: int) -> None:
    _check_body(junk)
    whole = msgspec.json.encode({"data": [make_event()]})
    _check_body(whole[:at] + junk + whole[at:])
    _check_body(whole[:at] + junk[:3] + whole[at + len(junk[:3]) :])


def _check_pairs(pairs: list[tuple[str, str]], raw: bytes) -> None:
    lines = []
    for _ in range(2):
        known = arrival(raw, "browser", user_agent=EMAIL, referer=f"http://a.example/?e={EMAIL}")
        line = accept_hit(read_hit(pairs), known)
        lines.append(refused_record(line, known, raw) if isinstance(line, Refusal) else line)
    assert lines[0] == lines[1]
    _check_record(lines[0])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_any_parameters_give_a_clean_record_or_a_refusal(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
    _check_pairs([("ev", "Lead"), *pairs], raw)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.sampled_from(["", "multipart/form-data; boundary=x"]))
@example(
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--x--", "multipart/; boundary=x"
)
@example(b"\xed\xa0\x80=1", "")
@example(b"%ed%a0%80=1", "")
@example(b"", "multipart/form-data; boundary=\xff")
def test_any_form_gives_a_clean_record_or_a_refusal(junk: bytes, content_type: str) -> None:
    for raw in (junk, b"ev=A&" + junk, b"--x\r\n" + junk, b"--x\r\n\r\n" + junk + b"\r\n--x--\r\n"):
        for pairs in (parse_pairs(raw), parse_form(raw, content_type)):
            if not isinstance(pairs, Refusal):
                _check_pairs(pairs, raw)


def test_the_steps_are_in_the_order_in_which_they_refuse() -> None:
    names = [step.__name__ for step in STEPS]
    assert ["_event_name", "_event_id", "_event_time", "_user_data", "_custom_data"] == names[:5]


# --- the lake --------------------------------------------------------------------------------


def test_whatever_was_accepted_or_refused_can_be_loaded_and_modelled(tmp_path: Path) -> None:
    lines: list[bytes] = []

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(LIKELY_EVENTS | LOOSE_EVENTS, max_size=2))
    def take_events(events: list[Any]) -> None:
        body = _encode({"data": events})
        request = read_request(body)
        known = arrival(body, received_at=NOON + len(lines))
        taken = request if isinstance(request, Refusal) else accept_events(request, known)
        if isinstance(taken, Refusal):
            taken = [refused_record(taken, known, body, hashed_payload(body))]
        lines.extend(taken)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
    def take_hits(pairs: list[tuple[str, str]]) -> None:
        known = arrival(b"@", "browser", received_at=NOON + len(lines))
        # One id for all, so that their contents are merged into one event.
        taken = accept_hit(read_hit([("ev", "Purchase"), ("eid", "order.1"), *pairs]), known)
        lines.append(refused_record(taken, known, b"") if isinstance(taken, Refusal) else taken)

    take_events()
    take_hits()
    pipeline = Pipeline(tmp_path)
    pipeline.append(lines)
    assert len(lines) == pipeline.lake.load(pipeline.log).rows
    copies = sum(line.startswith(b'{"record_type":"event"') for line in lines)
    assert copies == pipeline.refresh().copies > 60
    rows = pipeline.events()
    assert copies == sum(row["browser_copies"] + row["server_copies"] for row in rows)
    pipeline.close()
