"""How long until something is tried again: exponential with full jitter (M. Brooker, *Exponential
backoff and jitter*), where the waiting itself is done elsewhere."""

from __future__ import annotations

from tenacity import RetryCallState
from tenacity.wait import wait_base


def seconds_until(attempt: int, wait: wait_base) -> float:
    """Seconds to wait before the attempt that follows this one (the first is 1)."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempt
    return float(wait(state))
