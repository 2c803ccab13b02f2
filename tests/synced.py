"""What a test sees of syncing: real calls, noted with the path that they were for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def watch_synced(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Fills with the paths of all files and folders that this process syncs from now on."""
    synced: set[Path] = set()
    sync = os.fsync

    def note_and_sync(file: int) -> None:
        synced.add(Path(f"/proc/self/fd/{file}").readlink())
        sync(file)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    return synced
