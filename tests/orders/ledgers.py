"""Purchases, messages and what the ledger makes of them."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.factories import HOUR, NOON, Pipeline, make_record

DAY = 24 * HOUR
AMOUNTS = ("gross", "refunds", "cancelled", "net", "pending")


def make_purchase(
    at: int = 0, value: float = 100, currency: str = "EUR", order_id: str = "1001", **fields: Any
) -> bytes:
    """The record of a Purchase `at` µs after NOON."""
    custom = {"value": value, "currency": currency, "order_id": order_id}
    return make_record(NOON + at, event_id=f"{order_id}.{at}", custom_data=custom, **fields)


def orders(pipeline: Pipeline) -> list[dict[str, Any]]:
    return pipeline.table("orders", "account_id, order_id, currency")


def amounts(row: dict[str, Any]) -> tuple[Any, ...]:
    """State and sums of an order."""
    return (row["state"], *(float(row[name]) for name in AMOUNTS))


def told(pipeline: Pipeline, *records: bytes) -> dict[str, tuple[Any, ...]]:
    """State and sums by currency, after these records."""
    pipeline.append(records)
    pipeline.refresh()
    return {row["currency"]: amounts(row) for row in orders(pipeline)}


def at(record: bytes, received_at: int) -> bytes:
    """The same message, received at another time."""
    return msgspec.json.encode({**msgspec.json.decode(record), "received_at": received_at})


def ledgers(pipeline: Pipeline) -> tuple[list[Any], list[Any]]:
    """Orders and entries by order, without what tells the order of arrival."""
    untold = {"first_learned_at", "last_learned_at", "learned_at"}
    return tuple(  # type: ignore[return-value]
        [
            {key: value for key, value in row.items() if key not in untold}
            for row in pipeline.table(name, order)
        ]
        for name, order in (
            ("orders", "order_id, currency"),
            ("order_entries", "order_id, position, currency"),
        )
    )
