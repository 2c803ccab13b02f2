"""Events, records and a whole pipeline in a folder, made as a caller wants them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from doublet import models
from doublet.accept import Arrival, accept_events, order_record, read_request
from doublet.engine.duckdb import DuckDBEngine
from doublet.errors import BusyError
from doublet.event import WireOrder
from doublet.lake import Lake
from doublet.log.disk import DiskLog
from doublet.log.writer import DiskWriter, Limits, take_slot

ACCOUNT = "act_100000000000001"
PIXEL = "1000000000000001"
NOON = 1_780_000_000_000_000
"""A moment in µs since 1970: 2026-05-28 20:26:40 UTC."""
SECOND = 1_000_000
HOUR = 3600 * SECOND
DEFAULT_RULES = models.Rules()


def sha256(text: str) -> str:
    """SHA-256 as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_event(**fields: Any) -> dict[str, Any]:
    """A server event that would be accepted, with `fields` in place of the usual ones."""
    event = {
        "event_name": "Purchase",
        "event_time": NOON // SECOND,
        "event_id": "order.1",
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {"em": [sha256("mary@example.com")]},
        "custom_data": {"value": 10.5, "currency": "USD"},
    }
    event.update(fields)
    return {key: value for key, value in event.items() if value is not None}


def make_record(
    received_at: int = NOON,
    source: str = "server",
    slot: int = 0,
    account_id: str = ACCOUNT,
    pixel_id: str = PIXEL,
    **fields: Any,
) -> bytes:
    """The record of one accepted copy."""
    fields.setdefault("event_time", received_at // SECOND)
    body = msgspec.json.encode({"data": [make_event(**fields)]})
    request = read_request(body)
    arrival = Arrival(account_id, pixel_id, source, received_at, slot)  # type: ignore[arg-type]
    records = accept_events(request, arrival)  # type: ignore[arg-type]
    assert isinstance(records, list), records
    return records[0]


def make_order(
    kind: str, at: int = 0, received_at: int | None = None, account_id: str = ACCOUNT, **fields: Any
) -> bytes:
    """The record of one accepted message about an order: what happened `at` µs after NOON, received
    at once unless `received_at` says otherwise."""
    message = {"order_id": "1001", "kind": kind, "changed_at": (NOON + at) / SECOND, **fields}
    received_at = NOON + at if received_at is None else received_at
    arrival = Arrival(account_id, "", "server", received_at, 0)
    record = order_record(msgspec.convert(message, WireOrder), arrival)
    assert isinstance(record, bytes), record
    return record


class Pipeline:
    """Log, lake, engine and models in one folder; everything real."""

    def __init__(
        self, folder: Path, *, rows_max: int = 100_000, rules: models.Rules = DEFAULT_RULES
    ) -> None:
        self.folder = folder
        self.rules = rules
        self.rows_max = rows_max
        self.log = DiskLog(folder / "log", Limits(queue_size_bytes_max=1 << 30))
        self.engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "tmp" / "duckdb")
        self.lake = Lake(folder / "lake", folder / "tmp", self.engine.connection.cursor())
        models.prepare(self.engine, rules)

    def append(self, records: Sequence[bytes], slot: int = 0) -> None:
        """Write records to a slot of the log, in one group, and wait until they are durable."""
        done = threading.Event()
        errors: list[BusyError | None] = []

        def on_commit(tokens: list[Any], error: BusyError | None) -> None:
            errors.append(error)
            done.set()

        lock = take_slot(self.folder / "log", slot)
        assert lock is not None
        writer = DiskWriter(self.folder / "log", slot, lock, on_commit, Limits())
        writer.submit(records, None)
        assert done.wait(30)
        writer.close()
        assert errors == [None]

    def refresh(self) -> models.Refreshed:
        """Load and model everything that is in the log."""
        while self.lake.load(self.log).rows:
            pass
        return models.refresh(self.engine, self.lake, self.rules, self.rows_max)

    def rebuild(self, rows_max: int) -> models.Refreshed:
        """Make all tables anew."""
        return models.rebuild(self.engine, self.lake, self.rules, rows_max)

    def compact(self) -> None:
        """Merge what is small in `events`, as the worker does."""
        table = self.lake.events
        for group in table.mergeable(models.seen_files(self.engine)):
            made = table.replace(group, table.merge(self.engine.connection.cursor(), group))
            models.adopt(self.engine, made, [file.path for file in group])

    def table(self, name: str, order: str) -> list[dict[str, Any]]:
        """All rows of a derived table."""
        return self.engine.query(f"select * from {name} order by {order}")

    def events(self) -> list[dict[str, Any]]:
        """All rows of events_deduplicated."""
        return self.table("events_deduplicated", "pixel_id, event_key, anchor_at")

    def close(self) -> None:
        """Give the database back."""
        self.lake.close()
        self.engine.close()
