"""A deciding process for `test_deciders.py`: it reserves and bills as fast as it can.

Shared with the test are numbers in one mapped file: the clock, and for each process the moment that
it has last worked at. A clock below 0 says that all is over. What is billed goes to a file of its
own at once, as impressions and clicks go to the log.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np

from doublet.delivery.ledger import Ledger
from doublet.delivery.purse import Purse

AD_SETS = {"views": (5, 40, 0.7), "clicks": (100, 300, 0.05)}
"""Lowest and highest price, and the chance that it is billed."""
PERIODS = dict.fromkeys(AD_SETS, "lifetime")
DECISIONS = 60
"""By each process for each step of the clock."""


def main() -> None:
    """Work until the clock says that all is over."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    clock = np.memmap(folder / "clock", np.float64, "r+")
    rng = random.Random(number)
    purse = Purse(Ledger(folder / "ledger.sqlite"), f"spender {number}", lease_s=3)
    billed = os.open(folder / f"billed-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    last = -1.0
    while (now := float(clock[0])) >= 0:
        if now == last:
            os.sched_yield()
            continue
        for n in range(DECISIONS):
            name = rng.choice(list(AD_SETS))
            low, high, chance = AD_SETS[name]
            price = rng.randint(low, high)
            lease = purse.reserve(name, price, now, price * chance)
            if lease is not None and rng.random() < chance:
                os.write(billed, f"{lease} {price}\n".encode())
            if n == DECISIONS // 2:
                purse.exchange(PERIODS, now)
        clock[number] = last = now
    purse.close(last)


if __name__ == "__main__":
    main()
