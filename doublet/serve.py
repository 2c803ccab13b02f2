"""Everything on one machine behind one port: a supervisor over collectors and worker."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

import msgspec

from doublet.catalog import Catalog
from doublet.errors import DoubletError, OperatorError
from doublet.health import STATE_FILE
from doublet.processes import FileLock, check_port, make_data_folders, reserve_port
from doublet.settings import SETTINGS, Settings

logger = logging.getLogger(__name__)

_STOP_S = 30.0
_RESTART_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_S = 30.0
_START_ATTEMPTS = 4
_OPERATOR_EXIT = OperatorError.exit_code


class Part:
    """One supervised process: `doublet <command>` with the supervisor's settings."""

    def __init__(self, command: str, arguments: list[str]) -> None:
        self.command = command
        self._arguments = arguments
        self._restart_at: float | None = None
        self.early_deaths = 0
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, in a session of its own so that Ctrl-C reaches only the supervisor."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "doublet", self.command, *self._arguments],
            start_new_session=True,
        )
        self._restart_at = None
        self._started_at = time.monotonic()
        return self.process

    def replace_if_dead(self) -> None:
        """Start it again after its end; the more often it dies early, the later."""
        now = time.monotonic()
        if self.process.poll() is None:
            return
        if self._restart_at is None:
            is_early = now - self._started_at < _STEADY_S
            self.early_deaths = self.early_deaths + 1 if is_early else 1
            logger.error("part-died part=%s code=%s", self.command, self.process.returncode)
            pause_s = _RESTART_S[min(self.early_deaths, len(_RESTART_S)) - 1]
            self._restart_at = now + pause_s
        elif now >= self._restart_at:
            self.start()

    def stop(self) -> None:
        """Ask it to end, wait, insist."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                logger.error("stop-timeout part=%s", self.command)
                self.process.kill()
                self.process.wait()


class Supervisor:
    """Starts the parts, replaces those that die, stops all on SIGINT, SIGTERM or SIGHUP."""

    def __init__(self, settings: Settings, *more: tuple[str, ...]) -> None:
        """`more` are further parts: a command of `doublet` and its arguments each."""
        self._settings = settings
        self._more = more
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether a signal has come."""
        return self._stopping.is_set()

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve until a signal. Raises OperatorError when a part cannot work here, and for a file
        of faults that cannot be meant."""
        settings = self._settings
        if settings.faults:
            from doublet.faults.plan import read_plan

            read_plan(settings.faults)
        make_data_folders(settings)
        _warn_of_readers(settings)
        lock = FileLock(settings.run_folder / "serve.lock", str(settings.data))
        check_port(settings.host, settings.port)
        if settings.decide_workers:
            check_port(settings.host, settings.decide_port, flag="--set decide_port")
        Catalog(settings.catalog_url).migrate()
        (settings.run_folder / STATE_FILE).unlink(missing_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Whoever started the server with nohup wants it to outlive the terminal.
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:
                signal.signal(number, self._on_signal)
        parts: list[Part] = []
        held = ExitStack()
        try:
            parts.append(Part("work", flags(settings)))
            parts += self._doors(held)
            if settings.decide_workers:
                parts.append(Part("decide", flags(settings)))
            parts += [Part(command, [*flags(settings), *rest]) for command, *rest in self._more]
            if self._wait_until_ready(parts) and on_ready is not None:
                on_ready()
            # From here on nothing that befalls one part may close the doors.
            relay: Part | None = None
            while not self._stopping.wait(0.1):
                # The worker makes the outbox when there is something to relay to.
                if relay is None and settings.outbox_file.exists():
                    parts.append(relay := Part("relay", flags(settings)))
                for part in parts:
                    part.replace_if_dead()
        finally:
            # Collectors first: what they have accepted is then loaded by the worker's last round.
            for part in reversed(parts):
                part.stop()
            held.close()
            lock.release()

    def _doors(self, held: ExitStack) -> list[Part]:
        """The collectors; with faults a front has their port, and they listen behind it."""
        settings = self._settings
        if not settings.faults:
            return [Part("collect", flags(settings))]
        port = held.enter_context(reserve_port()).getsockname()[1]
        # The front says who the client is, by the networks that are trusted before it.
        inner = msgspec.structs.replace(
            settings, host="127.0.0.1", port=port, trusted_proxies="127.0.0.1"
        )
        front = [*flags(settings), f"--inner-port={port}"]
        return [Part("collect", flags(inner)), Part("fault-front", front)]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _wait_until_ready(self, parts: list[Part]) -> bool:
        """Until the worker has reported and the port answers."""
        import httpx

        url = f"{self._settings.local_url}/health"
        while not self._stopping.wait(0.05):
            for part in parts:
                _check_start(part)
            try:
                if httpx.get(url, timeout=2).json()["status"] != "starting":
                    return True
            except (httpx.HTTPError, ValueError, KeyError):
                continue
        return False


def _warn_of_readers(settings: Settings) -> None:
    mode = settings.data.stat().st_mode & 0o777
    if mode & 0o077:
        command = shlex.join(["chmod", "go-rwx", str(settings.data.absolute())])
        logger.warning("data-folder-open-to-others mode=%o close-with=%r", mode, command)


def _check_start(part: Part) -> None:
    """Raises when a part cannot start here; one that was killed is started again."""
    code = part.process.poll()
    if code == _OPERATOR_EXIT:
        raise OperatorError(
            f"`doublet {part.command}` cannot work here.", "Its message is printed above."
        )
    part.replace_if_dead()
    if part.early_deaths >= _START_ATTEMPTS:
        raise DoubletError(
            f"`doublet {part.command}` ended {part.early_deaths} times while starting.",
            "Its messages are printed above; please report them.",
        )


def first_user_address(settings: Settings) -> str:
    """Where the first user is made, once and within a day, by a link that is new with each call;
    empty when there are users."""
    catalog = Catalog(settings.catalog_url)
    try:
        if catalog.users.are_there():
            return ""
        return f"{settings.url}/welcome?code={catalog.users.make_link(None)}"
    finally:
        catalog.close()


def flags(settings: Settings) -> list[str]:
    """Every setting as a flag for a part, so that its own environment and doublet.toml, which
    count less, have no say; and who its parent is."""
    pairs = (f"{setting.name}={getattr(settings, setting.name)}" for setting in SETTINGS)
    return [f"--parent={os.getpid()}", *(f"--set={pair}" for pair in pairs)]
