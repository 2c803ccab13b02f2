"""Nothing answered is lost and nothing counts twice, whatever dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killing import run


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_answered_events_survive_kill_9_exactly_once(tmp_path: Path, seed: int) -> None:
    outcome = run(tmp_path, seed)
    assert outcome.answered > outcome.unanswered
    assert sum(outcome.kills.values()) >= 3, outcome
