"""Chosen ads and what became of them reach the lake once, with all that was known."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from deltalake import DeltaTable

from doublet.delivery.links import IMPRESSION_S
from doublet.delivery.records import touch_records
from doublet.event import AdDecision, encode
from doublet.lake import Lake
from doublet.lake.columns import AD_DECISIONS
from doublet.log.disk import DiskLog
from tests.delivery.test_links import LINK
from tests.factories import ACCOUNT, NOON, SECOND, Pipeline, make_record

DECISION = AdDecision(
    "ad_decision",
    ACCOUNT,
    "server",
    NOON,
    "d1",
    NOON,
    1,
    "prior",
    "13",
    "12",
    "11",
    0.25,
    0.01,
    0.001,
    0.07,
    3.5,
    0.0035,
    "0.0250",
    "EUR",
    "IMPRESSIONS",
    "7",
    "home",
    True,
    ["aud:1", "place:home"],
    40,
)


def test_decisions_have_a_table_of_their_own(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    for n in range(10):
        at = NOON + n * SECOND
        decision = msgspec.structs.replace(DECISION, received_at=at, decision_id=f"d{n}")
        pipeline.append([make_record(at, event_id=str(n)), encode(decision)])
    pipeline.close()
    log = DiskLog(tmp_path / "log")
    lake = Lake(tmp_path / "lake", tmp_path / "a", duckdb.connect())
    # What a loader has done that died after its first commit.
    chunk = log.read(0, 0, 1 << 20)
    assert chunk is not None
    paths, positions = lake._stage([chunk]), {0: chunk.next_position}
    made = lake._copy("ad_decisions", lake.ad_decisions, paths, positions, ["2026-05-28"])
    assert lake.ad_decisions.append(made, positions)
    lake.close()
    other = Lake(tmp_path / "lake", tmp_path / "b", duckdb.connect())
    assert 10 == other.load(log).rows
    other.close()
    table = DeltaTable(str(tmp_path / "lake" / "ad_decisions"))
    assert [c.name for c in AD_DECISIONS] == [field.name for field in table.schema().fields]
    columns = [c.name for c in AD_DECISIONS if c.name != "received_date"]
    selected = f"select {', '.join(columns)} from read_parquet($p) order by log_offset"
    rows = duckdb.execute(selected, {"p": table.file_uris()}).fetchall()
    assert [f"d{n}" for n in range(10)] == [row[columns.index("decision_id")] for row in rows]
    found: dict[str, Any] = dict(zip(columns, rows[0], strict=True))
    noon = datetime.fromtimestamp(NOON / SECOND, UTC)
    moments = (found.pop("received_at"), found.pop("decided_at"))
    assert (noon, noon) == moments
    amounts = {"price": Decimal("0.025")}
    told: dict[str, Any] = (
        msgspec.to_builtins(DECISION) | amounts | {"decision_id": "d0", "is_test": False}
    )
    del told["received_at"], told["decided_at"]
    assert told | {"log_slot": 0, "log_offset": 1} == found


def test_a_view_costs_and_tells_whom_the_ad_was_kept_from() -> None:
    at = LINK.decided_at * SECOND
    view, held_out = map(msgspec.json.decode, touch_records(LINK, "view", at))
    assert ("d1.1.v", "0.0250", "EUR", "13") == tuple(
        view[key] for key in ("touch_id", "cost", "currency", "ad_id")
    )
    assert "experiment" not in view
    assert "click_id" not in view
    assert ("held_out", "21", "21", "23") == tuple(
        held_out[key] for key in ("kind", "experiment", "campaign_id", "ad_id")
    )
    assert view["user_data"] == held_out["user_data"] == LINK.user_data


def test_a_click_bears_its_id_and_a_late_view_costs_nothing() -> None:
    at = LINK.decided_at * SECOND
    (click,) = map(msgspec.json.decode, touch_records(LINK, "click", at))
    assert ("d1.1.c", "abc") == (click["touch_id"], click["click_id"])
    assert "cost" not in click
    late = at + (IMPRESSION_S + 1) * SECOND
    view = msgspec.json.decode(next(touch_records(LINK, "view", late)))
    assert "cost" not in view
    assert "currency" not in view


def test_the_view_of_a_campaign_with_a_holdout_is_of_its_experiment() -> None:
    link = msgspec.structs.replace(LINK, is_experiment=True, held_out=())
    (view,) = map(msgspec.json.decode, touch_records(link, "view", LINK.decided_at * SECOND))
    assert "11" == view["experiment"]
