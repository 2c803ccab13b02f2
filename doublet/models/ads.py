"""What platforms say of their ads: each day as it was last told, and what everything is called.

`AD_MODELS` is its tables, in order. Rows may come in any order and any number of times: of one ad
and day the one that was received last counts, of a name the last row that says one, so that only
what is touched need be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from doublet.engine import Engine, Transaction
from doublet.lake import Lake
from doublet.lake.columns import AD_DAYS
from doublet.lake.table import File, Table, empty_sql
from doublet.models import touching
from doublet.models.forget import note_places
from doublet.models.tables import LIVE, Tables, model_sql

AD_MODELS: tuple[str, ...] = ("ad_days", "ad_fields", "ads")

_TOLD = ", ".join(
    column.name
    for column in AD_DAYS
    if column.name not in ("record_type", "source", "received_date")
)

COUNTED = "counted_ad_days"
"""The text that tells of which rows of `ad_days` other figures count than they say."""

_COUNTS = ", ".join(
    f"counts_{figure} = counted.counts_{figure}"
    for figure in ("impressions", "clicks", "spend", "reported")
)

_NO_FIELDS = (
    "select '' as account_id, '' as platform, '' as level, '' as id, '' as field, '' as value, "
    "received_at, log_slot, log_offset from told_ad_days"
)


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield."""
    tx.run(f"create or replace temp table told_ad_days as select {_TOLD} from {empty_sql(AD_DAYS)}")
    tx.run(f"create or replace table {names.ad_days} as {model_sql('ad_days')}")
    tx.run(f"create or replace temp table kept_ad_fields as {_NO_FIELDS}")
    tx.run(f"create or replace table {names.ad_fields} as {model_sql('ad_fields')}")
    tx.run(f"create or replace temp table named_ad_fields as from {names.ad_fields}")
    tx.run(f"create or replace table {names.ads} as {model_sql('ads')}")


def take_rows(tx: Transaction, names: Tables, table: Table, batch: list[File]) -> None:
    """Take in the rows in some files of the lake, and make the days they touch anew, and the names
    of their platforms. Rows that are in already change nothing."""
    tx.run(
        f"create or replace temp table told_ad_days as select {_TOLD} "
        f"from {table.read_sql([file.path for file in batch])}"
    )
    tx.run(
        "create or replace temp table touched_ad_days as "
        "select distinct account_id, platform, date from told_ad_days"
    )
    tx.run(
        "create or replace temp table touched_platforms as "
        "select distinct account_id, platform from touched_ad_days"
    )
    _take_names(tx, names)
    _take_days(tx, names)


def _take_names(tx: Transaction, names: Tables) -> None:
    """What the rows in `told_ad_days` call everything."""
    tx.run(
        f"create or replace temp table kept_ad_fields as from {names.ad_fields} "
        "semi join touched_platforms using (account_id, platform)"
    )
    _drop_platforms(tx, names.ad_fields)
    tx.run(f"insert into {names.ad_fields} {model_sql('ad_fields')}")
    tx.run(
        f"create or replace temp table named_ad_fields as from {names.ad_fields} "
        "semi join touched_platforms using (account_id, platform)"
    )
    _drop_platforms(tx, names.ads)
    tx.run(f"insert into {names.ads} {model_sql('ads')}")


def _drop_platforms(tx: Transaction, table: str) -> None:
    tx.run(
        f"delete from {table} as kept using touched_platforms as touched "
        "where kept.account_id = touched.account_id and kept.platform = touched.platform"
    )


def _take_days(tx: Transaction, names: Tables) -> None:
    """The days that the rows in `told_ad_days` touch, and what counts of them."""
    same_day = (
        "kept.account_id = touched.account_id and kept.platform = touched.platform "
        "and kept.date is not distinct from touched.date"
    )
    kept = ", ".join(f"kept.{name}" for name in _TOLD.split(", "))
    tx.run(
        f"insert into told_ad_days select {kept} from {names.ad_days} as kept "
        f"inner join touched_ad_days as touched on {same_day}"
    )
    tx.run(f"delete from {names.ad_days} as kept using touched_ad_days as touched where {same_day}")
    tx.run(f"insert into {names.ad_days} {model_sql('ad_days')}")
    for table in ("ad_days", "ads"):
        tx.run(
            f"create or replace temp table named_{table} as from {getattr(names, table)} "
            "semi join touched_platforms using (account_id, platform)"
        )
    tx.run(f"create or replace temp table counted_ad_days as {model_sql(COUNTED)}")
    tx.run(
        f"update {names.ad_days} as kept set {_COUNTS} from counted_ad_days as counted "
        "where kept.log_slot = counted.log_slot and kept.log_offset = counted.log_offset"
    )


def retake_decisions(engine: Engine, lake: Lake) -> None:
    """Follow the decisions as they are in the lake now, where rows may have changed."""
    lake.update()
    with engine.transaction() as tx:
        touching.take_decisions(tx, LIVE, lake.decisions)


def forget_touches(engine: Engine, lake: Lake, places: Sequence[tuple[int, int]]) -> None:
    """Make anew what was made of the ad touches at these places (log slot and offset), whose rows
    have changed in the lake, or are gone from it; in one transaction."""
    if not places:
        return
    lake.update()
    seen = {row["path"] for row in engine.query("select path from lake_files")}
    files = [file for file in lake.ad_touches.files() if file.path in seen]
    with engine.transaction() as tx:
        note_places(tx, places)
        touching.retake_touches(tx, LIVE, lake.ad_touches, files, "changed_places")


def expire_touches(engine: Engine, lake: Lake, before: datetime) -> None:
    """Take out the ad touches that were received before a moment and are gone from the lake; of
    those that came again later, the later record is taken in."""
    gone = engine.query(
        "select log_slot, log_offset from touches "
        "where pixel_id = '' and anchor_at < $before and log_slot is not null",
        {"before": before},
    )
    forget_touches(engine, lake, [(row["log_slot"], row["log_offset"]) for row in gone])
