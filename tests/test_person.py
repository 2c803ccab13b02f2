"""A person's rights: export and erasure, on a real server, while others go on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from tests import person
from tests.killing import victims
from tests.person import FBP, TRACES, files, post, send_person, server_event, traces
from tests.server import RunningServer, wait_for

pytestmark = pytest.mark.slow


class Others(threading.Thread):
    """Sends other people's events, one after the other, until told to stop."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(name="others", daemon=True)
        self._server = server
        self._enough = threading.Event()
        self.statuses: list[int] = []

    def run(self) -> None:
        """Every event has an id of its own."""
        while not self._enough.is_set():
            event = server_event(event_name="Search", event_id=f"other-{len(self.statuses)}")
            self.statuses.append(person.post(self._server, event))

    def finish(self) -> int:
        """How many events were answered with 200, which all must be."""
        self._enough.set()
        self.join(60)
        assert {200} == set(self.statuses)
        return len(self.statuses)


def figures(server: RunningServer) -> dict[str, dict[str, Any]]:
    """The overview of all that the person did."""
    server.run("refresh")
    return {name: row for name, row in server.overview().items() if name != "Search"}


def payloads(data: Path) -> str:
    """All that `refused` holds of requests' contents."""
    paths = DeltaTable(str(data / "lake" / "refused")).file_uris()
    rows = duckdb.execute("select payload from read_parquet($paths)", {"paths": paths}).fetchall()
    return json.dumps(rows)


def test_an_erased_person_is_in_no_byte_and_no_figure_changes(tmp_path: Path) -> None:
    with RunningServer(tmp_path, "--set=compact_interval_s=1") as server:
        data = server.settings.data
        post(server, server_event(event_id="bob"))
        send_person(server)
        before = figures(server)
        assert {"EUR": 120.5, "USD": 10.5} == before["Purchase"]["value"]
        written = b"".join(path.read_bytes() for path in files(data / "log"))
        assert [] == [trace for trace in TRACES if trace not in written]
        # As the recovery of a damaged segment leaves it for a person to look at.
        segment = next(path for path in files(data / "log") if path.suffix == ".jsonl")
        shutil.copy(segment, segment.with_suffix(".damaged"))
        others = Others(server)
        others.start()
        wait_for(lambda: len(others.statuses) > 20)
        done = server.run("person", "erase", "--fbp", FBP)
        assert ("done", 5, 1) == (done["state"], done["copies"], done["refused"])
        sent = len(others.statuses)
        wait_for(lambda: len(others.statuses) > sent + 20)
        sent = others.finish()
        assert before == figures(server)
        assert sent == server.overview()["Search"]["events"]
        server.run("rebuild")
        assert before == figures(server)
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)
    assert "kept-refused" in payloads(data)


def test_what_is_shown_before_and_exported_is_all_there_is(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        post(server, server_event(event_id="bob"))
        send_person(server)
        planned = server.run("person", "erase", "--email", person.EMAIL, "--dry-run")
        assert {"em": 1, "ph": 1, "external_id": 1, "fbp": 1, "fbc": 1} == planned["identifiers"]
        assert (5, 1, []) == (planned["copies"], planned["refused"], planned["not_followed"])
        file = tmp_path / "ada.jsonl"
        command = ["person", "export", "--phone", person.PHONE, f"--output={file}"]
        command.append(f"--data={server.settings.data}")
        subprocess.run([sys.executable, "-m", "doublet", *command], check=True, timeout=60)
        assert 0o600 == file.stat().st_mode & 0o777
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        tables = [row["table"] for row in rows]
        assert [5, 1, 4] == [
            tables.count(name) for name in ("events", "refused", "events_deduplicated")
        ]
        assert 6 == sum(row["records"] for row in rows if row["table"] == "log")
        assert all(trace.decode() in file.read_text() for trace in TRACES)
        assert "bob" not in file.read_text()
        assert all((server.settings.data / row["file"]).exists() for row in rows[1:])


def test_a_late_copy_still_belongs_to_its_event(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        send_person(server)
        server.run("person", "erase", "--email", person.EMAIL)
        assert 200 == post(server, server_event(event_id=person.EVENT_ID))
        late = figures(server)["Purchase"]
        assert (1, 1, 2) == (late["events"], late["browser"], late["server"])
        server.run("rebuild")
        assert late == figures(server)["Purchase"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_erasure_goes_on_where_kill_9_left_it(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with RunningServer(tmp_path) as server:
        send_person(server)
        before = figures(server)
        others = Others(server)
        others.start()
        command = [sys.executable, "-m", "doublet", "person", "erase", "--email", person.EMAIL]
        command += [f"--data={server.settings.data}"]
        asking = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        folder = server.settings.erasures_folder
        wait_for(lambda: list(folder.glob("*.json")))
        for _ in range(4):
            (worker,) = wait_for(lambda: victims(server).get("worker"))
            threading.Event().wait(chance.uniform(0.0, 1.2))
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda gone=worker: victims(server).get("worker", [gone]) != [gone])
        wait_for(lambda: b'"done"' in next(folder.glob("*.json")).read_bytes(), 60)
        asking.wait(60)
        sent = others.finish()
        assert before == figures(server)
        assert sent == server.overview()["Search"]["events"]
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(server.settings.data)


def test_a_restored_backup_does_not_bring_the_person_back(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        send_person(server)
        before = figures(server)
        assert 0 == server.stop(signal.SIGTERM)
    data, backup = server.settings.data, tmp_path / "backup"
    shutil.copytree(data, backup)
    with RunningServer(tmp_path) as server:
        post(server, server_event(event_name="Search", event_id="since"))
        assert 5 == server.run("person", "erase", "--email", person.EMAIL)["copies"]
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)
    for name in ("lake", "log", "warehouse.duckdb"):
        place = data / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        copy = shutil.copytree if place.suffix == "" else shutil.copy
        copy(backup / name, place)
    assert [] != traces(data)
    with RunningServer(tmp_path) as server:
        wait_for(lambda: 10 == _erased(server), 60)
        assert before == figures(server)
        assert 0 == server.stop(signal.SIGTERM)
    assert [] == traces(data)


def _erased(server: RunningServer) -> int:
    (erasure,) = server.run("person", "erasures")
    return int(erasure["copies"]) if erasure["state"] == "done" else 0
