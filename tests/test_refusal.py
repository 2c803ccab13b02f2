"""Bad input over real sockets: refused with a reason, kept hashed, and no harm to anybody else."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from doublet.log.disk import DiskLog
from doublet.refusal import Reason, Refusal, graph_error
from tests.collector import (
    Collector,
    assert_graph_error,
    body_of,
    event,
    refusal_of,
)
from tests.factories import Pipeline, sha256

# Planted in every place that a client can fill; none of them may ever be found on the disk.
EMAIL = "Planted.Mary@private-mail.example"
PHONE = "+49 170 5551234567"
NAME = "Plantedfirstname"
RAW = (EMAIL, EMAIL.lower(), quote(EMAIL), PHONE, quote(PHONE), "491705551234567", NAME)


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


def test_a_body_compressed_otherwise_is_refused_with_what_to_do(server: Collector) -> None:
    answer = server.post(b"\x28\xb5\x2f\xfd" + bytes(20), **{"content-encoding": "zstd"})
    assert (415, "compressed") == (answer.status_code, refusal_of(answer))
    assert "Content-Encoding" in answer.json()["error"]["error_user_msg"]
    hit = gzip.compress(urlencode({"id": server.pixel.pixel_id, "ev": "A"}).encode())
    answer = server.client.post("/tr/", content=hit, headers={"content-encoding": "gzip"})
    assert 200 == answer.status_code
    assert "A" == server.new_records()[-1]["event_name"]
    server.assert_takes_events()


def test_a_refused_request_is_kept_hashed_for_the_account_that_sent_it(server: Collector) -> None:
    bad = event(
        user_data={"em": EMAIL, "ph": PHONE, "fn": NAME, "nick": NAME},
        custom_data={"currency": "USD", "email": EMAIL, "note": f"call {EMAIL}"},
        event_source_url=f"https://shop.example/?phone={quote(PHONE)}",
    )
    for kind in ("json", "form"):
        body = (
            {"json": {"data": [bad]}} if kind == "json" else {"data": {"data": json.dumps([bad])}}
        )
        answer = server.client.post(
            server.events_path(),
            params={"access_token": server.token},
            **body,
        )
        assert (400, "value_missing") == (answer.status_code, refusal_of(answer))
        assert [["data", "0", "custom_data", "value"]] == (
            answer.json()["error"]["error_data"]["blame_field_specs"]
        )
        record = server.new_record()
        assert (server.account, "value_missing") == (record["account_id"], record["reason"])
        (kept,) = record["payload"]
        assert [sha256(EMAIL.lower())] == kept["user_data"]["em"]
        assert "Purchase" == kept["event_name"]
        text = json.dumps(record)
        assert [] == [value for value in RAW if value in text]


def test_the_token_in_a_body_names_the_account_also_of_bad_events(server: Collector) -> None:
    body = body_of(event(event_name=5), access_token=server.token)
    answer = server.client.post(server.events_path(), content=body)
    assert (400, "invalid_event") == (answer.status_code, refusal_of(answer))
    assert server.account == server.new_record()["account_id"]


# --- bad input ------------------------------------------------------------------------------------

_LONG = 10 * (1 << 20)


def _event_with(extra: str) -> Callable[[], bytes]:
    """A request whose only event has this text among its fields, as exact bytes."""
    return lambda: (
        b'{"data":[{"event_name":"Lead","event_time":%d,"user_data":{"external_id":"7"},%s}]}'
        % (int(time.time()), extra.encode("utf-8", "surrogatepass"))
    )


_BAD_EVENTS: list[tuple[str, Callable[[], bytes], int, str]] = [
    ("nothing", lambda: b"", 400, "malformed_body"),
    ("half of it", lambda: body_of(event())[:-20], 400, "malformed_body"),
    ("no JSON", lambda: b"hello", 400, "malformed_body"),
    ("a list", lambda: b"[]", 400, "invalid_event"),
    ("a number", lambda: b"5", 400, "invalid_event"),
    ("null", lambda: b"null", 400, "invalid_event"),
    ("no data", lambda: b"{}", 400, "no_events"),
    ("null data", lambda: b'{"data":null}', 400, "no_events"),
    ("no events", lambda: b'{"data":[]}', 400, "no_events"),
    ("an object as data", lambda: b'{"data":{}}', 400, "invalid_event"),
    ("text as data", lambda: b'{"data":"hello"}', 400, "malformed_body"),
    ("numbers as events", lambda: b'{"data":[1]}', 400, "invalid_event"),
    ("null as event", lambda: b'{"data":[null]}', 400, "invalid_event"),
    ("text as event", lambda: b'{"data":["hello"]}', 400, "malformed_body"),
    ("1001 events", lambda: body_of(*[event()] * 1001), 400, "too_many_events"),
    ("one bad event of 1000", lambda: body_of(*[event()] * 999, {}), 400, "event_name_missing"),
    ("too large", lambda: body_of(event(custom_data={"x": "y" * _LONG})), 413, "too_large"),
    (
        "one huge event",
        lambda: body_of(event(event_name="Lead", custom_data={"x": "y" * 2**21})),
        413,
        "too_large",
    ),
    ("bytes that grow", lambda: body_of(event(event_source_url="\0" * 2**18)), 413, "too_large"),
    ("bad UTF-8", lambda: body_of(event()).replace(b"Purchase", b"\xff\xfe"), 400, "bad_encoding"),
    ("UTF-8 of a surrogate", _event_with('"event_id":"\ud800"'), 400, "bad_encoding"),
    ("half an escape", _event_with(r'"event_id":"\ud80"'), 400, "malformed_body"),
    ("a raw newline", _event_with('"event_id":"a\nb"'), 400, "malformed_body"),
    ("1000 levels", lambda: b"[" * 1000 + b"]" * 1000, 400, "invalid_event"),
    ("1000 open levels", lambda: b'{"data":' * 1000, 400, "invalid_event"),
    (
        "1000 levels of custom data",
        _event_with('"custom_data":' + '{"a":' * 1000 + "1" + "}" * 1000),
        400,
        "too_deep",
    ),
    ("NaN", _event_with('"custom_data":{"value":NaN}'), 400, "malformed_body"),
    ("Infinity", _event_with('"custom_data":{"value":-Infinity}'), 400, "malformed_body"),
    ("1e400", _event_with('"custom_data":{"value":1e400}'), 400, "invalid_event"),
    ("5000 digits", _event_with('"custom_data":{"x":%s}' % ("9" * 5000)), 400, "invalid_event"),
    ("time as text", _event_with('"event_time":"now"'), 400, "invalid_event"),
    ("no time", _event_with('"event_time":null'), 400, "invalid_event"),
    ("time before 1970", _event_with('"event_time":-1'), 400, "event_too_old"),
    ("time beyond int64", _event_with('"event_time":' + "9" * 30), 400, "event_in_future"),
    ("milliseconds", _event_with('"event_time":1780000000000'), 400, "event_in_future"),
    ("no user data", _event_with('"user_data":null'), 400, "user_data_missing"),
    ("empty user data", _event_with('"user_data":{}'), 400, "user_data_insufficient"),
    ("a list as user data", _event_with('"user_data":[]'), 400, "invalid_event"),
    ("an unknown field", _event_with(f'"{EMAIL}":1'), 400, "invalid_event"),
    ("no name", _event_with('"event_name":""'), 400, "event_name_missing"),
    ("a blank name", _event_with('"event_name":" \\n "'), 400, "event_name_missing"),
    ("a long name", _event_with('"event_name":"%s"' % ("é" * 257)), 400, "invalid_event"),
    ("a long id", _event_with('"event_id":"%s"' % ("9" * 1025)), 400, "invalid_event"),
]


@pytest.mark.parametrize(
    ("make", "status", "reason"), [pytest.param(*case, id=name) for name, *case in _BAD_EVENTS]
)
def test_bad_events_are_refused_with_a_reason_and_disturb_nobody(
    server: Collector, make: Callable[[], bytes], status: int, reason: str
) -> None:
    body = make()
    answer = server.post(body)
    assert (status, reason) == (answer.status_code, refusal_of(answer)), answer.text
    record = server.new_record()
    assert ("refused", reason, server.pixel.pixel_id) == (
        record["record_type"],
        record["reason"],
        record["pixel_id"],
    )
    if len(body) <= server.settings.body_size_bytes_max:
        assert (server.account, len(body)) == (record["account_id"], record["size_bytes"])
    assert EMAIL not in answer.text
    server.assert_takes_events()


_ODD_EVENTS = [
    ("NUL everywhere", {"event_id": "a\0b", "event_source_url": "https://a.example/\0"}),
    ("NUL in names", {"event_name": "\0", "action_source": "\0", "custom_data": {"\0": "\0"}}),
    ("NUL in user data", {"user_data": {"external_id": "a\0", "client_user_agent": "\0"}}),
    ("newlines", {"event_name": 'A\n{"crc32":1,"next_offset":0}\n', "event_id": "\n\r\u2028"}),
    ("a record as id", {"event_id": '\n{"log_offset":0,"record_type":"event"}'}),
    ("a record as data", {"custom_data": {"record_type": "refused", "log_offset": -1}}),
    ("the largest value", {"custom_data": {"value": "99999999999999.9999", "currency": "USD"}}),
    ("the smallest value", {"custom_data": {"value": "1e-9999999", "currency": "USD"}}),
    ("a negative value", {"custom_data": {"value": "-99999999999999.9999", "currency": "USD"}}),
    ("many decimals", {"custom_data": {"value": 1.23456789012345, "currency": "USD"}}),
    ("a huge integer", {"custom_data": {"value": 1, "currency": "USD", "x": 10**400}}),
    ("a huge float", {"custom_data": {"value": 1, "currency": "USD", "x": 1.7e308}}),
    ("dots", {"custom_data": {"value": 1, "currency": "USD", "a.b": {"$.c": 1, "": [[]]}}}),
    ("case", {"custom_data": {"value": 1, "currency": "USD", "Value": 2, "VALUE": "3"}}),
    ("emoji", {"event_name": "🛒" * 256, "event_id": "\U0010ffff\ufdd0"}),
    ("an object as order id", {"custom_data": {"value": 1, "currency": "USD", "order_id": [{}]}}),
    ("many unknown keys", {"user_data": {"em": EMAIL, **{f"k{n}": 1 for n in range(3000)}}}),
    ("many values", {"user_data": {"external_id": list(range(100_000))}}),
    ("300 levels", {"custom_data": {"value": 1, "currency": "USD", "contents": None}}),
]


@pytest.mark.parametrize("fields", [pytest.param(fields, id=name) for name, fields in _ODD_EVENTS])
def test_odd_events_are_taken(server: Collector, fields: dict[str, Any], request: Any) -> None:
    odd = event(**{"event_name": "Lead", **fields})
    if request.node.callspec.id == "300 levels":
        odd["custom_data"]["contents"] = json.loads("[" * 300 + "]" * 300)
    began_at = time.monotonic()
    answer = server.post(body_of(odd))
    assert 200 == answer.status_code, answer.text
    assert time.monotonic() - began_at < 2
    assert odd["event_name"] == server.new_record()["event_name"]
    server.assert_takes_events()


def test_of_duplicate_keys_the_last_counts(server: Collector) -> None:
    assert 200 == server.post(_event_with('"event_id":"a","event_id":"b"')()).status_code
    assert "b" == server.new_record()["event_id"]


_FORM = "application/x-www-form-urlencoded"
_BAD_HITS = [
    ("bad UTF-8 in the query", "ev=%ff%fe&id={id}", None, "", 400),
    ("a surrogate in the query", "ev=%ed%a0%80&id={id}", None, "", 400),
    ("bad UTF-8 in a form", "", b"id={id}&ev=\xff\xfe", _FORM, 400),
    ("nothing", "", b"", _FORM, 400),
    ("multipart without boundary", "", b"--x\r\n", "multipart/form-data", 400),
    ("multipart that is none", "", b"hello", "multipart/form-data; boundary=x", 400),
    ("multipart cut short", "", b"--x\r\nContent-Disp", "multipart/form-data; boundary=x", 400),
    ("10 MB of parameters", "", b"id={id}&ev=A&" + b"a=b&" * (_LONG // 4), _FORM, 413),
    ("one huge value", "", b"id={id}&ev=A&cd[x]=" + b"y" * 2**21, _FORM, 413),
]


@pytest.mark.parametrize(
    ("query", "body", "content_type", "status"),
    [pytest.param(*case, id=name) for name, *case in _BAD_HITS],
)
def test_bad_hits_are_refused_with_a_reason_and_disturb_nobody(
    server: Collector, query: str, body: bytes | None, content_type: str, status: int
) -> None:
    path = f"/tr/?{query}".replace("{id}", server.pixel.pixel_id)
    if body is None:
        answer = server.client.get(path)
    else:
        body = body.replace(b"{id}", server.pixel.pixel_id.encode())
        answer = server.client.post(path, content=body, headers={"content-type": content_type})
    assert status == answer.status_code, answer.text
    assert refusal_of(answer) == server.new_record()["reason"]
    server.assert_takes_events()


_NUL_PART = "--x\r\nContent-Disposition: form-data; name={}\r\n\r\n\0\r\n"
_ODD_HITS = [
    ("invalid escapes", "cd[a]=%zz%4&cd[%]=1&%=%", None),
    ("NUL everywhere", "eid=%00&dl=%00&rl=%00&cd[%00]=%00&ud[em]=%00&fbp=%00&sw=%00", None),
    ("dots and brackets", "cd[a.b]=1&cd[a][b]=2&cd[]=3&cd[=4&cd]=5&[]=6&ud[]=7", None),
    ("1000 levels", "cd[contents]=" + "[" * 1000 + "]" * 1000, None),
    ("1000 open levels", "cd[contents]=" + '{"a":' * 1000, None),
    ("half an emoji in JSON", r'cd[contents]=[{"title":"\ud83d"}]', None),
    ("1e400 in JSON", "cd[contents]=[1e400]&cd[value]=1e400", None),
    ("several ids", "eid=1&eid=2&eid[]=3", None),
    ("many parameters", "", b"&".join(b"cd[k%d]=1" % n for n in range(1_900))),
    ("no names", "=&=&&&=1", None),
]


@pytest.mark.parametrize(
    ("query", "body"), [pytest.param(*case, id=name) for name, *case in _ODD_HITS]
)
def test_odd_hits_are_taken(server: Collector, query: str, body: bytes | None) -> None:
    path = f"/tr/?id={server.pixel.pixel_id}&ev=Odd&{query}"
    if body is None:
        answer = server.client.get(path)
    else:
        answer = server.client.post(path, content=body, headers={"content-type": _FORM})
    assert (200, "Odd") == (answer.status_code, server.new_record()["event_name"]), answer.text
    server.assert_takes_events()


def test_more_parameters_than_any_event_has_are_refused(server: Collector) -> None:
    body = b"&".join(b"cd[k%d]=1" % n for n in range(20_000))
    path = f"/tr/?id={server.pixel.pixel_id}&ev=Odd"
    answer = server.client.post(path, content=body, headers={"content-type": _FORM})
    assert (400, "malformed_body") == (answer.status_code, answer.headers["x-doublet-refused"])
    assert "2000 parameters" in answer.json()["error"]["error_user_msg"]
    server.assert_takes_events()


def test_headers_that_are_not_text_do_not_matter(server: Collector) -> None:
    request = b"GET /tr/?id=%s&ev=A HTTP/1.1\r\nhost: a\r\nuser-agent: \xff\xfe\xe4\r\n"
    request += b"referer: \xff\x80://\r\nx-forwarded-for: \xff\r\nconnection: close\r\n\r\n"
    status, _ = server.raw(request % server.pixel.pixel_id.encode())
    assert (200, "\ufffd" * 3) == (status, server.new_record()["user_data"]["client_user_agent"])


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /tr/?id=1&ev=A HTTP/1.1\r\nhost: a\r\n" + "x: y\r\n" * 5000 + "\r\n",
        "GET /tr/?id=1&ev=A HTTP/1.1\r\nhost: a\r\nx: " + "y" * (1 << 20) + "\r\n\r\n",
        "GET /tr/?" + "a" * (10 << 20) + " HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /tr/\0 HTTP/1.1\r\nhost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "POST /tr/ HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        "POST /tr/ HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n123456",
        "POST /tr/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "GET /%ff%fe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "POST /v25.0/%d9%a1/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    ],
    ids=lambda text: text[:24] + text[-24:],
)
def test_bad_http_is_no_trouble_for_others(server: Collector, request_text: str) -> None:
    try:
        status, _ = server.raw(request_text.encode())
    except OSError:
        status = 0
    assert status in (0, 400, 401, 404, 405, 413, 414, 431, 503)
    server.assert_takes_events()


@pytest.mark.parametrize("framing", ["content-length: 500", "transfer-encoding: chunked"])
@pytest.mark.parametrize("path", ["/tr/", "events"])
def test_a_body_that_breaks_off_is_never_an_event(
    server: Collector, path: str, framing: str
) -> None:
    if path == "/tr/":
        content = f"id={server.pixel.pixel_id}&ev=Purchase&cd[value]=10"
    else:
        path = f"{server.events_path()}?access_token={server.token}"
        content = body_of(event()).decode()
    if "chunked" in framing:
        content = f"{len(content):x}\r\n{content}\r\n"
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {_FORM}\r\n{framing}\r\n\r\n"
    for half_close in (True, False):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall((head + content).encode())
            if half_close:
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)
    server.client.get("/health")
    time_of_last = time.monotonic()
    stored: list[dict[str, Any]] = []
    while time.monotonic() < time_of_last + 0.3:
        stored += server.new_records()
        time.sleep(0.02)
    assert [] == [record for record in stored if record["record_type"] == "event"]
    server.assert_takes_events()


def test_a_slowly_sent_body_holds_up_nobody(server: Collector) -> None:
    content = f"id={server.pixel.pixel_id}&ev=Slow".encode()
    head = f"POST /tr/ HTTP/1.1\r\nhost: a\r\ncontent-length: {len(content)}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"{head}content-type: {_FORM}\r\n\r\n".encode())
        for byte in content:
            connection.sendall(bytes([byte]))
            if byte % 8 == 0:
                assert 200 == server.hit().status_code
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert 200 == answer.status
    assert "Slow" == server.new_records()[-1]["event_name"]


# --- what is on the disk --------------------------------------------------------------------------


def test_no_raw_personal_value_is_stored_and_everything_loads(
    server: Collector, tmp_path: Path
) -> None:
    texts: dict[str, Any] = {
        "plain": EMAIL,
        "url": f"https://shop.example/?email={quote(EMAIL)}&phone={quote(PHONE)}",
        "json": json.dumps({"phone": PHONE, "firstname": NAME, "x": EMAIL}),
        "loose json": json.dumps([{"phone": PHONE}], indent=1).replace('":', '" :'),
        "twice": quote(quote(EMAIL)),
        "tree": [[{"phone": PHONE, "x": [EMAIL]}]],
        "object": {"id": {"first_name": NAME}},
    }
    for text in texts.values():
        for name in ("contents", "search_string", "order_id", "content_ids", "content_name", "x"):
            for value in (text, [text], [{"id": text}]):
                server.post(
                    body_of(
                        event(
                            user_data={"em": EMAIL, "ph": [PHONE], "fn": NAME, "madid": EMAIL},
                            custom_data={"value": 1, "currency": "USD", name: value},
                            event_id=EMAIL,
                            event_name=f"Lead {EMAIL}",
                            action_source=EMAIL,
                            event_source_url=texts["url"],
                            referrer_url=texts["url"],
                            app_data={"email": EMAIL, "x": value},
                        )
                    )
                )
        flat = text if isinstance(text, str) else json.dumps(text)
        hit: dict[str, str] = {
            "ev": EMAIL,
            "eid": EMAIL,
            "dl": texts["url"],
            "rl": texts["url"],
            "cd[x]": flat,
            "cd[contents]": flat,
            "cd[phone]": PHONE,
            f"cd[{EMAIL}]": "1",
            "ud[em]": EMAIL,
            "ud[fn]": NAME,
            "ud[nick]": NAME,
            "fbc": f"fb.1.1780000000000.{EMAIL.replace('.', '__DOT__')}",
            "fbp": EMAIL,
            **dict.fromkeys(("sw", "a", "v", "tz", "nobody", "aud[em]"), EMAIL),
        }
        server.hit(**hit)
        server.client.post(
            "/tr/",
            data={"id": server.pixel.pixel_id, **hit},
            headers={"user-agent": EMAIL, "referer": texts["url"]},
        )
        server.post(body_of({"event_name": "Lead", "nickname": NAME, "user_data": {"em": EMAIL}}))
        server.client.post(f"/v1.0/1/events?access_token={EMAIL}", content=body_of(EMAIL))
    stored = _load_all(server, tmp_path)
    for raw in RAW:
        assert [] == [text[:2000] for text in stored if raw in text]
        code = base64.b64encode(raw.encode()).decode().rstrip("=")
        assert [] == [text[:2000] for text in stored if code in text]


def _load_all(server: Collector, folder: Path) -> list[str]:
    """Load all that this module has stored into a lake, check the counts; all texts on disk."""
    log = DiskLog(server.settings.log_folder)
    server._positions.clear()
    records = server.new_records()
    by_type = {
        kind: sum(record["record_type"] == kind for record in records)
        for kind in ("event", "refused")
    }
    pipeline = Pipeline(folder)
    try:
        loaded = 0
        while rows := pipeline.lake.load(log, 1 << 20).rows:
            loaded += rows
        tables = {"event": pipeline.lake.events, "refused": pipeline.lake.refused}
        texts = [path.read_bytes().decode("latin-1") for path in _files(server.folder, folder)]
        for kind, table in tables.items():
            files = table.read_sql([file.path for file in table.files()])
            rows_of = pipeline.engine.query(f"select cast(r as json) as row from {files} as r")
            assert by_type[kind] == len(rows_of)
            texts += [row["row"] for row in rows_of]
        assert len(records) == loaded
        assert by_type["event"] == pipeline.refresh().copies
        return texts
    finally:
        pipeline.close()


def _files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


# --- the table of reasons --------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.label)
def test_every_reason_has_a_graph_error_and_a_hint(reason: Reason) -> None:
    content = graph_error(Refusal(reason, "What is wrong.", "data.0.user_data.em"), "A" + "b" * 22)
    assert_graph_error(content)
    error = json.loads(content)["error"]
    assert list(error) == [name for name in _ERROR_KEYS if name in error]
    assert reason.row.hint.endswith(".")
    assert f"What is wrong. {reason.row.hint}" == error["error_user_msg"]
    assert [["data", "0", "user_data", "em"]] == error["error_data"]["blame_field_specs"]
    assert (reason.row.http_status >= 500) == error.get("is_transient", False)
    assert ("error_subcode" in error) == (reason.row.subcode is not None)


_ERROR_KEYS = (
    "message type code error_subcode is_transient error_user_title error_user_msg error_data "
    "fbtrace_id"
).split()
