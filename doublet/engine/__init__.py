"""The engine: runs the SQL of models and reports over the lake and the derived tables.

This is the contract; `doublet.engine.duckdb` is the embedded implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

NOTHING: Mapping[str, Any] = {}


class Transaction(Protocol):
    """Statements that become visible together or not at all."""

    def run(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """Execute one statement with named parameters (`$name`); its rows, if it has any."""


class Engine(Protocol):
    """What models and reports need."""

    @property
    def changes(self) -> int:
        """How many transactions were committed: while it stays, all tables are as they were."""

    @property
    def report_changes(self) -> int:
        """The same without those of audiences: while it stays, reports say what they said."""

    def query(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> list[dict[str, Any]]:
        """Rows of a SELECT as dicts, over one consistent state of all tables. Thread-safe."""

    def columns(self, sql: str, parameters: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """The same rows as one numpy array for each column, for millions of them; no column may
        hold null."""

    def transaction(self, *, is_reported: bool = True) -> AbstractContextManager[Transaction]:
        """A transaction: commits at the end, rolls back on an exception. One at a time. With
        `is_reported` off it must touch no table that reports read."""

    def checkpoint(self) -> None:
        """Tidy what transactions have left, while none is under way."""
