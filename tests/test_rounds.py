"""The worker's rounds: what they tell of themselves."""

from __future__ import annotations

import logging

import pytest

from doublet.rounds import CatchingUp


def test_a_long_round_says_how_far_it_is_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    progress = CatchingUp(lambda: 500, lambda: clock[0])
    with caplog.at_level(logging.INFO, "doublet.rounds"):
        for seconds, rows in ((1, 100), (4, 100), (2, 50), (3, 150)):
            clock[0] += seconds
            progress.tell("modelled", rows)
    expected = "catching-up loaded=0 modelled={} of=500"
    assert [expected.format(200), expected.format(400)] == caplog.messages
