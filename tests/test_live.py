"""The live feed: what has just arrived, before it is loaded, for whoever may see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.catalog import Catalog
from doublet.live.feed import LISTENERS_MAX
from doublet.log.disk import DiskLog
from tests.factories import make_event, sha256
from tests.server import RunningServer, wait_for

PLANTED = ("planted@example.com", "+49 170 7654321", "203.0.113.77", "fb.1.1700000000000.987654321")
USER_DATA = dict(zip(("em", "ph", "client_ip_address", "fbp"), PLANTED, strict=True))
PATIENCE_S = 20.0


class Stream:
    """The events of one open stream, as they come; `text` is every byte that came."""

    def __init__(self, answer: httpx.Response) -> None:
        assert 200 == answer.status_code, answer.read()
        self._lines = answer.iter_lines()
        self.text = ""
        self.last_id = ""

    def _block(self) -> tuple[str, str]:
        event_id = content = ""
        for line in self._lines:
            self.text += line + "\n"
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = self.last_id = value
            elif name == "data":
                content = value
            elif not line:
                return event_id, content
        raise EOFError("the stream has ended")

    def next(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of these kinds."""
        give_up_at = time.monotonic() + 3 * PATIENCE_S
        while True:
            assert time.monotonic() < give_up_at, f"none of {kinds} has come"
            _, content = self._block()
            told: dict[str, Any] = json.loads(content or "{}")
            if told.get("kind") in kinds:
                return told

    def skip_remembered(self) -> None:
        """From here on nothing is missed: an id without content follows what is remembered."""
        event_id, content = self._block()
        while content or not event_id:
            event_id, content = self._block()

    def skip_all(self) -> None:
        """To the end of the stream."""
        self.next()


@contextmanager
def listen(
    server: RunningServer, last_id: str = "", token: str = "", **asked: str
) -> Iterator[Stream]:
    """A stream of the server, by default with the token of its account."""
    headers = {"authorization": f"Bearer {token or server.access_token}"}
    if last_id:
        headers["last-event-id"] = last_id
    url = f"{server.url}/v1/test_events"
    with httpx.stream("GET", url, params=asked, headers=headers, timeout=PATIENCE_S) as answer:
        yield Stream(answer)


def send(server: RunningServer, code: str | None = None, **fields: Any) -> httpx.Response:
    """One event through the Conversions API."""
    fields = {"event_time": int(time.time()), "user_data": USER_DATA, **fields}
    body: dict[str, Any] = {"data": [make_event(**fields)]}
    if code is not None:
        body["test_event_code"] = code
    url = f"{server.url}/v25.0/{server.pixel_id}/events"
    return httpx.post(url, json=body, headers=server.headers, timeout=PATIENCE_S)


def hit(server: RunningServer, **parameters: str) -> None:
    """One hit of the pixel."""
    asked = {"id": server.pixel_id, "ts": str(time.time_ns() // 10**6), **parameters}
    answer = httpx.get(f"{server.url}/tr/", params=asked, timeout=PATIENCE_S)
    assert 200 == answer.status_code, answer.text


def kill_worker(server: RunningServer) -> None:
    """End the worker at once; the supervisor starts another."""
    for pid in server.pids():
        if "work" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("live")) as made:
        yield made


# --- what arrives ----------------------------------------------------------------------------


def test_an_event_with_a_code_is_shown_within_a_second_of_its_answer(server: RunningServer) -> None:
    with listen(server, code="FAST") as stream:
        stream.skip_remembered()
        assert 200 == send(server, "FAST", event_id="fast.1").status_code
        answered = time.monotonic()
        row = stream.next("event")
        assert time.monotonic() - answered < 1.0
    assert ("server", "Purchase", "fast.1", "FAST", "website") == (
        row["source"],
        row["event_name"],
        row["event_id"],
        row["test_event_code"],
        row["action_source"],
    )
    assert sorted(USER_DATA) == row["user_data_keys"]
    assert {"value": 10.5, "currency": "USD"} == row["custom_data"]
    assert "https://shop.example/thanks" == row["event_source_url"]


def test_the_code_is_read_from_body_query_and_hit(server: RunningServer) -> None:
    event = make_event(event_time=int(time.time()), event_id="door.2")
    url = f"{server.url}/v25.0/{server.pixel_id}/events"
    with listen(server, code="DOORS") as stream:
        stream.skip_remembered()
        send(server, "DOORS", event_id="door.1")
        asked = {"test_event_code": "DOORS", "access_token": server.access_token}
        assert 200 == httpx.post(url, json={"data": [event]}, params=asked).status_code
        hit(server, ev="Purchase", eid="door.3", test_event_code="DOORS")
        rows = [stream.next("event") for _ in range(3)]
    assert [("server", "door.1"), ("server", "door.2"), ("browser", "door.3")] == sorted(
        ((row["source"], row["event_id"]) for row in rows), key=lambda pair: pair[1]
    )


def test_events_without_a_code_are_shown_with_all_only(server: RunningServer) -> None:
    with listen(server, pixel=server.pixel_id) as coded, listen(server, all="1") as everything:
        coded.skip_remembered()
        everything.skip_remembered()
        send(server, event_id="plain.1")
        send(server, "WITH", event_id="coded.1")
        assert "coded.1" == coded.next("event")["event_id"]
        seen = {everything.next("event")["event_id"] for _ in range(2)}
        assert {"plain.1", "coded.1"} == seen


def test_events_with_a_code_count_like_all_others(server: RunningServer) -> None:
    send(server, "COUNT", event_name="Subscribe", event_id="count.1")
    rows = wait_for(lambda: "Subscribe" in (found := server.overview()) and found, PATIENCE_S)
    assert rows
    assert 1 == rows["Subscribe"]["events"]


def test_the_second_copy_is_told_to_be_deduplicated(server: RunningServer) -> None:
    with listen(server, code="TWICE") as stream:
        stream.skip_remembered()
        hit(server, ev="Purchase", eid="twice.1", test_event_code="TWICE")
        first = stream.next("event")
        assert "processed" == stream.next("status")["status"]
        send(server, "TWICE", event_id="twice.1")
        second = stream.next("event")
        status = stream.next("status")
    assert (second["log_slot"], second["log_offset"]) == (status["log_slot"], status["log_offset"])
    assert ("deduplicated", "event_id") == (status["status"], status["rule"])
    kept = {"source": "browser", "log_slot": first["log_slot"], "log_offset": first["log_offset"]}
    assert kept == status["kept"]
    assert "the same pixel, name and event id" in status["says"]


def test_a_first_copy_changes_its_status_when_the_browsers_is_preferred(
    server: RunningServer,
) -> None:
    with listen(server, code="LATER") as stream:
        stream.skip_remembered()
        send(server, "LATER", event_id="later.1")
        first = stream.next("event")
        assert "processed" == stream.next("status")["status"]
        hit(server, ev="Purchase", eid="later.1", test_event_code="LATER")
        told: dict[tuple[int, int], dict[str, Any]] = {}
        while len(told) < 2:
            status = stream.next("status")
            told[status["log_slot"], status["log_offset"]] = status
    status = told[first["log_slot"], first["log_offset"]]
    assert ("deduplicated", "event_id", "browser") == (
        status["status"],
        status["rule"],
        status["kept"]["source"],
    )


def test_refused_requests_are_shown_with_reason_and_fix(server: RunningServer) -> None:
    with listen(server, code="NONE", pixel=server.pixel_id) as stream:
        stream.skip_remembered()
        assert 400 == send(server, event_time=5).status_code
        row = stream.next("refused")
        assert "event_too_old" == row["reason"]
        assert "within 7 days" in row["fix"]
        # A wrong token proves no account, but its sender looks at the pixel's events.
        url = f"{server.url}/v25.0/{server.pixel_id}/events"
        assert 401 == httpx.post(f"{url}?access_token=wrong", json={"data": []}).status_code
        assert "token_invalid" == stream.next("refused")["reason"]


def test_flags_are_told_in_words_with_the_fix(server: RunningServer) -> None:
    with listen(server, code="ODD") as stream:
        stream.skip_remembered()
        send(server, "ODD", action_source=None, user_data={**USER_DATA, "em": sha256("null")})
        advice = {entry["flag"]: entry for entry in stream.next("event")["warnings"]}
    assert {"dud_em", "missing_action_source"} == advice.keys()
    assert "Leave em out when there is none." == advice["dud_em"]["fix"]


def test_a_page_opened_late_sees_what_came_before(server: RunningServer) -> None:
    send(server, "BEFORE", event_id="before.1")
    with listen(server, code="BEFORE") as stream:
        assert "before.1" == stream.next("event")["event_id"]


# --- who may see what ------------------------------------------------------------------------


def test_no_value_of_user_data_is_in_any_byte_of_the_feed(server: RunningServer) -> None:
    page = f"https://shop.example/?email={PLANTED[0]}&phone={PLANTED[1]}"
    with listen(server, code="SECRET") as stream:
        stream.skip_remembered()
        send(server, "SECRET", event_source_url=page, event_id="secret.1")
        send(server, "SECRET", event_source_url=page, event_time=5)
        # Which comes first depends on the collectors that took them, and how soon they are loaded.
        seen: dict[str, dict[str, Any]] = {}
        while seen.keys() != {"event", "refused", "status"}:
            told = stream.next("event", "refused", "status")
            seen[told["kind"]] = told
        assert "_removed_" in seen["event"]["event_source_url"]
    digests = {
        value
        for record in _records(server)
        for values in (record.get("user_data") or {}).values()
        for value in (values if isinstance(values, list) else [values])
    }
    pages = [
        httpx.get(f"{server.url}/{name}?code=SECRET", headers=server.headers, timeout=30).text
        for name in ("test_events", "test_events.json")
    ]
    assert all("secret.1" in text for text in [stream.text, *pages])
    for value in {*PLANTED, *digests}:
        assert not any(value in text for text in [stream.text, *pages])
    assert len(digests) >= 4


def _records(server: RunningServer) -> list[dict[str, Any]]:
    log = DiskLog(server.settings.log_folder)
    chunks = [log.read(slot, 0, 64 << 20) for slot in log.partitions()]
    lines = [line for chunk in chunks if chunk for line in chunk.lines.splitlines()]
    return [record for record in map(json.loads, lines) if record.get("record_type") == "event"]


def test_only_the_accounts_own_events_are_shown(server: RunningServer) -> None:
    catalog = Catalog(server.settings.catalog_url)
    other = catalog.create_account("Other shop")
    pixel, token = catalog.create_pixel(other.account_id, "Other shop")
    catalog.close()
    with listen(server, token=token, all="1") as theirs:
        theirs.skip_remembered()
        send(server, "OURS", event_id="ours.1")
        assert 400 == send(server, "OURS", event_time=5).status_code
        url = f"{server.url}/v25.0/{pixel.pixel_id}/events"
        body = {"data": [make_event(event_time=int(time.time()), event_id="theirs.1")]}

        def is_known() -> bool:
            return httpx.post(url, json=body, params={"access_token": token}).status_code == 200

        wait_for(is_known, PATIENCE_S)
        assert "theirs.1" == theirs.next("event")["event_id"]
    assert "ours.1" not in theirs.text
    foreign = {"authorization": f"Bearer {token}"}
    asked = {"pixel": server.pixel_id}
    answer = httpx.get(f"{server.url}/v1/test_events", params=asked, headers=foreign)
    assert "pixel_unknown" == answer.headers["x-doublet-refused"]
    asked = {"account": server.account_id}
    answer = httpx.get(f"{server.url}/v1/test_events", params=asked, headers=foreign)
    assert "parameter_invalid" == answer.headers["x-doublet-refused"]
    assert 401 == httpx.get(f"{server.url}/v1/test_events").status_code


def test_questions_that_make_no_sense_are_refused(server: RunningServer) -> None:
    for asked in ({"all": "1", "code": "X"}, {"last_event_id": "x"}, {"code": "X" * 65}):
        answer = httpx.get(f"{server.url}/v1/test_events", params=asked, headers=server.headers)
        assert (400, "parameter_invalid") == (
            answer.status_code,
            answer.headers["x-doublet-refused"],
        )


# --- listeners that come and go ---------------------------------------------------------------


def test_listeners_have_a_limit_and_leave_room_when_they_go(server: RunningServer) -> None:
    url = f"{server.url}/v1/test_events"
    limits = httpx.Limits(max_connections=LISTENERS_MAX + 8)
    with httpx.Client(timeout=PATIENCE_S, limits=limits, headers=server.headers) as client:

        def is_full() -> bool:
            answer = client.send(client.build_request("GET", url), stream=True)
            if answer.status_code == 200:
                opened.append(answer)
                return False
            answer.close()
            return answer.status_code == 503

        opened: list[httpx.Response] = []
        wait_for(is_full, PATIENCE_S)
        assert len(opened) >= LISTENERS_MAX - 2
        # A dashboard full of listeners still answers everybody else.
        assert server.overview()
        for answer in opened:
            answer.close()

    def has_room() -> bool:
        with httpx.stream("GET", url, headers=server.headers) as answer:
            return answer.status_code == 200

    wait_for(has_room, PATIENCE_S)


def test_a_worker_that_is_killed_loses_no_row_of_a_listener(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        with listen(server, code="KILL") as stream:
            stream.skip_remembered()
            send(server, "KILL", event_id="kill.1")
            seen = [stream.next("event")["event_id"]]
            kill_worker(server)
            with pytest.raises(EOFError):
                stream.skip_all()
        sent = [f"kill.{n}" for n in range(2, 8)]
        for event_id in sent[:3]:
            assert 200 == send(server, "KILL", event_id=event_id).status_code
        DiskLog(server.settings.log_folder).close_segments()
        for event_id in sent[3:]:
            assert 200 == send(server, "KILL", event_id=event_id).status_code
        server.wait_until(lambda: _answers(server), what="the new worker answers")
        with listen(server, last_id=stream.last_id, code="KILL") as again:
            seen += [again.next("event")["event_id"] for _ in sent]
            send(server, "KILL", event_id="kill.8")
            seen.append(again.next("event")["event_id"])
        assert ["kill.1", *sent, "kill.8"] == sorted(seen)
        stopped_at = time.monotonic()
        with listen(server, code="KILL"):
            assert 0 == server.stop()
        assert time.monotonic() - stopped_at < 15


def _answers(server: RunningServer) -> bool:
    answer = httpx.get(f"{server.url}/test_events.json", headers=server.headers, timeout=10)
    return answer.status_code == 200


def test_the_terminal_shows_the_same(server: RunningServer) -> None:
    hit(server, ev="Purchase", eid="tail.1", test_event_code="TAIL")
    with listen(server, code="TAIL", pixel=server.pixel_id) as stream:
        refused = 0
        while stream.next("event", "refused")["kind"] == "refused":
            refused += 1
    arguments = ["tail", f"--data={server.settings.data}", f"--account={server.account_id}"]
    arguments += [f"--pixel={server.pixel_id}", "--code=TAIL", f"--count={refused + 2}"]
    command = [sys.executable, "-m", "doublet", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        while "tail.1" not in (line := tail.stdout.readline()):
            assert line
            refused -= 1
        assert 0 == refused
        # A line separator (U+2028) is an ordinary character of JSON and ends no line of the stream.
        send(server, "TAIL", event_id="[bold]tail.2", action_source="a\u2028b\x85c")
        told = tail.stdout.read()
        assert "event_id=[bold]tail.2" in told
        assert 0 == tail.wait(PATIENCE_S)
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.strip().split("\n")]
    assert {"tail.1", "[bold]tail.2"} == {r["event_id"] for r in rows if r["kind"] == "event"}
    assert not any(value in told + done.stdout for value in PLANTED)


def test_the_terminal_says_when_no_server_runs(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    catalog.create_account("Shop")
    catalog.close()
    command = [sys.executable, "-m", "doublet", "tail", f"--data={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 3 == done.returncode, done.stderr
    assert "doublet serve" in done.stderr
