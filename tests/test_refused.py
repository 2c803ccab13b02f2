"""Refused requests: their causes, and each of them, over a real server and without one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories import make_event
from tests.server import RunningServer

MARY = "mary.planted@private-mail.example"


class Shop(RunningServer):
    """A server, and what its tests say to it."""

    def post(self, *events: Any, token: str = "", query: str = "") -> httpx.Response:
        """Send events as the shop does."""
        return httpx.post(
            f"{self.url}/v24.0/{self.pixel_id}/events{query}",
            json={"data": list(events), "access_token": token or self.access_token},
            timeout=30,
        )

    def ask(self, path: str, **parameters: str) -> Any:
        """The JSON of an address, once all is loaded."""
        self.run("refresh")
        answer = httpx.get(f"{self.url}{path}", params=parameters, headers=self.headers, timeout=30)
        assert 200 == answer.status_code, answer.text
        return answer.json()


def purchase(event_id: str | None, **fields: Any) -> dict[str, Any]:
    """A purchase of now that would be accepted."""
    now = {"event_time": int(time.time()), "event_id": event_id, "user_data": {"em": MARY}}
    return make_event(**{**now, **fields})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(tmp_path_factory.mktemp("shop"), workers=1) as server:
        yield server
        assert 0 == server.stop()


def test_many_refusals_have_few_causes(shop: Shop) -> None:
    for number in range(4):
        good = [purchase(f"g{number}.{i}") for i in range(number)]
        assert 400 == shop.post(*good, purchase("a", custom_data={"value": 1})).status_code
    for days in (8, 9):
        assert (
            400 == shop.post(purchase("b", event_time=int(time.time()) - days * 86400)).status_code
        )
    assert 401 == shop.post(purchase("c"), token="wrong").status_code
    causes = shop.ask("/refused.json")
    assert [("currency_missing", 4, 10), ("event_too_old", 2, 2), ("token_invalid", 1, 0)] == [
        (cause["reason"], cause["requests"], cause["events"]) for cause in causes
    ]
    assert "Add custom_data.currency" in causes[0]["fix"]
    assert not causes[0]["message"].startswith("Event")
    assert causes == shop.run("refused", "list")
    assert causes[1:2] == shop.run("refused", "list", "--reason=event_too_old")
    assert [] == shop.run("refused", "list", "--since=2099-01-01")
    (one,) = shop.ask("/v1/refused", id=causes[0]["example"])
    assert ("currency_missing", 4) == (one["reason"], len(one["payload"]))
    assert MARY not in json.dumps(one)
    page = httpx.get(f"{shop.url}/refused", headers=shop.headers, timeout=30)
    assert 200 == page.status_code
    assert "Add custom_data.currency" in page.text
    lines = httpx.get(f"{shop.url}/refused.csv", headers=shop.headers, timeout=30).text.splitlines()
    assert 4 == len(lines)
    assert lines[0].startswith("reason,message,pixel_id,source,requests,events,")


def test_nobody_sees_the_refusals_of_others(shop: Shop) -> None:
    assert 401 == httpx.get(f"{shop.url}/refused.json", timeout=30).status_code
    answer = httpx.get(f"{shop.url}/refused.json?reason=nonsense", headers=shop.headers, timeout=30)
    assert (400, True) == (answer.status_code, "event_too_old" in answer.text)


def test_causes_are_read_without_a_server(tmp_path: Path) -> None:
    with Shop(tmp_path, workers=1) as server:
        assert 400 == server.post(purchase("a", user_data={"country": "de"})).status_code
        assert 0 == server.stop()
    (cause,) = server.run("refused", "list")
    assert ("user_data_insufficient", 1) == (cause["reason"], cause["requests"])
    shown = [sys.executable, "-m", "doublet", "refused", "show", cause["example"]]
    data = f"--data={server.settings.data}"
    done = subprocess.run([*shown, data], capture_output=True, text=True, timeout=120, check=True)
    assert cause["example"] == json.loads(done.stdout)["id"]
    unknown = [*shown[:-1], "7-7", data]
    assert 3 == subprocess.run(unknown, capture_output=True, timeout=120, check=False).returncode
