"""Making events anew whose copies have changed in the lake, or have gone from it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from doublet.engine import Engine, Transaction
from doublet.lake.table import Table
from doublet.models import _files_holding, _step, seen_files

Place = tuple[int, int]


def forget(engine: Engine, table: Table, places: Collection[Place]) -> int:
    """Take the copies at these places (log slot, offset) out of the derived tables, and make the
    events they belong to anew from what the lake holds by now; how many keys that were.

    One transaction; the same rows as after a rebuild. Copies that are gone from the lake leave
    nothing behind.
    """
    if not places:
        return 0
    table.update()
    seen = seen_files(engine)
    with engine.transaction() as tx:
        tx.run(
            "create or replace temp table forgotten_keys as "
            "select pixel_id, event_key from copies semi join ("
            "select cast(unnest($slots) as integer) as log_slot, "
            "cast(unnest($offsets) as bigint) as log_offset"
            ") as gone using (log_slot, log_offset) group by all",
            {"slots": [slot for slot, _ in places], "offsets": [offset for _, offset in places]},
        )
        keys = _make_anew(tx, table, seen)
        tx.run("drop table forgotten_keys")
    return keys


def expire(engine: Engine, table: Table, before: datetime) -> None:
    """Take out what was received before a moment, and is gone from the lake: its copies, and the
    events all of whose copies are; events of which younger copies remain are made anew of those."""
    straddling = engine.query(
        "select log_slot, log_offset from copies semi join (select pixel_id, event_key "
        "from events_deduplicated where anchor_at < $before and last_received_at >= $before"
        ") as events using (pixel_id, event_key) where received_at < $before",
        {"before": before},
    )
    forget(engine, table, [(row["log_slot"], row["log_offset"]) for row in straddling])
    there = [file.path for file in table.files()]
    with engine.transaction() as tx:
        tx.run("delete from copies where received_at < $before", {"before": before})
        tx.run(
            "delete from events_deduplicated where last_received_at < $before", {"before": before}
        )
        tx.run(
            "delete from lake_files where not list_contains($there, path)",
            {"there": there},
        )


def _make_anew(tx: Transaction, table: Table, seen: Collection[str]) -> int:
    moments = tx.run(
        "select distinct received_at from copies "
        "semi join forgotten_keys using (pixel_id, event_key) order by received_at"
    )
    for name in ("copies", "events_deduplicated"):
        tx.run(
            f"delete from {name} using forgotten_keys as gone "
            f"where {name}.pixel_id = gone.pixel_id and {name}.event_key = gone.event_key"
        )
    files = [file for file in table.files() if file.path in seen]
    holding = _files_holding(files, [moment for (moment,) in moments])
    if holding:
        # To a refresh these rows are new: they lie in the lake, and in no derived table.
        _step(tx, table, holding)
    ((keys,),) = tx.run("select count(*) from forgotten_keys")
    return int(keys)
