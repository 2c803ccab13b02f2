"""`doublet check`: every finding of a payload, nothing of it stored or shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doublet.accept import Arrival, Check, accept_events, check_payload, read_request
from doublet.event import EventsRequest
from doublet.refusal import Refusal
from tests.collector import Collector
from tests.dashboard import Site
from tests.factories import make_event, sha256

NOW = 1_780_000_000
GOOD: dict[str, Any] = {
    "event_name": "Purchase",
    "event_time": NOW - 60,
    "event_id": "order-1",
    "action_source": "website",
    "event_source_url": "https://shop.example/thanks",
    "user_data": {
        "em": "jo@example.com",
        "ph": sha256("15550100"),
        "fbp": "fb.1.1780000000000.123456789",
    },
    "custom_data": {"value": 12.5, "currency": "EUR"},
}


def check_event(**changes: Any) -> Check:
    """The check of one event."""
    event = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return check_payload(json.dumps(event).encode(), NOW * 1_000_000)


def codes(checked: Check, severity: str = "error") -> list[tuple[str, str]]:
    """Code and field of each finding of the first event."""
    found = checked.events[0].findings
    return [(finding.code, finding.field) for finding in found if finding.severity == severity]


def test_all_faults_of_an_event_are_found_at_once() -> None:
    checked = check_event(
        event_name="",
        event_time=(NOW - 8 * 86_400),
        user_data={"country": "de"},
        opt_out="perhaps",
        nickname="Jo",
    )
    assert {
        ("invalid_event", "nickname"),
        ("invalid_event", "opt_out"),
        ("event_name_missing", "event_name"),
        ("event_too_old", "event_time"),
        ("user_data_insufficient", "user_data"),
    } == set(codes(checked))
    assert 5 == checked.errors


def test_a_purchase_without_value_and_currency_has_two_findings() -> None:
    checked = check_event(custom_data={"order_id": "7"})
    found = [(f.error_code, f.error_subcode) for f in checked.events[0].findings]
    assert [(100, 2804009), (100, 2804010)] == found
    assert ["event_id", "order_id", "fbp"] == checked.events[0].dedup_keys


def test_user_data_is_told_by_key_and_never_by_value() -> None:
    user_data = {**GOOD["user_data"], "zp": "", "fbc": "nonsense", "jo@example.com": "Jo Doe"}
    checked = check_event(user_data=user_data)
    told = checked.events[0].user_data
    assert ("will be hashed", "hashed already") == (told["em"], told["ph"])
    assert ("unusable", "dropped") == (told["fbc"], told["a field"])
    shown = msgspec.json.encode(checked)
    assert not any(value in shown for value in (b"jo@example", b"Jo Doe", b"nonsense"))
    assert ("invalid_fbc", "user_data.fbc") in codes(checked, "warning")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"event_time": NOW * 1000},
        {"event_time": None},
        {"user_data": None},
        {"custom_data": {"value": 1}},
        {"custom_data": "none"},
        {"event_id": "x" * 2000},
        {"nickname": "Jo"},
        {"action_source": "carrier pigeon"},
    ],
)
def test_the_check_refuses_exactly_what_the_door_refuses(changes: dict[str, Any]) -> None:
    event = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    request = read_request(json.dumps({"data": [event]}).encode())
    arrival = Arrival("a", "1", "server", NOW * 1_000_000, 0)
    answer = accept_events(request, arrival) if isinstance(request, EventsRequest) else request
    checked = check_event(**changes)
    assert isinstance(answer, Refusal) == bool(checked.errors)
    if isinstance(answer, Refusal):
        assert [answer.reason.label] == [code for code, _ in codes(checked)]


def test_bodies_arrays_single_events_and_lines_are_read() -> None:
    event = json.dumps(GOOD)
    forms = (
        json.dumps({"data": [GOOD, GOOD]}),
        json.dumps({"data": [event, event]}),
        json.dumps({"data": json.dumps([GOOD, GOOD])}),
        f"[{event},{event}]",
        f"{event}\n\n{event}\n",
        # An emoji that was cut in two, as JavaScript writes it.
        f'[{event},{event[:-1]},"event_source_url":"https://shop.example/\\ud83d"}}]',
    )
    for form in forms:
        checked = check_payload(form.encode(), NOW * 1_000_000)
        assert (2, 0) == (len(checked.events), checked.errors), form
    for form in ("", "{", "3", '{"data": 3}', "[]", '"\\ud800"', "[" * 5000):
        assert check_payload(form.encode(), NOW * 1_000_000).errors == 1, form


def test_half_an_emoji_is_no_fault() -> None:
    event = json.dumps({**GOOD, "custom_data": {**GOOD["custom_data"], "content_name": "\ud83d"}})
    for form in (
        event,
        json.dumps([event]),
        json.dumps({"data": f"[{event}]"}),
        f"{event}\n{event}",
    ):
        assert 0 == check_payload(form.encode(), NOW * 1_000_000).errors, form


def test_an_event_of_nothing_but_unknown_keys_has_a_hundred_findings_of_them() -> None:
    checked = check_event(**{f"key{number}": 1 for number in range(5000)})
    assert 100 == checked.errors


@pytest.mark.parametrize("value", [5, None, "TEST1", ["TEST1"]])
def test_what_stands_beside_the_events_is_checked_too(value: Any) -> None:
    body = json.dumps({"data": [GOOD], "test_event_code": value, "upload_tag": 7}).encode()
    is_refused = isinstance(read_request(body), Refusal)
    found = check_payload(body, NOW * 1_000_000).findings
    expected = [("invalid_event", "test_event_code")] if is_refused else []
    assert expected == [(finding.code, finding.field) for finding in found]


def test_milliseconds_are_recognised() -> None:
    (finding,) = check_event(event_time=NOW * 1000).events[0].findings
    assert "milliseconds" in finding.message


def run(
    payload: bytes, folder: Path, *arguments: str, token: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """A command, reading standard input."""
    return subprocess.run(
        [sys.executable, "-m", "doublet", *arguments],
        cwd=folder,
        env={**os.environ, "DOUBLET_ACCESS_TOKEN": token} if token else None,
        input=payload,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_the_command_says_what_is_wrong_and_stores_nothing(tmp_path: Path) -> None:
    payload = json.dumps({"data": [{**GOOD, "event_time": 1, "user_data": {"em": "jo@x.example"}}]})
    result = run(payload.encode(), tmp_path, "check", "-")
    assert 4 == result.returncode
    assert b"event_too_old (100/2804003)" in result.stdout
    assert b"jo@x" not in result.stdout + result.stderr
    assert [] == list(tmp_path.iterdir())
    as_json = json.loads(run(payload.encode(), tmp_path, "check", "-", "--json").stdout)
    assert (1, "Purchase") == (as_json["errors"], as_json["events"][0]["event_name"])


def test_a_payload_is_sent_in_requests_of_a_thousand(tmp_path: Path) -> None:
    server = Collector(tmp_path)
    lines = "\n".join(
        json.dumps(make_event(event_id=f"e{number}", event_time=int(time.time())))
        for number in range(1002)
    )
    url = f"http://127.0.0.1:{server.port}"
    send = ("send", "-", "--pixel", server.pixel.pixel_id, "--url", url, "--json")
    done = run(lines.encode(), tmp_path, *send, token=server.token)
    assert 0 == done.returncode, done.stderr
    assert [1000, 2] == [answer["events_received"] for answer in json.loads(done.stdout)]
    assert 1002 == len({record["event_id"] for record in server.new_records()})
    bad = run(b'{"event_name": "Lead"}', tmp_path, *send[:-1], token=server.token)
    assert (4, b"100/2804019" in bad.stderr) == (bad.returncode, True), bad.stderr
    assert 3 == run(lines.encode(), tmp_path, *send[:-1]).returncode
    server.close()
    assert 5 == run(lines.encode(), tmp_path, *send, token=server.token).returncode


def test_a_payload_is_checked_over_http(tmp_path: Path) -> None:
    site = Site(tmp_path)
    payload = json.dumps({"data": [GOOD]}).encode()
    answer = site.client.post("/v1/check", content=payload, headers=site.ours.headers)
    assert 200 == answer.status_code, answer.text
    found = answer.json()
    assert (1, "event_too_old") == (found["errors"], found["events"][0]["findings"][0]["code"])
    assert b"jo@example" not in answer.content
    assert 401 == site.client.post("/v1/check", content=payload).status_code
    large = site.client.post("/v1/check", content=bytes(9 << 20), headers=site.ours.headers)
    assert (413, "close") == (large.status_code, large.headers["connection"])
    many = site.client.post("/v1/check", content=b"{}\n" * 200_000, headers=site.ours.headers)
    (finding,) = many.json()["findings"]
    assert ("too_many_events", 1000) == (finding["code"], len(many.json()["events"]))
    site.close()
