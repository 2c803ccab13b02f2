"""Memory of an idle server: `doublet serve` on an empty folder, all its processes.

The sum of proportional set sizes is what the machine would get back if the server ended: pages
that several of its processes share count once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from measure import (
    MIB,
    descendants,
    free_port,
    print_table,
    process,
    pss_bytes,
    say,
    wait_until,
    wait_until_idle,
)

_WORKER_SHARE = 0.2


def is_ready(port: int) -> bool:
    """Whether the worker has reported."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).json()
    except (httpx.HTTPError, ValueError):
        return False
    return bool(answer["status"] == "ok")


def part_of(pid: int) -> str:
    """Which part of the server a process is: the command of `doublet` it was started with."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    known = [word.decode() for word in words if word in (b"serve", b"work", b"collect")]
    return known[0] if known else words[0].decode("utf-8", "replace")


def measure(folder: Path, workers: int, idle_s: float) -> dict[str, Any]:
    """Start the server, wait until it has rested, read its memory, stop it."""
    port = free_port()
    command = [sys.executable, "-m", "doublet", "serve", "--data", str(folder / "data")]
    with process([*command, f"--port={port}", f"--workers={workers}"], folder) as main:
        wait_until(lambda: is_ready(port), main)
        pids = [main.pid, *descendants(main.pid)]
        say(f"{len(pids)} processes are up; waiting until they are idle …")
        # The worker looks for new events once a second, so it never rests entirely.
        wait_until_idle(pids, idle_s, _WORKER_SHARE)
        rows: list[dict[str, Any]] = [
            {"pid": pid, "part": part_of(pid), "pss_bytes": pss_bytes(pid)}
            for pid in (main.pid, *descendants(main.pid))
        ]
    return {
        "parameters": {"workers": workers, "idle_seconds": idle_s, "processes": len(rows)},
        "processes": rows,
        "pss_bytes": sum(row["pss_bytes"] for row in rows),
    }


def main() -> None:
    """Print one line per process, and the sum."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="collectors (default 2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="time of rest (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="doublet-bench-") as folder:
        result = measure(Path(folder), given.workers, given.seconds)
    if given.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result["parameters"].items():
        print(f"{name}: {value}")
    print()
    rows = [
        (row["part"], str(row["pid"]), f"{row['pss_bytes'] / MIB:.1f}")
        for row in result["processes"]
    ]
    print_table(("part", "pid", "MiB"), [*rows, ("all", "", f"{result['pss_bytes'] / MIB:.1f}")])


if __name__ == "__main__":
    main()
