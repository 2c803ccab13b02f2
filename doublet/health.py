"""How far loading and modelling lag behind, as last written down by the worker."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

_STALE_S = 30.0
_HINDERED = "Loading or tidying is hindered; the server's log says by what."


class State(msgspec.Struct):
    """What the worker notes after each round; lags are at `checked_at` (Unix seconds)."""

    checked_at: float
    loaded_lag_s: float
    model_lag_s: float
    problem: str = ""


class Health(msgspec.Struct):
    """The answer of `/health`. `status` is ok, degraded (a problem) or starting (no worker)."""

    status: str
    loaded_lag_s: float | None
    model_lag_s: float | None
    problem: str = ""


STATE_FILE = "worker.json"


def write_state(folder: Path, state: State) -> None:
    """Replace the note in one step."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = folder / f"{STATE_FILE}.new"
    scratch.write_bytes(msgspec.json.encode(state))
    scratch.replace(folder / STATE_FILE)


def health(folder: Path, disk_free_bytes_min: int = 0) -> Health:
    """Read the note; a worker that has not written for half a minute counts as gone. A disk with
    less than `disk_free_bytes_min` free takes no events."""
    found = _worker_health(folder)
    disk = os.statvfs(folder.parent)
    if disk.f_bavail * disk.f_frsize < disk_free_bytes_min or (disk.f_files and not disk.f_favail):
        full = "The disk is nearly full: events are answered with 503."
        return Health("degraded", found.loaded_lag_s, found.model_lag_s, full)
    return found


def _worker_health(folder: Path) -> Health:
    try:
        state = msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return Health("starting", None, None, "The worker has not reported yet.")
    age_s = max(0.0, time.time() - state.checked_at)
    behind = age_s if age_s > _STALE_S else 0.0
    # Everybody may ask, and the problem may name files: who runs the server reads it in full.
    shown = _HINDERED if state.problem else ""
    if behind and not shown:
        shown = f"The worker has been silent for {age_s:.0f} s."
    return Health(
        "degraded" if shown else "ok",
        round(state.loaded_lag_s + behind, 3),
        round(state.model_lag_s + behind, 3),
        shown,
    )
