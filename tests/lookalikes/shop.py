"""A made-up shop whose persons have a taste: what they look at tells who will buy."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from doublet.engine.duckdb import DuckDBEngine

ACCOUNT = "act_100000000000001"
OTHER_ACCOUNT = "act_100000000000002"
NOW_S = 1_780_000_000
DAY_S = 86_400
COLUMNS = (
    "account_id varchar, pixel_id varchar, event_key bigint, anchor_at timestamptz, "
    "profile_key bigint, person_id bigint, event_name varchar, event_time bigint, "
    "action_source varchar, event_source_url varchar, domain varchar, path varchar, "
    "device_type varchar, value decimal(18,4), currency varchar, order_id varchar, "
    "content_ids varchar[], content_type varchar, content_category varchar, content_name varchar, "
    "num_items double, quantity double, country varchar, custom_data varchar"
)
INSERT = (
    "insert into behaviours select $account, '1', row_number() over (), to_timestamp(at_s), "
    "person, person, name, at_s, 'website', null, 'shop.example', null, 'desktop', value, 'USD', "
    "null, case when item = '' then null else [item] end, null, null, null, 1, 1, "
    "case when country = '' then null else country end, '{}' from (select unnest($person) as "
    "person, unnest($name) as name, unnest($at) as at_s, unnest($value) as value, "
    "unnest($item) as item, unnest($country) as country)"
)


def country_hash(code: str) -> str:
    """As `user_data.country` has it."""
    return sha256(code.encode()).hexdigest()


class Row(NamedTuple):
    """One behaviour; `item` and `country` are empty where there is none."""

    person: int
    name: str
    at: int
    value: float | None = None
    item: str = ""
    country: str = ""


def engine_of(folder: Path, rows: list[Row], account: str = ACCOUNT) -> DuckDBEngine:
    """An engine whose `behaviours` are these rows, and one of a stranger's account."""
    engine = DuckDBEngine(folder / "warehouse.duckdb", folder / "scratch")
    with engine.transaction() as tx:
        tx.run(f"create table behaviours ({COLUMNS})")
        columns = dict(zip(Row._fields, map(list, zip(*rows, strict=True)), strict=True))
        tx.run(INSERT, {"account": account, **columns})
        stranger = {
            name: [value] for name, value in Row(1, "Purchase", NOW_S - 9)._asdict().items()
        }
        tx.run(INSERT, {"account": OTHER_ACCOUNT, **stranger})
    return engine


def buyers(engine: DuckDBEngine, at_s: int) -> Collection[int]:
    """Who had bought by a moment."""
    rows = engine.query(
        "select distinct person_id from behaviours where event_name = 'Purchase' "
        "and account_id = $account and event_time <= $at",
        {"account": ACCOUNT, "at": at_s},
    )
    return [row["person_id"] for row in rows]


def tasteful(persons: int, seed: int, days: int = 100, strength: float = 1.0) -> list[Row]:
    """Persons who look at products of the 20 of their liking, or of all; of four likings, the first
    is that of those who buy readily: (1 + strength) times as often, the others less so. How active
    one is says nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(persons):
        liking = person % 4
        readiness = 0.05 * (1 + 3 * strength if liking == 0 else 1 - 0.6 * strength)
        for at in NOW_S - rng.uniform(0, days * DAY_S, rng.poisson(8)):
            kind = liking if rng.random() < 0.7 else int(rng.integers(4))
            item = f"p{kind}-{rng.integers(20)}"
            rows.append(Row(person * 31 + 7, "ViewContent", int(at), 10.0, item))
            if rng.random() < readiness:
                rows.append(Row(person * 31 + 7, "Purchase", int(at) + 60, 20.0, ""))
    return rows


def likings(members: Any) -> Any:
    """The liking of each person id."""
    return (np.asarray(members) - 7) // 31 % 4
