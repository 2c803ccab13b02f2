"""`doublet send`: a payload reaches a server, and its answer the person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.collector import Collector, event
from tests.server import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()


def send(server: Collector, payload: Any, *arguments: str, token: str | None = "") -> Any:
    """The command on standard input; `token` empty: that of our shop, None: none."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    if token is not None:
        environ["DOUBLET_ACCESS_TOKEN"] = token or server.token
    where = (f"--data={server.settings.data}", f"--set=port={server.port}")
    return subprocess.run(
        [sys.executable, "-m", "doublet", "send", "-", *where, *arguments],
        cwd=server.folder,
        env=environ,
        input=payload if isinstance(payload, str) else json.dumps(payload),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_lines_are_sent_to_the_running_server_and_stored(server: Collector) -> None:
    server.new_records()
    lines = "\n".join(json.dumps(event(event_id=event_id)) for event_id in ("s1", "s2"))
    pixel = f"--pixel={server.pixel.pixel_id}"
    done = send(server, lines, pixel, "--test-event-code=TEST7")
    assert (0, "2 events received.\n") == (done.returncode, done.stdout), done.stderr
    stored = server.new_records()
    assert ["s1", "s2"] == [record["event_id"] for record in stored]
    assert {"TEST7"} == {record["extra"]["test_event_code"] for record in stored}


def test_a_refusal_is_told_with_its_numbers_and_the_fix(server: Collector) -> None:
    address = f"--url=http://127.0.0.1:{server.port}/v24.0/"
    pixel = f"--pixel={server.pixel.pixel_id}"
    body = {"data": [event(custom_data={"value": 1})], "access_token": server.token}
    done = send(server, body, pixel, address, token=None)
    assert 4 == done.returncode
    assert "400 (100/2804010)" in done.stderr
    assert "Add custom_data.currency" in done.stderr
    assert server.token not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "token", "exit_code", "said"),
    [
        (("--pixel=1",), None, 3, "DOUBLET_ACCESS_TOKEN"),
        ((), "", 3, "--pixel"),
        (("--pixel=1", f"--url=http://127.0.0.1:{free_port()}"), "", 5, "does not answer"),
        (("--pixel=1",), "wrong", 4, "401 (190)"),
    ],
)
def test_what_is_missing_is_said(
    server: Collector, arguments: tuple[str, ...], token: str | None, exit_code: int, said: str
) -> None:
    done = send(server, event(), *arguments, token=token)
    assert exit_code == done.returncode, done.stderr
    assert said in " ".join(done.stderr.split())
    assert 4 == send(server, "{", "--pixel=1").returncode
