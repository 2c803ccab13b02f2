"""Backups of a server that is busy, and servers on what is restored."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from doublet.backup.manifest import complete_backups, read_manifest
from doublet.backup.restore import restore
from doublet.settings import Settings
from tests.saving import Traffic, event_ids, send
from tests.server import RunningServer, wait_for

pytestmark = pytest.mark.slow


def test_under_traffic_nothing_acknowledged_is_missing_and_nothing_is_there_twice(
    tmp_path: Path,
) -> None:
    """Files of log and lake are removed as early as can be, all the time."""
    hasty = {"load_interval_s": 0.05, "compact_interval_s": 0.1, "vacuum_retention_h": 0}
    hasty |= {"log_retention_h": 0, "log_segment_size_bytes": 4096}
    backups = tmp_path / "backups"
    promised = []
    with RunningServer(tmp_path / "old", *(f"--set={n}={v}" for n, v in hasty.items())) as server:
        traffic = Traffic(server)
        try:
            for _ in range(3):
                wanted = len(traffic.acknowledged) + 300
                wait_for(partial(traffic.has_answered, wanted), 60, "traffic goes on")
                promised.append(set(traffic.acknowledged))
                server.run("backup", str(backups))
        finally:
            traffic.stop()
        assert [] == traffic.problems
        pixel_id, token = server.pixel_id, server.access_token
        command = [sys.executable, "-m", "doublet", "restore", str(backups), "--replace"]
        command.append(f"--data={server.settings.data}")
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 3 == refused.returncode
        assert "is in use" in refused.stderr
    for number, (backup, before) in enumerate(
        zip(complete_backups(backups), promised, strict=True)
    ):
        folder = tmp_path / f"new{number}"
        restore(Settings(data=folder / "data"), backup)
        with RunningServer(folder) as server:
            manifest = read_manifest(backup)
            events = manifest.tables["events"].rows + manifest.log_records
            wait_for(partial(shows, server, events, events), 60, f"{events} events are shown")
            counts = Counter(event_ids(folder / "data"))
            assert {1} == set(counts.values())
            assert before <= counts.keys() <= set(traffic.acknowledged)
            # Who had no answer, or does not remember it, sends again.
            for event_id in sorted(before)[:10]:
                assert 200 == send(server.url, pixel_id, token, event_id)
            assert 200 == send(server.url, pixel_id, token, "1000000")
            wait_for(partial(shows, server, events + 1, events + 11), 60, "one more is shown")


def shows(server: RunningServer, events: int, copies: int) -> bool:
    """Whether the report has so many purchases, made of so many copies."""
    row = server.overview().get("Purchase")
    return row is not None and (events, copies) == (row["events"], row["server"])
