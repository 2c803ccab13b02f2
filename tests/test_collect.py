"""The front door over real sockets: what it takes, from whom, and what is then in the log."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector import (
    USER_AGENT,
    Collector,
    assert_busy,
    assert_graph_error,
    body_of,
    event,
    refusal_of,
)
from tests.factories import sha256

GIF_START = b"GIF89a"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _nothing_new(request: pytest.FixtureRequest) -> None:
    """Every test begins with the records of the others read."""
    if "server" in request.fixturenames:
        request.getfixturevalue("server").new_records()


# --- /tr ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tr", "/tr/"])
def test_a_hit_by_image_is_stored_and_answered_with_a_gif(server: Collector, path: str) -> None:
    now_ms = int(time.time() * 1000)
    answer = server.client.get(
        path,
        params={
            "id": server.pixel.pixel_id,
            "ev": "Purchase",
            "dl": "https://shop.example/thanks?order=7&fbclid=IwAR2",
            "rl": "https://search.example/?q=shoes",
            "if": "false",
            "ts": str(now_ms),
            "cd[value]": "49.90",
            "cd[currency]": "eur",
            "cd[contents]": '[{"id":"1","quantity":2}]',
            "cd[content_ids]": '["1"]',
            "sw": "2048",
            "ud[em]": sha256("mary@example.com"),
            "fbp": "fb.1.1780000000000.1234567890",
            "fbc": "fb.1.1780000000000.IwAR2",
            "eid": "order.7",
            "rqm": "GET",
        },
    )
    assert (200, "image/gif", "no-store") == (
        answer.status_code,
        answer.headers["content-type"],
        answer.headers["cache-control"],
    )
    assert answer.content.startswith(GIF_START)
    record = server.new_record()
    del record["log_offset"], record["received_at"], record["event_key"]
    expected = {
        "record_type": "event",
        "account_id": server.account,
        "pixel_id": server.pixel.pixel_id,
        "source": "browser",
        "event_name": "Purchase",
        "event_time": now_ms // 1000,
        "event_id": "order.7",
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks?order=7&fbclid=IwAR2",
        "user_data": {
            "em": [sha256("mary@example.com")],
            "client_ip_address": "127.0.0.1",
            "client_user_agent": USER_AGENT,
            "fbc": "fb.1.1780000000000.IwAR2",
            "fbp": "fb.1.1780000000000.1234567890",
        },
        "value": "49.90",
        "currency": "EUR",
        "custom_data": {
            "value": "49.90",
            "currency": "eur",
            "contents": [{"id": "1", "quantity": 2}],
            "content_ids": ["1"],
        },
        "extra": {
            "if": "false",
            "sw": "2048",
            "rqm": "GET",
            "referrer_url": "https://search.example/?q=shoes",
        },
    }
    assert expected == record


@pytest.mark.parametrize("name", ["cd[value]", "cd%5Bvalue%5D", "cd%5bvalue%5d"])
def test_brackets_may_be_raw_or_encoded(server: Collector, name: str) -> None:
    request = f"/tr?id={server.pixel.pixel_id}&ev=Lead&{name}=3&ts=1"
    assert 200 == server.client.get(request).status_code
    assert {"value": "3"} == server.new_record()["custom_data"]
    status, _ = server.raw(
        f"GET {request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode()
    )
    assert (200, {"value": "3"}) == (status, server.new_record()["custom_data"])


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
def test_a_posted_hit_is_stored_and_answered_with_nothing(server: Collector, form: str) -> None:
    fields = {
        "id": server.pixel.pixel_id,
        "ev": "Kauf ü€😀 +&=",
        "cd[value]": "1",
        "ud[em]": "Mary@Example.com",
        "eid": form,
    }
    if form == "urlencoded":
        answer = server.client.post("/tr/", data=fields)
    else:
        answer = server.client.post("/tr/", files={k: (None, v) for k, v in fields.items()})
    assert (200, b"") == (answer.status_code, answer.content)
    assert answer.headers["content-type"].startswith("text/plain")
    record = server.new_record()
    assert (fields["ev"], form, "1") == (record["event_name"], record["event_id"], record["value"])
    assert [sha256("mary@example.com")] == record["user_data"]["em"]


def test_parameters_of_a_posted_hit_may_stand_in_the_query(server: Collector) -> None:
    answer = server.client.post(
        f"/tr/?id={server.pixel.pixel_id}&ev=Lead", data={"eid": "9", "ev": "Other"}
    )
    assert 200 == answer.status_code
    record = server.new_record()
    assert ("Lead", "9") == (record["event_name"], record["event_id"])


def test_media_types_are_read_in_any_case(server: Collector) -> None:
    boundary = "Bound"
    part = "--{}\r\nContent-Disposition: form-data; name={}\r\n\r\n{}\r\n"
    body = part.format(boundary, '"id"', server.pixel.pixel_id)
    body += part.format(boundary, '"ev"', "Lead") + f"--{boundary}--\r\n"
    answer = server.client.post(
        "/tr/", content=body, headers={"content-type": f"Multipart/Form-Data; boundary={boundary}"}
    )
    assert (200, "Lead") == (answer.status_code, server.new_record()["event_name"])


def test_head_is_answered_without_storing(server: Collector) -> None:
    answer = server.client.head("/tr/", params={"id": server.pixel.pixel_id, "ev": "PageView"})
    assert (200, b"", []) == (answer.status_code, answer.content, server.new_records())


def test_the_image_tag_without_script_is_an_event(server: Collector) -> None:
    before = int(time.time())
    answer = server.client.get(
        "/tr",
        params={"id": server.pixel.pixel_id, "ev": "PageView", "noscript": "1"},
        headers={"referer": "https://shop.example/?email=mary@example.com"},
    )
    assert answer.content.startswith(GIF_START)
    record = server.new_record()
    assert ["missing_ts"] == record["flags"]
    assert {"noscript": "1"} == record["extra"]
    assert before <= record["event_time"] <= time.time()
    assert "https://shop.example/?email=_removed_" == record["event_source_url"]


@pytest.mark.parametrize("stray", [b"", b"\xe9"])
def test_headers_in_plain_utf8_are_searched_for_addresses(server: Collector, stray: bytes) -> None:
    address = "jö＠example.com".encode() + stray
    request = b"GET /tr/?id=%s&ev=A HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
    request += b"user-agent: Shop \xc3\xbc (%s)\r\nreferer: https://a.example/%s/x\r\n\r\n"
    status, _ = server.raw(request % (server.pixel.pixel_id.encode(), address, address))
    record = server.new_record()
    assert 200 == status
    assert record["user_data"]["client_user_agent"].startswith("Shop ü (_removed_")
    assert record["event_source_url"].startswith("https://a.example/_removed_")
    assert "example.com" not in json.dumps(record)


_MISSING = ("missing_value", "missing_currency")


@pytest.mark.parametrize(
    ("parameters", "flags"),
    [
        ({"ts": "abc"}, ["missing_ts"]),
        ({"ts": "-5"}, ["missing_ts"]),
        ({"ts": "0"}, ["ts_out_of_range"]),
        ({"ts": "9" * 19}, ["ts_out_of_range"]),
        ({"ts": "9" * 400}, ["missing_ts"]),
        ({"ev": "Purchase"}, ["missing_ts", *_MISSING]),
        (
            {"ev": "Purchase", "cd[value]": "99999999999999.99999", "cd[currency]": "euro"},
            ["missing_ts", "invalid_value", "invalid_currency", *_MISSING],
        ),
        ({"cd[value]": "Infinity"}, ["missing_ts", "invalid_value"]),
        ({"ud[em]": "nobody", "fbp": "x"}, ["missing_ts", "invalid_em", "invalid_fbp"]),
    ],
)
def test_what_a_browser_cannot_mend_is_stored_and_flagged(
    server: Collector, parameters: dict[str, str], flags: list[str]
) -> None:
    assert 200 == server.hit(dl="https://shop.example/", **parameters).status_code
    assert sorted(flags) == server.new_record()["flags"]


@pytest.mark.parametrize(
    ("method", "parameters", "status", "reason"),
    [
        ("GET", {"id": "1"}, 400, "pixel_unknown"),
        ("GET", {"id": ""}, 400, "pixel_unknown"),
        ("GET", {"id": "1" * 400}, 400, "pixel_unknown"),
        ("GET", {"ev": ""}, 400, "event_name_missing"),
        ("GET", {"ev": "e" * 257}, 400, "invalid_event"),
        ("GET", {"eid": "e" * 1025}, 400, "invalid_event"),
        ("PUT", {}, 405, "method_not_allowed"),
    ],
)
def test_a_refused_hit_says_why(
    server: Collector, method: str, parameters: dict[str, str], status: int, reason: str
) -> None:
    given = {"id": server.pixel.pixel_id, "ev": "PageView", **parameters}
    answer = server.client.request(method, "/tr/", params=given)
    assert (status, reason) == (answer.status_code, refusal_of(answer))
    record = server.new_record()
    assert ("refused", "", "browser", reason) == (
        record["record_type"],
        record["account_id"],
        record["source"],
        record["reason"],
    )
    assert len(answer.request.url.query) == record["size_bytes"]
    server.assert_takes_events()


# --- who the client is ----------------------------------------------------------------------------


def test_forwarding_headers_of_strangers_are_not_believed(server: Collector) -> None:
    server.client.get(
        "/tr/",
        params={"id": server.pixel.pixel_id, "ev": "PageView"},
        headers={"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"},
    )
    assert "127.0.0.1" == server.new_record()["user_data"]["client_ip_address"]


def test_forwarding_headers_of_a_configured_proxy_are_believed(tmp_path: Path) -> None:
    running = Collector(tmp_path, "trusted_proxies=127.0.0.0/8, 192.0.2.0/24")
    try:
        for lines, expected in [
            (["198.51.100.7"], "198.51.100.7"),
            (["203.0.113.66, 198.51.100.7, 192.0.2.1"], "198.51.100.7"),
            (["203.0.113.66", "198.51.100.7"], "198.51.100.7"),
            ([], "127.0.0.1"),
            (["2001:DB8::1"], "2001:db8::1"),
        ]:
            running.client.get(
                "/tr/",
                params={"id": running.pixel.pixel_id, "ev": "PageView"},
                headers=[("x-forwarded-for", line) for line in lines],
            )
            assert expected == running.new_record()["user_data"]["client_ip_address"]
        running.client.get(
            "/tr/",
            params={"id": running.pixel.pixel_id, "ev": "PageView"},
            headers={"x-forwarded-for": "unknown, mary@example.com"},
        )
        assert "client_ip_address" not in running.new_record()["user_data"]
    finally:
        running.close()


# --- /events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v13.0", "v16.0", "v19.0", "v24.0", "v25.0", "v26.0", ""])
def test_every_version_answers_as_the_graph_api_does(server: Collector, version: str) -> None:
    body = body_of(event(event_id="a"), event(event_id="b"))
    answer = server.client.post(
        server.events_path(version), params={"access_token": server.token}, content=body
    )
    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.content.startswith(b'{"events_received":2,"messages":[],"fbtrace_id":"A')
    assert ["a", "b"] == [record["event_id"] for record in server.new_records()]


def _bodies() -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    def events() -> list[dict[str, Any]]:
        return [event(event_id="a"), event(event_id="b")]

    def strings() -> list[str]:
        return [json.dumps(one) for one in events()]

    return [
        ("objects in JSON", lambda: {"json": {"data": events()}}),
        ("strings in JSON", lambda: {"json": {"data": strings()}}),
        ("a string of objects in JSON", lambda: {"json": {"data": json.dumps(events())}}),
        ("a string of strings in JSON", lambda: {"json": {"data": json.dumps(strings())}}),
        ("a form of objects", lambda: {"data": {"data": json.dumps(events())}}),
        ("a form of strings", lambda: {"data": {"data": json.dumps(strings())}}),
        ("multipart of objects", lambda: {"files": {"data": (None, json.dumps(events()))}}),
        ("multipart of strings", lambda: {"files": {"data": (None, json.dumps(strings()))}}),
        ("a file", lambda: {"files": {"data": ("events.json", json.dumps(events()))}}),
    ]


@pytest.mark.parametrize("place", ["query", "header", "body"])
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in _bodies()])
def test_all_forms_of_body_and_token_give_the_same_records(
    server: Collector, make: Callable[[], dict[str, Any]], place: str
) -> None:
    request = make()
    token, code = {"access_token": server.token}, {"test_event_code": "TEST123"}
    if place == "query":
        request["params"] = {**token, **code}
    else:
        if place == "header":
            request["headers"] = {"authorization": f"Bearer {server.token}"}
        given = code if place == "header" else {**token, **code}
        kind = next(iter(request))
        fields = {k: (None, v) for k, v in given.items()} if kind == "files" else given
        request[kind] = {**fields, **request[kind]}
    answer = server.client.post(server.events_path(), **request)
    assert (200, 2) == (answer.status_code, answer.json().get("events_received"))
    records = server.new_records()
    assert [("a", "10.5"), ("b", "10.5")] == [(r["event_id"], r["value"]) for r in records]
    assert [{"test_event_code": "TEST123"}] * 2 == [r["extra"] for r in records]
    assert [{"em": [sha256("mary@example.com")]}] * 2 == [r["user_data"] for r in records]


def test_a_chunked_body_is_read_whole(server: Collector) -> None:
    body = body_of(event(event_id="chunked"))
    answer = server.client.post(
        server.events_path(),
        params={"access_token": server.token},
        content=(body[i : i + 7] for i in range(0, len(body), 7)),
    )
    assert (200, "chunked") == (answer.status_code, server.new_record()["event_id"])


def test_user_data_may_be_scalars_lists_numbers_and_nulls(server: Collector) -> None:
    user_data = {
        "em": [sha256("a@b.example").upper(), "A@B.example ", None, sha256("c@d.example")],
        "ph": 491701234567,
        "external_id": [42, "42", "43"],
        "fn": None,
        "ln": "",
        "ct": [],
        "client_ip_address": "203.0.113.7",
        "lead_id": 1234567890123456,
        "hobby": "chess",
    }
    body = body_of(event(user_data=user_data, event_id=7, custom_data=None, event_name="Lead"))
    assert 200 == server.post(body).status_code
    record = server.new_record()
    expected = {
        "em": sorted([sha256("a@b.example"), sha256("c@d.example")]),
        "ph": [sha256("491701234567")],
        "external_id": sorted([sha256("42"), sha256("43")]),
        "client_ip_address": "203.0.113.7",
        "lead_id": "1234567890123456",
    }
    assert (expected, "7") == (record["user_data"], record["event_id"])
    assert ["unknown_user_data"] == record["flags"]


# --- the rest of the door -------------------------------------------------------------------------


def test_the_pixel_script_is_served_and_cached_by_its_tag(server: Collector) -> None:
    answer = server.client.get("/px.js")
    assert (200, "text/javascript; charset=utf-8") == (
        answer.status_code,
        answer.headers["content-type"],
    )
    assert b"fbq" in answer.content
    again = server.client.get("/px.js", headers={"if-none-match": answer.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)
    other = server.client.get("/px.js", headers={"if-none-match": '"other"'})
    assert 200 == other.status_code
    head = server.client.head("/px.js")
    assert (b"", answer.headers["content-length"]) == (head.content, head.headers["content-length"])


def test_health_and_unknown_paths_are_answered_without_a_worker(server: Collector) -> None:
    assert "starting" == server.client.get("/health").json()["status"]
    answer = server.client.get("/nothing")
    assert (503, "2") == (answer.status_code, answer.headers["retry-after"])
    assert_graph_error(answer.content)
    answer = server.client.get(server.events_path())
    assert (405, "method_not_allowed") == (answer.status_code, refusal_of(answer))


def test_the_collector_loads_no_database_and_no_charts() -> None:
    heavy = ("duckdb", "deltalake", "pyarrow", "vl_convert", "pyspark", "sqlglot", "jinja2")
    code = (
        "import sys, doublet.collect.app, doublet.collect.server\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "[]" == output.strip()


def test_a_nearly_full_disk_is_answered_with_503_and_nothing_is_stored(tmp_path: Path) -> None:
    running = Collector(tmp_path, f"disk_free_bytes_min={1 << 60}")
    try:
        for answer in (running.hit(), running.post(body_of(event())), running.post(b"{")):
            assert_busy(answer)
        assert [] == running.new_records()
    finally:
        running.close()


def test_a_disk_that_refuses_is_answered_with_503_until_it_takes_again(tmp_path: Path) -> None:
    running = Collector(tmp_path)
    try:
        running.assert_takes_events()
        running.limit_file_size(100)
        for answer in (running.hit(), running.post(body_of(event())), running.post(b"{")):
            assert_busy(answer)
        running.limit_file_size(resource.RLIM_INFINITY)
        assert [] == running.new_records()
        running.assert_takes_events()
    finally:
        running.close()
