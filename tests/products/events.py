"""A table of behaviours with single events in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doublet.engine.duckdb import DuckDBEngine
from tests.factories import ACCOUNT, PIXEL

NOW_S = 1_780_000_000
_COLUMNS = """account_id varchar, pixel_id varchar, event_key bigint, anchor_at timestamptz,
profile_key bigint, person_id bigint, event_name varchar, event_time bigint, action_source varchar,
event_source_url varchar, domain varchar, path varchar, device_type varchar, value decimal(18,4),
currency varchar, order_id varchar, content_ids varchar[], content_type varchar,
content_category varchar, content_name varchar, num_items double, quantity double, country varchar,
custom_data varchar, is_granted boolean"""


def engine_with(folder: Path, *events: dict[str, Any]) -> DuckDBEngine:
    """An engine with these events; each has person 1 and the time NOW_S where it says nothing."""
    engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "tmp")
    with engine.transaction() as tx:
        tx.run(f"create or replace table behaviours ({_COLUMNS})")
        for number, event in enumerate(events):
            row = {
                "account_id": ACCOUNT,
                "pixel_id": PIXEL,
                "event_key": number,
                "anchor_at": datetime.fromtimestamp(NOW_S, UTC),
                "profile_key": 1,
                "person_id": 1,
                "event_time": NOW_S,
                **event,
            }
            names = ", ".join(row)
            tx.run(
                f"insert into behaviours ({names}) select {', '.join(f'${n}' for n in row)}", row
            )
    return engine
