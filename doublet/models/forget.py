"""Taking events out of the tables whose copies have changed in the lake, or have gone from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from doublet.engine import Transaction
from doublet.models import orders
from doublet.models.tables import LIVE

_CHAIN = "pixel_id, event_key, chain_at"


Place = tuple[int, int]
"""Log slot and offset of a copy."""


def take_out(tx: Transaction, places: Sequence[Place]) -> list[datetime]:
    """Take every event that has one of these copies out of the tables, with all its copies, which
    are then new to a step. When these were received, sorted."""
    tx.run(
        "create or replace temp table changed_places as "
        "select unnest($slots)::integer as log_slot, unnest($offsets)::bigint as log_offset",
        {"slots": [slot for slot, _ in places], "offsets": [offset for _, offset in places]},
    )
    tx.run(
        "create or replace temp table touched as select distinct pixel_id, "
        "coalesce(root_key, copies.event_key) as event_key, "
        "coalesce(root_at, copies.chain_at) as anchor_at from copies "
        f"semi join changed_places using (log_slot, log_offset) left join joins using ({_CHAIN})"
    )
    tx.run(
        "create or replace temp table taken_chains as "
        "select pixel_id, event_key, anchor_at as chain_at from touched union "
        "select joins.pixel_id, joins.event_key, joins.chain_at from joins semi join touched "
        "on joins.pixel_id = touched.pixel_id and root_key = touched.event_key "
        "and root_at = touched.anchor_at"
    )
    moments = tx.run(
        f"select distinct received_at from copies semi join taken_chains using ({_CHAIN}) "
        "order by received_at"
    )
    orders.begin(tx)
    orders.note_events(tx, LIVE)
    _delete(tx, "events_deduplicated", "touched", "anchor_at")
    _delete(tx, "copies", "taken_chains", "chain_at")
    _delete(tx, "joins", "taken_chains", "chain_at")
    orders.replace_touched(tx, LIVE)
    return [moment for (moment,) in moments]


def straddling(tx: Transaction, before: datetime) -> list[Place]:
    """Copies received before a moment, of events that have later ones too."""
    return [
        (slot, offset)
        for slot, offset in tx.run(
            "select log_slot, log_offset from copies "
            f"left join joins using ({_CHAIN}) semi join (select * from events_deduplicated "
            "where anchor_at < $before and last_received_at >= $before) as events "
            "on copies.pixel_id = events.pixel_id "
            "and coalesce(root_key, copies.event_key) = events.event_key "
            "and coalesce(root_at, copies.chain_at) = events.anchor_at "
            "where received_at < $before",
            {"before": before},
        )
    ]


def drop_before(tx: Transaction, before: datetime, files: Sequence[str]) -> None:
    """Take out the events whose copies were all received before a moment, and the names of lake
    files that are not among `files` any more."""
    given = {"before": before}
    tx.run(
        "create or replace temp table touched as select pixel_id, event_key, anchor_at "
        "from events_deduplicated where last_received_at < $before",
        given,
    )
    orders.begin(tx)
    orders.note_events(tx, LIVE)
    tx.run("delete from events_deduplicated where last_received_at < $before", given)
    tx.run("delete from copies where received_at < $before", given)
    tx.run(
        "delete from joins as stored where chain_at < $before and not exists ("
        "select 1 from copies where copies.pixel_id = stored.pixel_id "
        "and copies.event_key = stored.event_key and copies.chain_at = stored.chain_at)",
        given,
    )
    tx.run("delete from lake_files where not list_contains($files, path)", {"files": list(files)})
    orders.replace_touched(tx, LIVE)


def _delete(tx: Transaction, name: str, gone: str, at: str) -> None:
    tx.run(
        f"delete from {name} as kept using {gone} as gone where kept.pixel_id = gone.pixel_id "
        f"and kept.event_key = gone.event_key and kept.{at} = gone.{at}"
    )
