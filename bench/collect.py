"""What an event costs at the collector: wrk against Doublet and against nginx, in turns.

Every answer of Doublet is durable. Each round checks that all answers were 200 and that the log
holds every event that was answered. nginx answers the same requests with `empty_gif` and writes
its access log; a granian server with an empty application shows what Python's HTTP alone costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from measure import (
    MIB,
    Collectors,
    PeakMemory,
    Server,
    answers,
    children,
    collectors,
    events,
    free_port,
    hit_pairs,
    print_table,
    process,
    say,
    usage,
    wait_until,
    wait_until_idle,
)

from doublet.log.disk import DiskLog

_OPERATOR_EXIT = 3
_SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_READ_BYTES = 64 * MIB
_RECORD = b'"record_type":"event"'
_REFUSED = b'"record_type":"refused"'


class Case(NamedTuple):
    """One kind of request. `batch` is events per request, 0 a hit of the pixel."""

    name: str
    batch: int
    connections: int
    workers: int
    bodies: int

    @property
    def events_per_request(self) -> int:
        """A hit is one event."""
        return self.batch or 1


CASES = (
    Case("GET /tr", 0, 64, 1, 600),
    Case("POST /events, 1", 1, 64, 1, 600),
    Case("POST /events, 100", 100, 16, 1, 24),
    Case("POST /events, 1000", 1000, 8, 1, 6),
    Case("POST /events, 100", 100, 16, 2, 24),
    Case("POST /events, 1000", 1000, 8, 2, 6),
)


# --- requests --------------------------------------------------------------------------------


def build_requests(case: Case, pixel_id: str, access_token: str) -> list[bytes]:
    """Whole HTTP requests, ready to be sent."""
    if case.batch == 0:
        return [_hit(event, pixel_id) for event in events()]
    path = f"/v25.0/{pixel_id}/events?access_token={access_token}"
    source = cycle(events())
    return [post(path, list(islice(source, case.batch))) for _ in range(case.bodies)]


def _hit(event: dict[str, Any], pixel_id: str) -> bytes:
    query = urlencode(hit_pairs(event, pixel_id))
    return (
        f"GET /tr/?{query} HTTP/1.1\r\n"
        "Host: collect.shop.example\r\n"
        f"User-Agent: {event['user_data']['client_user_agent']}\r\n"
        "Accept: image/avif,image/webp,image/apng,image/*,*/*;q=0.8\r\n"
        f"Referer: {event['event_source_url']}\r\n"
        "Accept-Encoding: gzip, deflate, br\r\n"
        "Accept-Language: en-GB,en;q=0.9\r\n\r\n"
    ).encode()


def post(path: str, batch: list[dict[str, Any]]) -> bytes:
    """One request of the Conversions API."""
    body = json.dumps({"data": batch}, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\n"
        "Host: collect.shop.example\r\n"
        "User-Agent: bench\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


# The script reads the requests before the clock starts and sends them in a circle.
_SCRIPT = """
local file = assert(io.open("%s", "rb"))
local bodies, at = {}, 0
for line in file:lines() do
  bodies[#bodies + 1] = file:read(tonumber(line))
end
file:close()

function request()
  at = at %% #bodies + 1
  return bodies[at]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests":%%d,"duration_us":%%d,"socket_errors":%%d,"status_errors":%%d,' ..
    '"p50_us":%%d,"p99_us":%%d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50), latency:percentile(99)))
end
"""


def write_script(folder: Path, requests: list[bytes]) -> Path:
    """The Lua script for wrk, and beside it the requests, each behind its length."""
    bodies = folder / "requests.bin"
    bodies.write_bytes(b"".join(b"%d\n%s" % (len(request), request) for request in requests))
    script = folder / "wrk.lua"
    script.write_text(_SCRIPT % bodies, "utf-8")
    return script


# --- references ------------------------------------------------------------------------------

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {folder}/access.log combined;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 16m;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port};
    location = /gif {{ empty_gif; }}
    # empty_gif knows no POST; its refusal becomes the same image, the body is read and dropped.
    location / {{ empty_gif; error_page 405 =200 /gif; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """nginx with one worker process, empty_gif and access log."""
    folder.mkdir()
    folder.chmod(0o755)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port), "utf-8")
    command = [str(shutil.which("nginx", path=_SEARCH)), "-p", str(folder)]
    with process([*command, "-e", f"{folder}/error.log", "-c", str(configuration)], folder) as main:
        wait_until(lambda: answers(port, "/"), main)
        yield Server(port, children(main.pid))


async def empty_application(scope: Any, receive: Any, send: Any) -> None:
    """ASGI: read nothing, answer a GIF of the size that the collector answers."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"image/gif"), (b"content-length", b"43")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"GIF89a" + bytes(37)})


def load_empty_application() -> Any:
    """Runs in granian's worker."""
    return empty_application


def serve_empty(port: int) -> None:
    """granian as the collector runs it, one worker, around the empty application."""
    from granian.constants import Interfaces, Loops, RuntimeModes
    from granian.log import LogLevels
    from granian.server import Server as Granian

    server = Granian(
        "collect",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        workers=1,
        loop=Loops.auto,
        runtime_mode=RuntimeModes.st,
        backlog=2048,
        backpressure=1024,
        websockets=False,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=load_empty_application, wrap_loader=False)


@contextmanager
def empty_granian(folder: Path) -> Iterator[Server]:
    """A granian process with the empty application."""
    folder.mkdir()
    port = free_port()
    with process([sys.executable, __file__, f"--serve-empty={port}"], folder) as main:
        wait_until(lambda: answers(port, "/"), main)
        yield Server(port, children(main.pid))


# --- measuring -------------------------------------------------------------------------------


class Tally:
    """Counts what the log holds, and frees it."""

    def __init__(self, log: DiskLog) -> None:
        self._log = log
        self._positions = dict.fromkeys(log.partitions(), 0)

    def take(self) -> tuple[int, int]:
        """Events and refused requests since the last time."""
        counted = refused = 0
        for partition in self._log.partitions():
            while True:
                position = self._positions.setdefault(partition, 0)
                chunk = self._log.read(partition, position, _READ_BYTES)
                if chunk is None:
                    break
                counted += chunk.lines.count(_RECORD)
                refused += chunk.lines.count(_REFUSED)
                self._positions[partition] = chunk.next_position
        self._log.delete(self._positions, older_than=float("inf"))
        return counted, refused


def whole_seconds(text: str) -> int:
    """wrk runs for whole seconds, at least one."""
    return max(1, round(float(text)))


def run_wrk(server: Server, script: Path, connections: int, seconds: int) -> dict[str, int]:
    """One run of wrk with one thread; its figures."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=30s", f"-s{script}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/"], capture_output=True, text=True, check=True
    )
    found: dict[str, int] = json.loads(done.stdout.partition("RESULT ")[2])
    return found


class Round(NamedTuple):
    """The figures of one run."""

    requests: int
    requests_per_s: float
    events_per_s: float
    cpu_us_per_request: float
    cpu_us_per_event: float
    cpu_cores: float
    write_bytes_per_s: float
    wchar_bytes_per_s: float
    pss_peak_bytes: float
    p50_us: float
    p99_us: float


def measure(server: Server, case: Case, script: Path, seconds: int) -> Round:
    """Run wrk once; whatever is not an answer of 200 is an error."""
    with PeakMemory(server.pids) as memory:
        before = usage(server.pids)
        found = run_wrk(server, script, case.connections, seconds)
        wait_until_idle(server.pids)
        used = usage(server.pids).since(before)
    if found["status_errors"] or found["socket_errors"] or not found["requests"]:
        raise SystemExit(f"{case.name}: not every answer was 200: {found}")
    requests, took_s = found["requests"], found["duration_us"] / 1e6
    count = requests * case.events_per_request
    return Round(
        requests,
        requests / took_s,
        count / took_s,
        used.cpu_s * 1e6 / requests,
        used.cpu_s * 1e6 / count,
        used.cpu_s / took_s,
        used.write_bytes / took_s,
        used.wchar / took_s,
        memory.peak_bytes,
        found["p50_us"],
        found["p99_us"],
    )


def check_log(case: Case, requests: int, tally: Tally) -> tuple[int, int]:
    """Events answered and events in the log. wrk cuts its last requests off, so that the log may
    hold as many more as there are connections, and never fewer."""
    logged, refused = tally.take()
    answered = requests * case.events_per_request
    spare = case.connections * case.events_per_request
    if refused or not answered <= logged <= answered + spare:
        raise SystemExit(f"{case.name}: {answered} events answered, {logged} logged, {refused=}")
    return answered, logged


def run_case(case: Case, folder: Path, seconds: int, rounds: int) -> list[dict[str, Any]]:
    """All servers in turns, a few rounds; one row of medians for each server."""
    found: dict[str, list[Round]] = {}
    answered = logged = 0
    with ExitStack() as stack:
        ours: Collectors = stack.enter_context(collectors(folder / "doublet", case.workers))
        servers = {"doublet": ours.server, "nginx": stack.enter_context(nginx(folder / "nginx"))}
        if case.batch == 0:
            servers["empty granian"] = stack.enter_context(empty_granian(folder / "granian"))
        script = write_script(folder, build_requests(case, ours.pixel_id, ours.access_token))
        tally = Tally(ours.log)
        for server in servers.values():
            run_wrk(server, script, case.connections, max(1, seconds // 4))
            wait_until_idle(server.pids)
        tally.take()
        for number in range(rounds):
            for name, server in servers.items():
                say(f"{case.name}, {case.workers} collector(s), round {number + 1}: {name}")
                figures = measure(server, case, script, seconds)
                found.setdefault(name, []).append(figures)
                if name == "doublet":
                    more = check_log(case, figures.requests, tally)
                    answered, logged = answered + more[0], logged + more[1]
        rows = [_row(case, name, len(servers[name].pids), found) for name in servers]
    rows[0] |= {"answered_events": answered, "logged_events": logged}
    return rows


def _row(case: Case, name: str, processes: int, found: dict[str, list[Round]]) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case.name, "events_per_request": case.events_per_request}
    row |= {"server": name, "processes": processes, "connections": case.connections}
    for field in Round._fields[1:]:
        row[field] = statistics.median(getattr(figures, field) for figures in found[name])
    row["ratio_to_nginx"] = statistics.median(
        ours.requests_per_s / theirs.requests_per_s
        for ours, theirs in zip(found[name], found["nginx"], strict=True)
    )
    return row


def disk_rate(folder: Path, seconds: float) -> float:
    """Bytes per second that the disk takes in pieces of 1 MiB, each synced, as the log does."""
    piece = os.urandom(MIB)
    file = os.open(folder / "disk", os.O_WRONLY | os.O_CREAT)
    started_at = time.monotonic()
    at = 0
    try:
        while time.monotonic() - started_at < seconds:
            os.pwrite(file, piece, at)
            os.fdatasync(file)
            at += len(piece)
        return at / (time.monotonic() - started_at)
    finally:
        os.close(file)
        (folder / "disk").unlink()


# --- output ----------------------------------------------------------------------------------

_TITLES = (
    *("case", "server", "processes", "requests/s", "events/s", "of nginx", "cpu µs/event"),
    *("cpu µs/request", "cores", "disk MB/s", "written MB/s", "peak MiB", "p50 ms", "p99 ms"),
)


def print_rows(result: dict[str, Any]) -> None:
    """For people: what was run, then one line per case and server."""
    for name, value in result["parameters"].items():
        print(f"{name}: {value}")
    print()
    rows = [
        (
            row["case"],
            row["server"],
            str(row["processes"]),
            f"{row['requests_per_s']:,.0f}",
            f"{row['events_per_s']:,.0f}",
            f"{row['ratio_to_nginx']:.3f}",
            f"{row['cpu_us_per_event']:.1f}",
            f"{row['cpu_us_per_request']:,.1f}",
            f"{row['cpu_cores']:.2f}",
            f"{row['write_bytes_per_s'] / 1e6:.1f}",
            f"{row['wchar_bytes_per_s'] / 1e6:.1f}",
            f"{row['pss_peak_bytes'] / MIB:.0f}",
            f"{row['p50_us'] / 1e3:.1f}",
            f"{row['p99_us'] / 1e3:.1f}",
        )
        for row in result["rows"]
    ]
    print_table(_TITLES, rows)


def check_tools() -> None:
    """Exit with what to install when a program is missing."""
    missing = [name for name in ("wrk", "nginx") if not shutil.which(name, path=_SEARCH)]
    if missing:
        say(f"{' and '.join(missing)} is missing. Install with: apt-get install wrk nginx-light")
        sys.exit(_OPERATOR_EXIT)


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--seconds", type=whole_seconds, default=4, help="length of one run (default 4)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs per server (default 3)")
    parser.add_argument("--case", action="append", type=int, help="only this case, from 0")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve-empty", type=int, metavar="PORT", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run the cases and print the figures."""
    given = read_arguments()
    if given.serve_empty:
        serve_empty(given.serve_empty)
        return
    check_tools()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="doublet-bench-") as folder:
        say("what the disk takes")
        disk = disk_rate(Path(folder), given.seconds)
    for number, case in enumerate(CASES):
        if given.case is None or number in given.case:
            with tempfile.TemporaryDirectory(prefix="doublet-bench-") as folder:
                Path(folder).chmod(0o755)
                rows += run_case(case, Path(folder), given.seconds, given.rounds)
    parameters = {
        "seconds": given.seconds,
        "rounds": given.rounds,
        "wrk_threads": 1,
        "cores": os.cpu_count(),
        "durable": True,
        "disk_mb_per_s": round(disk / 1e6),
    }
    result = {"parameters": parameters, "rows": rows}
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        print_rows(result)


if __name__ == "__main__":
    main()
