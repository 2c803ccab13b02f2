"""Persons on the command line and over HTTP, with a real server and without one."""

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

from doublet.catalog import Catalog
from doublet.settings import Settings
from tests.factories import make_event, sha256
from tests.server import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server of this module's own."""
    with RunningServer(tmp_path_factory.mktemp("persons") / "data", workers=1) as running:
        yield running


def send(server: RunningServer, **user_data: Any) -> None:
    event = make_event(
        event_time=int(time.time()), event_id=sha256(repr(user_data)), user_data=user_data
    )
    answer = httpx.post(
        f"{server.url}/v25.0/{server.pixel_id}/events",
        params={"access_token": server.access_token},
        json={"data": [event]},
        timeout=30,
    )
    assert answer.is_success, answer.text


def ask(server: RunningServer, path: str, body: Any) -> httpx.Response:
    return httpx.post(
        f"{server.url}{path}",
        json=body,
        headers={"authorization": f"Bearer {server.access_token}"},
        timeout=60,
    )


def test_a_person_is_shown_parted_and_joined_again_by_a_server(
    server: RunningServer,
) -> None:
    send(server, em="ann@example.com", fbp="fb.1.1700000000000.77")
    send(server, em="bea@example.com")
    send(server, em="bea@example.com", fbp="fb.1.1700000000000.77")
    server.run("refresh")
    (person,) = server.run("person", "show", "em=ann@example.com")["persons"]
    assert person["identifiers"] == "1 fbp, 2 em"
    (merge,) = person["merges"]
    assert (merge["event_name"], merge["carried"]) == ("Purchase", "em, fbp")
    assert [merge] == server.run("person", "merges")

    sisters = ("em=ann@example.com", "em=bea@example.com")
    assert server.run("person", "unmerge", *sisters, "--reason=Two sisters") == {"unmerged": True}
    server.run("refresh")
    who = {"user_data": {"em": ["ann@example.com", "bea@example.com"]}}
    found = ask(server, "/v1/person/show", who).json()
    assert 2 == len(found["persons"])
    (decision,) = server.run("person", "decisions")
    assert (decision["reason"], decision["is_revoked"]) == ("Two sisters", False)
    assert "ann" not in json.dumps(decision)

    undone = {
        "identifiers": ["em=" + sha256("bea@example.com"), "em=ann@example.com"],
        "reason": "One after all",
        "undo": True,
    }
    assert ask(server, "/v1/person/unmerge", undone).is_success
    server.run("refresh")
    assert 1 == len(ask(server, "/v1/person/show", who).json()["persons"])


def test_who_is_erased_is_in_no_decision(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        send(server, em="ann@example.com", fbp="fb.1.1700000000000.78")
        send(server, em="eva@example.com", fbp="fb.1.1700000000000.78")
        sisters = ("em=ann@example.com", "em=eva@example.com")
        server.run("person", "unmerge", *sisters, "--reason=Ann is no Eva")
        server.run("refresh")
        server.run("person", "erase", "--email=ann@example.com")
        assert [] == server.run("person", "decisions")
    trace = sha256("ann@example.com").encode()
    left = [path for path in tmp_path.rglob("*") if path.is_file() and trace in path.read_bytes()]
    assert [] == left


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"identifiers": ["em=a@example.com", "em=A@example.com"], "reason": ""}, "the same em"),
        ({"identifiers": ["a@example.com", "em=b@example.com"], "reason": ""}, "KEY=VALUE"),
        ({"identifiers": ["fbc=fb.1.1.IwAR", "em=b@example.com"], "reason": ""}, "a click"),
        ({"identifiers": ["fn=ann", "em=b@example.com"], "reason": ""}, "fits many people"),
        ({"identifiers": ["em=b@example.com"]}, "identifiers, reason"),
    ],
)
def test_what_cannot_be_decided_is_said(
    server: RunningServer, body: dict[str, Any], said: str
) -> None:
    answer = ask(server, "/v1/person/unmerge", body)
    assert 400 == answer.status_code
    assert said in answer.json()["error"]["error_user_msg"]
    assert "b@example.com" not in answer.text


def test_nobody_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "doublet", "person", "show", "em=ann@example.com"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 3 == done.returncode


def test_a_decision_about_nobody_is_doubted(tmp_path: Path) -> None:
    """Undone before it was made, and made of identifiers that nobody has."""
    catalog = Catalog(Settings(data=tmp_path / "doublet-data").catalog_url)
    catalog.migrate()
    catalog.create_account("Shop")
    catalog.close()
    sisters = ("em=ann@example.com", "em=bea@example.com")
    for more, said, doubted in (
        (["--undo"], "No decision keeps them apart any more;", ["No decision that holds"]),
        ([], "They are kept apart;", ["Nobody has the first", "Nobody has the second"]),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "doublet", "person", "unmerge", *sisters, *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(said)
        assert len(doubted) == done.stderr.count("\n")
        assert all(line in done.stderr for line in doubted)
