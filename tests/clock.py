"""A clock for tests."""

from __future__ import annotations


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.at
