"""What all benchmarks share: the payload, servers on free loopback ports, and their cost.

Cost is read from Linux's /proc for just the processes that answer: processor time of all their
threads (exact to 10 ms per reading), bytes written, proportional set size. It promises nothing on
other systems.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from doublet.catalog import Catalog
from doublet.log.disk import DiskLog
from doublet.settings import Settings

PAYLOAD = Path(__file__).with_name("events.jsonl")
MIB = 1 << 20
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_START_S = 60.0
_STOP_S = 30.0
_SAMPLE_S = 0.2


# --- the payload -----------------------------------------------------------------------------


def events(now_s: int | None = None) -> list[dict[str, Any]]:
    """The events of the fixed payload, each with a fresh `event_time`."""
    event_time = int(time.time()) if now_s is None else now_s
    lines = PAYLOAD.read_text("utf-8").splitlines()
    return [{**json.loads(line), "event_time": event_time} for line in lines]


def hit_pairs(event: dict[str, Any], pixel_id: str) -> list[tuple[str, str]]:
    """The event as its browser copy: the parameters that the pixel puts into `/tr`."""
    user, custom = event["user_data"], event["custom_data"]
    milliseconds = str(event["event_time"] * 1000)
    hashed = [(f"ud[{key}]", value[0]) for key, value in user.items() if isinstance(value, list)]
    return [
        ("id", pixel_id),
        ("ev", event["event_name"]),
        ("dl", event["event_source_url"]),
        ("rl", ""),
        ("if", "false"),
        ("ts", milliseconds),
        *((f"cd[{key}]", _parameter(value)) for key, value in custom.items()),
        ("sw", "1920"),
        ("sh", "1080"),
        *hashed,
        ("v", "0.1.0"),
        ("ec", "0"),
        ("fbp", user["fbp"]),
        ("fbc", user["fbc"]),
        ("eid", event["event_id"]),
        ("it", milliseconds),
        ("rqm", "GET"),
    ]


def _parameter(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


# --- processes -------------------------------------------------------------------------------


class Usage(NamedTuple):
    """What processes have used since they began: seconds of processor time, bytes handed to
    write calls (those to sockets included), bytes that reached the disk or are on their way."""

    cpu_s: float
    wchar: int
    write_bytes: int

    def since(self, earlier: Usage) -> Usage:
        """What was used in between."""
        return Usage(
            self.cpu_s - earlier.cpu_s,
            self.wchar - earlier.wchar,
            self.write_bytes - earlier.write_bytes,
        )


def usage(pids: Sequence[int]) -> Usage:
    """The sum over some processes, all their threads included."""
    ticks = written = on_disk = 0
    for pid in pids:
        # The command stands in brackets and may hold spaces (proc(5)); user and system time are
        # the 12th and 13th field behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        counters = dict(line.split(": ") for line in lines)
        written += int(counters["wchar"])
        on_disk += int(counters["write_bytes"])
    return Usage(ticks / _TICKS_PER_S, written, on_disk)


def pss_bytes(pid: int) -> int:
    """Proportional set size: pages shared with others count by their share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


class PeakMemory:
    """The largest proportional set size of any of some processes, looked at 5 times a second."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.peak_bytes = 0
        self._pids = pids
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, *map(pss_bytes, self._pids))
            if self._done.wait(_SAMPLE_S):
                return


def wait_until(
    condition: Callable[[], bool], started: subprocess.Popen[bytes], seconds: float = _START_S
) -> None:
    """Poll until the condition holds. Raises TimeoutError, at once when the process has ended."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at or started.poll() is not None:
            raise TimeoutError(f"{started.args!r} is not ready")
        time.sleep(0.02)


def wait_until_idle(pids: Sequence[int], idle_s: float = 0.2, share: float = 0.05) -> None:
    """Until the processes have used less than `share` of a core for `idle_s`."""
    before, since = usage(pids).cpu_s, time.monotonic()
    give_up_at = since + _START_S
    while time.monotonic() - since < idle_s:
        time.sleep(0.05)
        now = usage(pids).cpu_s
        if now - before > share * idle_s:
            before, since = now, time.monotonic()
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"processes {list(pids)} did not become idle")


# --- servers ---------------------------------------------------------------------------------


class Server(NamedTuple):
    """A server under measurement: `pids` are the processes that answer."""

    port: int
    pids: list[int]


class Collectors(NamedTuple):
    """Running collectors with a pixel of their own."""

    server: Server
    pixel_id: str
    access_token: str
    log: DiskLog


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def process(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block; settings of the caller do not reach it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    with (folder / "output.txt").open("ab") as output:
        started = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield started
    except TimeoutError:
        sys.stderr.write((folder / "output.txt").read_text("utf-8", "replace")[-4000:])
        raise
    finally:
        started.terminate()
        try:
            started.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def collectors(folder: Path, workers: int) -> Iterator[Collectors]:
    """`doublet collect` on a new data folder, ready to answer."""
    folder.mkdir(parents=True)
    settings = Settings(data=folder / "data", port=free_port(), workers=workers)
    catalog = Catalog(settings.catalog_url)
    catalog.migrate()
    account = catalog.create_account("Bench")
    pixel, access_token = catalog.create_pixel(account.account_id, "Bench")
    catalog.close()
    pairs = {"data": settings.data, "port": settings.port, "workers": workers}
    command = [sys.executable, "-m", "doublet", "collect"]
    command += [f"--set={name}={value}" for name, value in pairs.items()]
    log = DiskLog(settings.log_folder)
    with process(command, folder) as main:
        # Each collector takes a slot of the log before it answers.
        wait_until(lambda: len(log.partitions()) == workers, main)
        wait_until(lambda: answers(settings.port, "/health"), main)
        pids = children(main.pid)
        assert workers == len(pids), pids
        yield Collectors(Server(settings.port, pids), pixel.pixel_id, access_token, log)


# --- output ----------------------------------------------------------------------------------


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns: text to the left, figures to the right."""
    table = [titles, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(titles))]
    for row in table:
        cells = [
            cell.ljust(width) if n < 2 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def say(text: str) -> None:
    """Progress, for people only."""
    sys.stderr.write(text + "\n")
