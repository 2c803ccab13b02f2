"""Real `doublet` processes for tests: started on free ports, stopped, and looked for afterwards.

Every process carries a mark in its environment, which its descendants inherit, so that a test can
assert that none is left. They die with the test process, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from doublet.catalog import Catalog
from doublet.settings import Settings

T = TypeVar("T")

_MARK = "RUN_OF_TEST"
_FIRST_PORT = 12_000
_PORTS = 2_500
_WORKERS_MAX = 8
_GIVEN: set[int] = set()
_START_S = 60.0
_STOP_S = 40.0

# The kernel's wish to die with the parent outlives exec (prctl(2)), so the command itself is real.
_LAUNCH = (
    "import os, sys; from doublet.processes import die_with_parent; "
    "die_with_parent(int(sys.argv[1])); "
    "os.execv(sys.executable, [sys.executable, '-m', 'doublet', *sys.argv[2:]])"
)


def free_port() -> int:
    """A port of the loopback address that nobody listens on. It is below those that the system
    gives to outgoing connections, and no other process of this run chooses it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS_MAX
    while True:
        port = _FIRST_PORT + worker * _PORTS + secrets.randbelow(_PORTS)
        with socket.socket() as probe:
            # As a server does, which may follow one that was there a moment ago.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(look: Callable[[], T], seconds: float = 20.0, what: str = "") -> T:
    """The first true value of `look`, which is asked again and again; fails after `seconds`."""
    give_up_at = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {what or look}"
        time.sleep(0.02)
    return found


class DoubletProcess:
    """One running `doublet` command; what it prints goes to files in `folder`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.arguments = arguments
        self.stdout_file = folder / f"{arguments[0]}.stdout"
        self.stderr_file = folder / f"{arguments[0]}.stderr"
        self._mark = secrets.token_hex(8)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
        with self.stdout_file.open("wb") as out, self.stderr_file.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(os.getpid()), *arguments],
                env=environ | {_MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def stderr(self) -> str:
        """What it and its parts have said so far."""
        return self.stderr_file.read_text("utf-8", "replace")

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self.stdout_file.read_text("utf-8", "replace")

    def wait_until(self, look: Callable[[], T], seconds: float = _START_S, what: str = "") -> T:
        """The first true value of `look`; fails with what the process said when it ends or when
        the time is over."""

        def still() -> T | None:
            found = look()
            if found:
                return found
            assert self.process.poll() is None, (
                f"ended with {self.process.returncode} before {what or look}:\n{self.stderr}"
            )
            return None

        try:
            found = wait_for(still, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.stderr}") from None
        assert found
        return found

    def wait(self, seconds: float = _STOP_S) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.stderr}") from None

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signal the main process alone, as a terminal or service manager would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def pids(self) -> list[int]:
        """The process and all its descendants that still live, zombies left out."""
        mark = f"{_MARK}={self._mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return sorted(found)

    def wait_until_gone(self, seconds: float = 10.0) -> None:
        """Fails when a process of this command is still there after that time."""
        wait_for(lambda: not self.pids(), seconds, f"no process of {self.arguments} is left")

    def kill(self) -> None:
        """Kill all there is of it, and reap."""
        for pid in self.pids():
            # It may have gone on its own since it was listed.
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(_STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- doublet {' '.join(self.arguments)}\n{self.stderr}\n")
        self.kill()


class RunningServer(DoubletProcess):
    """A real `doublet serve` in `folder`/data with one account, pixel and token, ready to take
    events. Use it as a context manager, or call `stop`."""

    def __init__(self, folder: Path, *flags: str, workers: int = 2, port: int = 0) -> None:
        """`flags` are further flags of `doublet serve`. A folder used before keeps its data and
        gets a new pixel and token of the same account."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = Settings(data=folder / "data", port=self.port, workers=workers)
        catalog = Catalog(self.settings.catalog_url)
        catalog.migrate()
        account = next(iter(catalog.accounts()), None) or catalog.create_account("Test shop")
        self.account_id = account.account_id
        pixel, self.access_token = catalog.create_pixel(account.account_id, "Test shop")
        self.pixel_id = pixel.pixel_id
        catalog.close()
        super().__init__(
            folder,
            "serve",
            *(f"--data={self.settings.data}", f"--port={self.port}", f"--workers={workers}"),
            *flags,
        )
        try:
            self.wait_until(self._is_ready, what="/health is not 'starting'")
        except BaseException:
            self.kill()
            raise

    def _is_ready(self) -> bool:
        """Tables are fresh before the dashboard answers; on a busy machine by seconds."""
        try:
            status = httpx.get(f"{self.url}/health", timeout=5).json()["status"]
            if status != "ok":
                return bool(status != "starting")
            return httpx.get(f"{self.url}/overview.json", timeout=5).status_code != 503
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    @property
    def headers(self) -> dict[str, str]:
        """What proves to the server that one may read the account."""
        return {"authorization": f"Bearer {self.access_token}"}

    def overview(self) -> dict[str, dict[str, Any]]:
        """/overview.json as it is now, by event name."""
        answer = httpx.get(f"{self.url}/overview.json", headers=self.headers, timeout=30)
        assert 200 == answer.status_code, answer.text
        return {row["event_name"]: row for row in answer.json()}

    def run(self, *arguments: str) -> Any:
        """The JSON that another `doublet` command prints, run to its end on the same data."""
        done = subprocess.run(
            [sys.executable, "-m", "doublet", *arguments, f"--data={self.settings.data}", "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout)


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[str]:
    """The address under which an ASGI application of this process answers, on a real socket."""
    port = port or free_port()
    loop = asyncio.new_event_loop()
    ready: list[Server] = []

    async def serve() -> None:
        server = Server(
            app, port=port, interface=Interfaces.ASGI, log_level=LogLevels.error, backlog=64
        )
        ready.append(server)
        await server.serve()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="served")
    thread.start()
    try:
        wait_for(lambda: is_listening(port), what=f"the application listens on {port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(ready[0].stop)
        thread.join()
