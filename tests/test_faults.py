"""`doublet serve --faults`: a client meets all faults, and every event still counts once."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from doublet.client import Client, GivenUp
from tests.collector import event
from tests.faults.fronts import BEFORE
from tests.server import DoubletProcess, RunningServer, free_port

STORM = """
seed = 11
server_error = 0.08
reset_before = 0.06
reset_after = 0.08
timeout_before = 0.02
timeout_after = 0.03
truncate = 0.08
latency_ms = 1
latency_jitter_ms = 5

[rate_limit]
every = 50
burst = 1

[[poison]]
event_id = "poisoned"
"""


@pytest.mark.slow
def test_a_client_delivers_every_event_once_through_all_faults(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(STORM)
    lost: list[GivenUp] = []
    with RunningServer(tmp_path, f"--faults={file}") as server:
        client = Client(
            *(server.pixel_id, server.access_token),
            base_url=server.url,
            batch_events=5,
            interval_s=0.02,
            timeout_s=0.5,
            on_given_up=lost.append,
        )
        for number in range(500):
            client.track("Lead", user_data={"external_id": f"{number}"}, event_id=f"lead.{number}")
            if number == 250:
                client.track("Lead", user_data={"external_id": "x"}, event_id="poisoned")
        assert client.flush(120)
        client.close()
        assert ["poisoned"] == [each.event["event_id"] for each in lost]
        assert "Event 0: " in lost[0].message
        told = httpx.get(f"{server.url}/faults.json").json()
        assert [] == [fault for fault, count in told["faults"].items() if not count]
        before = sum(told["faults"][fault] for fault in (*BEFORE, "rate_limit", "poison"))
        assert told["requests"] == told["forwarded"] + before
        row = server.wait_until(
            lambda: (row := server.overview().get("Lead")) and row["events"] >= 500 and row
        )
        assert row
        assert (500, 500, 0) == (row["events"], row["server_only"], row["both"])
        assert row["server"] > 500
        assert 0 == server.stop(signal.SIGTERM)
        server.wait_until_gone()
        assert f"{told['requests']} requests, {told['forwarded']} forwarded" in server.stderr


@pytest.mark.slow
def test_a_stream_without_end_passes_and_ends_with_its_listener(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text("")
    with RunningServer(tmp_path, f"--faults={file}") as server:
        asked: dict[str, str] = {"code": "T1"}
        url, headers = f"{server.url}/v1/test_events", server.headers
        with httpx.stream("GET", url, params=asked, headers=headers, timeout=30) as stream:
            sent = httpx.post(
                f"{server.url}/v25.0/{server.pixel_id}/events",
                json={"data": [event(event_id="seen")], "test_event_code": "T1"},
                headers=headers,
            )
            assert 200 == sent.status_code
            assert any('"seen"' in line for line in stream.iter_lines())
        assert 0 == server.stop()
        server.wait_until_gone()


@pytest.mark.slow
def test_a_server_does_not_start_with_a_wrong_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    for text in (None, "server_eror = 0.1"):
        if text:
            file.write_text(text)
        flags = (f"--data={tmp_path / 'data'}", f"--port={free_port()}", f"--faults={file}")
        with DoubletProcess(tmp_path, "serve", *flags) as process:
            assert 3 == process.wait()
            assert ("'server_error'" if text else "Cannot read") in process.stderr
            assert "Traceback" not in process.stderr
    assert not (tmp_path / "data").exists()
