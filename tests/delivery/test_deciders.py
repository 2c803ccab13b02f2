"""Four processes spend from one ledger, one of them is killed: no budget is exceeded, and nearly
all of each can be spent."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from doublet.delivery.budgets import Budget
from doublet.delivery.ledger import Key, Ledger
from tests.delivery.spender import AD_SETS

PROCESSES = 4
STEP_S = 1.0
EXPIRY_S = 3.0
KILLED_AT_S = 9.0
GIVE_UP_AT_S = 1_500.0
SPENT_SHARE = 0.98
AMOUNTS = {"views": 150_000, "clicks": 50_000}
ROOT = Path(__file__).parent.parent.parent


class Spenders:
    """The processes, and the clock by which they work."""

    def __init__(self, folder: Path) -> None:
        self.clock = np.memmap(folder / "clock", np.float64, "w+", shape=(PROCESSES + 1,))
        command = [sys.executable, "-m", "tests.delivery.spender", str(folder)]
        self.running = {
            number: subprocess.Popen([*command, str(number)], cwd=ROOT)
            for number in range(1, PROCESSES + 1)
        }

    def step(self, now_s: float) -> None:
        """All that live have worked at this moment."""
        self.clock[0] = now_s
        for number, each in self.running.items():
            while self.clock[number] < now_s:
                assert each.poll() is None

    def kill(self, number: int) -> None:
        """With SIGKILL, wherever it is just now."""
        self.running[number].kill()
        self.running.pop(number).wait()

    def end(self) -> list[int]:
        """How the rest ended."""
        self.clock[0] = -1
        return [each.wait() for each in self.running.values()]


class Billed:
    """What the files of all processes say, as far as they are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = defaultdict(int)
        self.by_lease: dict[int, int] = defaultdict(int)
        self.times = 0

    def read(self) -> None:
        """On from where the last call ended; each line was written at once."""
        for path in self._folder.glob("billed-*"):
            with path.open() as file:
                file.seek(self._read[path])
                for line in file.read().splitlines():
                    lease, price = line.split(" ")
                    self.by_lease[int(lease)] += int(price)
                    self.times += 1
                self._read[path] = file.tell()

    def settle(self, ledger: Ledger, before_s: float) -> None:
        """As the worker does."""
        self.read()
        due = ledger.due(before_s)
        ledger.settle_all({lease.lease_id: self.by_lease[lease.lease_id] for lease in due})


@pytest.mark.slow
def test_four_processes_of_which_one_is_killed_spend_no_more_than_there_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.open(Budget(name, "lifetime", AMOUNTS[name], 0, 1e9) for name in AD_SETS)
    spenders, billed = Spenders(tmp_path), Billed(tmp_path)
    now_s = killed_left = 0.0
    while now_s < GIVE_UP_AT_S:
        now_s += STEP_S
        if now_s == KILLED_AT_S:
            # It has begun with this moment, and is somewhere in the midst of it.
            spenders.clock[0] = now_s
            spenders.kill(2)
            killed_left = sum(lease.units for lease in ledger.due(1e9))
        spenders.step(now_s)
        billed.settle(ledger, now_s - EXPIRY_S)
        standings = ledger.standings()
        assert all(each.left >= 0 for each in standings.values())
        if all(each.settled >= SPENT_SHARE * each.amount for each in standings.values()):
            break
    assert [0] * (PROCESSES - 1) == spenders.end()
    billed.settle(ledger, 1e9)
    assert killed_left > 0
    assert billed.times > 5_000
    total = {name: ledger.standings()[Key(name, "lifetime")] for name in AD_SETS}
    assert sum(billed.by_lease.values()) == sum(each.settled for each in total.values())
    for standing in total.values():
        assert 0 == standing.held
        assert SPENT_SHARE * standing.amount <= standing.settled <= standing.amount
