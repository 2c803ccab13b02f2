"""What the outbox knows of one event, for its story."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from doublet.catalog import Catalog
from doublet.explain import Relayed
from doublet.outbox import Outbox, Place


def outlook(catalog: Catalog, file: Path, places: Sequence[Place]) -> list[Relayed]:
    """What became of the event that has copies at these places, by destination; nothing where
    there is no outbox."""
    if not file.exists():
        return []
    outbox = Outbox(file)
    try:
        rows = outbox.of_places(places)
    finally:
        outbox.close()
    known = {each.destination_id: each for each in catalog.destinations()}
    found = []
    for destination_id, state, reason, message, due_at, trace, *request in rows:
        destination = known.get(destination_id)
        sent_at, events, http_status, code, answer = request
        found.append(
            Relayed(
                destination_id,
                destination.name if destination else "",
                destination.kind if destination else "",
                state,
                reason,
                message,
                _moment(due_at),
                None if sent_at is None else _moment(sent_at),
                events,
                http_status,
                code or "",
                answer or "",
                None if trace is None else _read(trace),
            )
        )
    return found


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)


def _read(trace: bytes) -> dict[str, Any]:
    return msgspec.json.decode(zlib.decompress(trace), type=dict[str, Any])
