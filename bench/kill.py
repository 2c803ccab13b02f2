"""kill -9 at random moments, over and over: does every answered event count exactly once?

Runs the storm of `tests/killing.py` with as many seeds as wanted; each prints its books. The first
seed that does not balance ends it with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.killing import run


def main() -> None:
    """Run the seeds and print what came of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many storms")
    parser.add_argument("--first", type=int, default=1, help="seed of the first")
    parser.add_argument("--events", type=int, default=20_000, help="events sent in each")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    options = parser.parse_args()
    books = []
    for seed in range(options.first, options.first + options.seeds):
        began_at = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(Path(folder), seed, options.events)
        seconds = round(time.monotonic() - began_at, 1)
        books.append({"seed": seed, "seconds": seconds, **outcome._asdict()})
        if not options.json:
            kills = ", ".join(f"{n} {kind}" for kind, n in sorted(outcome.kills.items()))
            print(
                f"seed {seed}: {outcome.sent:,} sent, {outcome.answered:,} answered and there "
                f"once, {outcome.unanswered:,} without an answer, {outcome.stored:,} of those "
                f"there once; killed {kills}; {seconds} s",
                flush=True,
            )
    if options.json:
        print(json.dumps(books, indent=2))


if __name__ == "__main__":
    main()
