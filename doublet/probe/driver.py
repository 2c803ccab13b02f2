"""The process with the browser: each line that it reads is a question, each line that it writes an
answer."""

from __future__ import annotations

import os
import select
import signal
import sys

import msgspec
from playwright.sync_api import sync_playwright

from doublet.guide.site import Expected
from doublet.probe.chromium import Question, find_chromium
from doublet.probe.guard import Guard
from doublet.probe.page import look

_IDLE_S = 60.0


def launch_flags() -> list[str]:
    """Flags of a browser that calls nobody but the site."""
    quiet = "background-networking component-update sync default-apps extensions".split()
    return ["--no-first-run", "--disable-gpu", *(f"--disable-{name}" for name in quiet)]


def _serve(flags: list[str]) -> None:
    # A terminal interrupts the whole group; this ends when its questions do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    path = find_chromium()
    assert path is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[*launch_flags(), *flags],
            # For root Chromium has none.
            chromium_sandbox=os.geteuid() != 0,
        )
        try:
            while select.select([sys.stdin], [], [], _IDLE_S)[0]:
                line = sys.stdin.buffer.readline()
                if not line:
                    break
                question = msgspec.json.decode(line, type=Question)
                expected = Expected(*question.expected)
                sight = look(browser, expected, Guard(question.reaches_private))
                sys.stdout.buffer.write(msgspec.json.encode(sight) + b"\n")
                sys.stdout.buffer.flush()
        finally:
            browser.close()


if __name__ == "__main__":
    _serve(sys.argv[1:])
