"""Making events anew whose copies have changed in the lake, as erasure changes them."""

from __future__ import annotations

from collections.abc import Sequence

from doublet.engine import Transaction
from doublet.models import orders
from doublet.models.tables import LIVE

_CHAIN = "pixel_id, event_key, chain_at"


def take_out(tx: Transaction, places: Sequence[tuple[int, int]]) -> None:
    """Take every event that has one of these copies (log slot and offset) out of the tables, with
    all its copies, which are then new to a step."""
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
    orders.begin(tx)
    orders.note_events(tx, LIVE)
    _delete(tx, "events_deduplicated", "touched", "anchor_at")
    _delete(tx, "copies", "taken_chains", "chain_at")
    _delete(tx, "joins", "taken_chains", "chain_at")
    orders.replace_touched(tx, LIVE)


def _delete(tx: Transaction, name: str, gone: str, at: str) -> None:
    tx.run(
        f"delete from {name} as kept using {gone} as gone where kept.pixel_id = gone.pixel_id "
        f"and kept.event_key = gone.event_key and kept.{at} = gone.{at}"
    )
