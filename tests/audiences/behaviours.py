"""A table `behaviours` in memory, and events written into it as the model would."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import duckdb

from doublet.audiences.compile import evaluation
from doublet.audiences.rule import AudienceRule
from tests.audiences.reference import Event, text_of

COLUMNS = {
    "account_id": "varchar",
    "pixel_id": "varchar",
    "event_key": "bigint",
    "anchor_at": "timestamptz",
    "profile_key": "bigint",
    "person_id": "bigint",
    "event_name": "varchar",
    "event_time": "bigint",
    "action_source": "varchar",
    "event_source_url": "varchar",
    "domain": "varchar",
    "path": "varchar",
    "device_type": "varchar",
    "value": "decimal(18, 4)",
    "currency": "varchar",
    "order_id": "varchar",
    "content_ids": "varchar[]",
    "content_type": "varchar",
    "content_category": "varchar",
    "content_name": "varchar",
    "num_items": "double",
    "quantity": "double",
    "country": "varchar",
    "custom_data": "varchar",
    "is_granted": "boolean",
}
ACCOUNT = "act_100000000000001"


def make_table(connection: duckdb.DuckDBPyConnection) -> None:
    """Empty."""
    listed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"create or replace table behaviours ({listed})")


def row(event: Event) -> list[Any]:
    """An event as behaviours hold it."""
    custom = event.get("custom")
    told: dict[str, Any] = dict(event)
    if custom is not None:
        told["custom_data"] = json.dumps(custom, separators=(",", ":"), ensure_ascii=False)
        for key in ("content_type", "content_category", "content_name"):
            if custom.get(key) is not None:
                told[key] = text_of(custom[key])
        ids = custom.get("content_ids")
        if "content_ids" in custom:
            found = ids if isinstance(ids, list) else [ids]
            told["content_ids"] = [None if each is None else text_of(each) for each in found]
        elif custom.get("contents"):
            found = [each.get("id") for each in custom["contents"]]
            told["content_ids"] = [None if each is None else text_of(each) for each in found]
    return [told.get(name) for name in COLUMNS]


def write(connection: duckdb.DuckDBPyConnection, events: Iterable[Event]) -> None:
    """These events and no others."""
    connection.execute("delete from behaviours")
    rows = [row(event) for event in events]
    if rows:
        marks = ", ".join("?" for _ in COLUMNS)
        connection.executemany(f"insert into behaviours values ({marks})", rows)


def evaluated(
    connection: duckdb.DuckDBPyConnection, rule: AudienceRule, now_s: int, since_s: int = 0
) -> dict[int, tuple[bool, int | None]]:
    """Whether a person is in and when that may change, by person, for whom there is a row."""
    sql, parameters = evaluation(rule)
    given = {"account_id": ACCOUNT, "now_s": now_s, "since_s": since_s}
    found = connection.execute(sql, {**parameters, **given}).fetchall()
    assert len(found) == len({person_id for person_id, _, _ in found})
    return {person_id: (is_in, due_s) for person_id, is_in, due_s in found}
