"""The payload helper against a real server: what it says, sends, and gives away as code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from doublet.web.payload import as_body, example
from doublet.web.snippets import snippets
from tests.server import RunningServer
from tests.web_server import required

MAIL = "jane.doe@example.com"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("payload")) as server:
        yield server


def _event(event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_name": "Lead",
        "event_time": int(time.time()),
        "event_id": event_id,
        "action_source": "website",
        "event_source_url": "https://shop.example/'quoted' \"$HOME\" `id` \\ <b>é",
        "user_data": {"em": MAIL, "client_user_agent": "test"},
        "custom_data": {"value": 1.5, "currency": "USD", "none": None, "yes": True},
        **fields,
    }


def _post(running: RunningServer, payload: object, do: str, **fields: str) -> httpx.Response:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    form = {"payload": text, "pixel": running.pixel_id, "code": "TEST9", "do": do, **fields}
    return httpx.post(f"{running.url}/payload", data=form, headers=running.headers, timeout=60)


def _stories(running: RunningServer, event_id: str) -> list[dict[str, Any]]:
    address = f"{running.url}/event.json?event_id={event_id}"
    return list(httpx.get(address, headers=running.headers, timeout=60).json())


def test_the_page_begins_with_an_example_that_would_be_accepted(running: RunningServer) -> None:
    page = httpx.get(f"{running.url}/payload", headers=running.headers, timeout=60).text
    (text,) = re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.S)
    assert json.loads(unescape(text))["data"][0]["event_name"] == "Purchase"
    checked = _post(running, unescape(text), "check")
    assert 200 == checked.status_code
    assert "It would be accepted" in checked.text
    assert "Warning" not in checked.text


def test_checking_stores_nothing_and_sending_does(running: RunningServer) -> None:
    body = {"data": [_event("from-page")]}
    checked = _post(running, body, "check")
    assert "It would be accepted" in checked.text
    assert "will be hashed" in checked.text
    sent = _post(running, body, "send")
    assert "1 event was sent" in sent.text
    running.wait_until(lambda: _stories(running, "from-page"), what="the event is modelled")
    (story,) = _stories(running, "from-page")
    assert 1 == len(story["copies"])
    assert ["client_user_agent", "em"] == story["copies"][0]["user_data_keys"]
    live = httpx.get(f"{running.url}/test_events.json?code=TEST9", headers=running.headers)
    assert "from-page" in [row["event_id"] for row in live.json()]


def test_what_would_be_refused_is_told_and_not_sent(running: RunningServer) -> None:
    bad = {"data": [_event("good-one"), _event("bad-one", event_time=12)]}
    for do in ("check", "send"):
        page = _post(running, bad, do).text
        assert "event was sent" not in page
        assert "event_time" in page
    assert "It would be refused" in _post(running, bad, "check").text
    assert "Not sent" in _post(running, bad, "send").text
    for text in ("", "{", "[]", "null", '{"data": 5}', "\ud800"):
        form = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        answer = _post(running, form, "send")
        assert 200 == answer.status_code, text
        assert "sent</h2>" not in answer.text.replace("Not sent</h2>", "")
    foreign = _post(running, bad, "check", pixel="1234567890123456")
    assert 400 == foreign.status_code


def test_nothing_that_was_pasted_reaches_the_disk_in_plain(running: RunningServer) -> None:
    _post(running, {"data": [_event("plain")]}, "send")
    running.wait_until(lambda: _stories(running, "plain"), what="the event is modelled")
    for path in running.settings.data.rglob("*"):
        if path.is_file():
            assert MAIL.encode() not in path.read_bytes(), path
    assert MAIL not in running.stderr


@pytest.mark.parametrize("language", ["curl", "python", "node", "php"])
def test_the_code_sends_the_payload_as_it_is(
    running: RunningServer, tmp_path: Path, language: str
) -> None:
    """Each language is run by its own interpreter."""
    commands = {
        "curl": ("bash", "sh"),
        "python": ("python3", "py"),
        "node": ("node", "mjs"),
        "php": ("php", "php"),
    }
    program, suffix = commands[language]
    packages = {"node": "nodejs", "php": "php-cli"}
    path = required(shutil.which(program), program, packages.get(language, program))
    if language == "curl":
        required(shutil.which("curl"), "curl", "curl")
    event = _event(f"code-{language}")
    code = {each.language: each.code for each in _snippets(running, {"data": [event]})}[language]
    file = tmp_path / f"send.{suffix}"
    file.write_text(code, "utf-8")
    done = subprocess.run(
        [path, str(file)],
        env={**os.environ, "DOUBLET_ACCESS_TOKEN": running.access_token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert 1 == json.loads(done.stdout)["events_received"], done.stdout
    running.wait_until(lambda: _stories(running, f"code-{language}"), what="the event is modelled")
    (story,) = _stories(running, f"code-{language}")
    kept = story["copies"][0]
    assert event["event_time"] == story["event_time"]
    assert "https://shop.example/'quoted'" in kept["fields"]["event_source_url"]
    assert kept["custom_data"]["yes"] is True


def _snippets(running: RunningServer, body: dict[str, Any]) -> list[Any]:
    """The code as the page shows it."""
    page = _post(running, body, "check", code="").text
    shown = dict(re.findall(r'<code id="code-(\w+)">(.*?)</code>', page, re.S))
    made = snippets(running.url, running.pixel_id, body)
    assert {each.language: each.code for each in made} == {
        language: unescape(code) for language, code in shown.items()
    }
    return made


def test_a_payload_in_any_form_becomes_one_body() -> None:
    event = json.loads(example("EUR", 1_780_000_000))["data"][0]
    body = {"data": [event], "test_event_code": "A"}
    line = json.dumps(event)
    for text in (line, f"[{line}]", json.dumps({"data": [event]}), f"\n{line}\n"):
        assert body == as_body(text, "A")
    assert [event, event] == (as_body(f"{line}\n{line}", "") or {})["data"]
    assert (
        "OWN"
        == (as_body(json.dumps({"data": [event], "test_event_code": "OWN"}), "") or {})[
            "test_event_code"
        ]
    )
    assert as_body("{", "") is None
