"""The tables that insights are read from, with rows as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from doublet.engine.duckdb import DuckDBEngine
from tests.factories import ACCOUNT, PIXEL

TABLES = (
    *("touches", "touchpoints", "conversions", "record_profiles", "profiles", "person_spans"),
    *("ads", "ad_days"),
)

COUNTED: dict[str, Any] = dict.fromkeys(
    ("counts_impressions", "counts_clicks", "counts_spend", "counts_reported"), True
)
"""Of a row of ad_days: all its figures count in sums."""
UNCOUNTED: dict[str, Any] = dict.fromkeys(COUNTED, False)


def clear(engine: DuckDBEngine) -> None:
    """Take all rows out."""
    with engine.transaction() as tx:
        for name in TABLES:
            tx.run(f"delete from {name}")


def insert(engine: DuckDBEngine, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put in rows of this account; what one does not name is null."""
    if not rows:
        return
    names = sorted({name for row in rows for name in row} | {"account_id"})
    parameters = {
        f"{name}_{number}": row.get(name, ACCOUNT if name == "account_id" else None)
        for number, row in enumerate(rows)
        for name in names
    }
    values = ", ".join(
        f"({', '.join(f'${name}_{number}' for name in names)})" for number in range(len(rows))
    )
    with engine.transaction() as tx:
        tx.run(f"insert into {table} ({', '.join(names)}) values {values}", parameters)


def conversion(number: int, event_time: int, **fields: Any) -> dict[str, Any]:
    """A purchase on the website by a person of its own; `click_time`, `view_ad_id` … tell of its
    last touches."""
    return {
        "pixel_id": PIXEL,
        "event_key": number,
        "anchor_at": datetime.fromtimestamp(1_700_000_000 + number, UTC),
        "event_name": "Purchase",
        "event_time": event_time,
        "person_id": number,
        "value": 10,
        "currency": "USD",
        "action_source": "website",
        "browser_copies": 1,
        "server_copies": 1,
        **fields,
    }
