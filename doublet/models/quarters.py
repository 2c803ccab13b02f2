"""Sums of events by quarters of an hour, from which reports over days are read.

A step takes events out of `events_deduplicated` and puts others in. What both change of the sums is
added to them in the same transaction, so that they are at all times those of the events there are.
"""

from __future__ import annotations

from doublet.engine import Transaction
from doublet.models.tables import Tables, model_sql

QUARTER_MODELS: tuple[str, ...] = ("event_quarters",)

SIGNS = (
    "is_marked, is_judged, is_joinable, sent_keys, dedupe_keys, timed_copies, within_5_minutes, "
    "within_2_hours, within_a_day"
)
"""Columns of an event that sums need and nothing else of a step."""

_COUNTED = (
    "account_id, pixel_id, event_name, event_time, value, currency, browser_copies, "
    f"server_copies, is_test, {SIGNS}"
)
_KEY = "account_id, pixel_id, event_name, quarter_s, currency, is_marked"


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield; `events_deduplicated` is there."""
    tx.run(
        "create or replace temp table counted_events as select cast(1 as integer) as sign, "
        f"{_COUNTED}, cast(null as bigint) as place from {names.events_deduplicated} limit 0"
    )
    tx.run(f"create or replace table {names.event_quarters} as {model_sql('event_quarters')}")


def take_events_out(tx: Transaction, names: Tables) -> None:
    """Delete the events that `touched` names, and note what they were."""
    # A look at all keys costs as much as deleting does; rows are deleted by their places.
    tx.run(
        f"create or replace temp table counted_events as select cast(-1 as integer) as sign, "
        f"{_COUNTED}, rowid as place from {names.events_deduplicated} "
        "semi join touched using (pixel_id, event_key, anchor_at)"
    )
    if tx.run("select 1 from counted_events limit 1"):
        tx.run(
            f"delete from {names.events_deduplicated} where rowid in "
            "(select place from counted_events)"
        )


def replace_touched(tx: Transaction, names: Tables) -> None:
    """Bring the sums up to date with the events taken out and those in `identified`."""
    tx.run(f"insert into counted_events select 1, {_COUNTED}, null from identified")
    tx.run(f"create or replace temp table changes as {model_sql('event_quarters')}")
    tx.run(
        f"insert into changes select * from {names.event_quarters} "
        f"semi join (select {_KEY} from changes) as changed using ({_KEY})"
    )
    same = " and ".join(f"old.{name} = changes.{name}" for name in _KEY.split(", "))
    tx.run(f"delete from {names.event_quarters} as old using changes where {same}")
    tx.run(
        f"insert into {names.event_quarters} select {_KEY}, sum(columns(* exclude ({_KEY}))) "
        f"from changes group by {_KEY} having sum(events) <> 0"
    )
