"""A backup holds the outbox: what was sent before is not sent again, what comes later is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from doublet.backup.manifest import read_manifest
from doublet.backup.restore import check, restore
from doublet.backup.save import save
from doublet.catalog import Catalog
from doublet.errors import NewerFormatError
from doublet.log.disk import DiskLog
from doublet.outbox import Asked, Outbox, Sent, Settled
from doublet.settings import Settings
from tests.relay.outboxes import Relay


def _send_all(relay: Relay) -> None:
    """What the relay does with all that is ready."""
    outbox = Outbox(relay.settings.outbox_file)
    (destination,) = relay.catalog.destinations()
    ready = outbox.ready(destination.destination_id, 1 << 62, 1000, ())
    asked = Asked(destination.destination_id, 1, 0.1, len(ready), "done", 200, "", "")
    outbox.settle([Settled(asked, [Sent(each.emission_id, b"{}") for each in ready], [])])
    outbox.close()


def test_a_restored_ledger_knows_what_the_lake_holds_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(tmp_path / "data")
    relay.add()
    relay.send(*(relay.record(event_id=f"{n}") for n in range(3)))
    _send_all(relay)
    relay.append([relay.record(event_id="3")])
    # While the backup is made, behind what it has of the log, more comes and is sent.
    real = Catalog.copy

    def copy(self: Catalog, target: Path) -> str | None:
        relay.send(*(relay.record(event_id=f"late{n}") for n in range(2)))
        _send_all(relay)
        return real(self, target)

    monkeypatch.setattr(Catalog, "copy", copy)
    saved = save(relay.settings, tmp_path / "backups")
    assert 1 == saved.manifest.formats.relay
    assert 6 == len(relay.ledger())
    assert b"late" not in (saved.folder / "relay.sqlite").read_bytes()
    relay.close()

    restored = Settings(data=tmp_path / "restored")
    restore(restored, saved.folder)
    assert 0o600 == restored.outbox_file.stat().st_mode & 0o777
    again = Relay(restored.data)
    try:
        again.refresh()
        again.fill()
        assert [(f"{n}", "sent", "") for n in range(4)] == again.ledger()
        outbox = Outbox(restored.outbox_file)
        (destination,) = again.catalog.destinations()
        assert [("sent", 4)] == outbox.rows("select state, events from tallies where events > 0")
        assert (0, 4) == (
            outbox.count(destination.destination_id, "ready"),
            outbox.count(destination.destination_id, "sent"),
        )
        outbox.close()
        # These take the places in the log that the late ones had.
        again.send(*(again.record(event_id=f"new{n}") for n in range(3)))
        assert [(f"new{n}", "ready", "") for n in range(3)] == again.ledger()[4:]
        assert {0} == set(DiskLog(restored.log_folder).partitions())
    finally:
        again.close()


def test_a_folder_without_a_relay_is_backed_up_as_before(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "data")
    relay.send(relay.record())
    saved = save(relay.settings, tmp_path / "backups")
    relay.close()
    assert saved.manifest.formats.relay is None
    restore(Settings(data=tmp_path / "restored"), saved.folder)
    assert not (tmp_path / "restored" / "relay.sqlite").exists()


def test_an_outbox_of_a_newer_version_is_not_restored(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "data")
    relay.add()
    relay.send(relay.record())
    saved = save(relay.settings, tmp_path / "backups")
    relay.close()
    path = saved.folder / "MANIFEST.json"
    path.write_text(path.read_text().replace('"relay": 1', '"relay": 2'))
    assert 2 == read_manifest(saved.folder).formats.relay
    with pytest.raises(NewerFormatError, match="outbox"):
        check(saved.folder)
