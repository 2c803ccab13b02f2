"""A browser in a process of its own, so that neither its memory nor its faults are the worker's.

`driver` is that process: started for the first look, it serves the next ones too, and ends when
nobody has asked for a while.
"""

from __future__ import annotations

import importlib.util
import select
import shutil
import subprocess
import sys
import threading

import msgspec

from doublet.errors import OperatorError
from doublet.guide.sight import Sight
from doublet.guide.site import Expected

_ANSWER_S = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium() -> str | None:
    """The path of a browser that can be driven, None where it or Playwright is missing."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Question(msgspec.Struct):
    """What the process is asked: the fields of an `Expected`, and what it may open."""

    expected: tuple[str, ...]
    reaches_private: bool


class Chromium:
    """Asks the process with the browser. `flags` are further ones of Chromium."""

    def __init__(self, flags: tuple[str, ...] = ()) -> None:
        self._flags = flags
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, expected: Expected, *, reaches_private: bool) -> Sight:
        """What a visitor of the site meets. Raises OperatorError when the browser fails."""
        question = msgspec.json.encode(Question(tuple(expected), reaches_private)) + b"\n"
        with self._lock:
            # One that has ended after its idle time is no failure; one that just starts is.
            for process in (self._running(), None):
                answer = self._ask(process or self._start(), question)
                if answer:
                    return msgspec.json.decode(answer, type=Sight)
                self._end()
        raise OperatorError("The browser gave no answer.", "The check goes on by plain HTTP.")

    def _running(self) -> subprocess.Popen[bytes] | None:
        process = self._process
        return process if process is not None and process.poll() is None else None

    def _start(self) -> subprocess.Popen[bytes]:
        self._end()
        command = [sys.executable, "-P", "-m", "doublet.probe.driver", *self._flags]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def _ask(self, process: subprocess.Popen[bytes], question: bytes) -> bytes:
        """The answer, empty when there is none in time."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question)
            process.stdin.flush()
        except OSError:
            return b""
        ready, _, _ = select.select([process.stdout], [], [], _ANSWER_S)
        return process.stdout.readline() if ready else b""

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()
