"""The command `doublet`, also as `python -m doublet`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_SERVING = ("serve", "demo", "collect", "work")


def main() -> None:
    """Run a command. Ctrl-C ends it in silence even while it is still being loaded.

    What serves until it is stopped then exits with 0, as it does later; the others with 130.
    """
    is_serving = sys.argv[1:2] != [] and sys.argv[1] in _SERVING

    def quit_at_once(number: int, frame: FrameType | None) -> None:
        os._exit(0 if is_serving else 128 + number)

    # Whoever started this in the background may want it to ignore the terminal's Ctrl-C.
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, quit_at_once)
    from doublet.cli import main as run

    try:
        if is_default and not is_serving:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:
        # Before the command itself runs, nobody else catches it.
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
