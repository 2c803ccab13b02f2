"""The worker's rounds: how they end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from doublet.processes import make_data_folders
from doublet.rounds import Freshener, Rounds
from doublet.settings import Settings


def test_rounds_end_at_once_though_an_erasure_has_just_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path)
    make_data_folders(settings)
    freshener = Freshener(settings)
    rounds = Rounds(freshener, settings)
    begun, told = threading.Event(), threading.Event()
    erase = freshener.erase

    def erase_late() -> int:
        begun.set()
        told.wait(30)
        return erase()

    monkeypatch.setattr(freshener, "erase", erase_late)
    rounds.start()
    assert begun.wait(30)
    stopping = threading.Thread(target=rounds.stop)
    stopping.start()
    assert freshener.is_asked.wait(30), "the thread is told that it ends"
    told.set()
    stopping.join(20)
    assert not stopping.is_alive(), "it waits for the next time, 30 s later"
    freshener.close()
