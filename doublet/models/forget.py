"""Making events anew whose copies have changed in the lake, as erasure changes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from doublet.engine import Transaction
from doublet.models import orders, quarters, touching
from doublet.models.tables import LIVE

_CHAIN = "pixel_id, event_key, chain_at"


Span = tuple[datetime, datetime]
"""The first and the last receipt."""


def note_places(tx: Transaction, places: Sequence[tuple[int, int]]) -> None:
    """Name copies by log slot and offset, as `changed_places`."""
    tx.run(
        "create or replace temp table changed_places as "
        "select unnest($slots)::integer as log_slot, unnest($offsets)::bigint as log_offset",
        {"slots": [slot for slot, _ in places], "offsets": [offset for _, offset in places]},
    )


def take_out(tx: Transaction) -> Span | None:
    """Take every event that has one of `changed_places` out of the tables, with all its copies,
    which are then new to a step; when those were received, None when there are none."""
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
    ((first_at, last_at),) = tx.run(
        "select min(received_at), max(received_at) from copies "
        f"semi join taken_chains using ({_CHAIN})"
    )
    orders.begin(tx)
    orders.note_events(tx, LIVE)
    quarters.take_events_out(tx, LIVE)
    _delete(tx, "copies")
    _delete(tx, "joins")
    orders.replace_touched(tx, LIVE)
    touching.take_events(tx, LIVE)
    quarters.replace_touched(tx, LIVE)
    return None if first_at is None else (first_at, last_at)


def _delete(tx: Transaction, name: str) -> None:
    tx.run(
        f"delete from {name} as kept using taken_chains as gone "
        "where kept.pixel_id = gone.pixel_id and kept.event_key = gone.event_key "
        "and kept.chain_at = gone.chain_at"
    )
