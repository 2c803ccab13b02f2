"""How far loading and modelling lag behind, as last written down by the worker."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

_STALE_S = 30.0


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


def health(folder: Path) -> Health:
    """Read the note; a worker that has not written for half a minute counts as gone."""
    try:
        state = msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return Health("starting", None, None, "The worker has not reported yet.")
    age_s = max(0.0, time.time() - state.checked_at)
    behind = age_s if age_s > _STALE_S else 0.0
    problem = state.problem or (f"The worker has been silent for {age_s:.0f} s." if behind else "")
    return Health(
        "degraded" if problem else "ok",
        round(state.loaded_lag_s + behind, 3),
        round(state.model_lag_s + behind, 3),
        problem,
    )
