"""Everything that is kept about a person, as rows that say where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from doublet.engine import Engine
from doublet.log import segment
from doublet.log.disk import DiskLog
from doublet.person.find import Found, Records, carries, elements
from doublet.person.identifiers import STRONG_KEYS, kind_of, texts_of


def export(
    records: Records, engine: Engine, log: DiskLog, found: Found, data: Path
) -> Iterator[dict[str, Any]]:
    """One dict per thing that is kept; `table` says what it is and `file` where, relative to the
    data folder `data`.

    `person`: what they are known by. `events`: accepted copies. `refused`: refused requests with
    this person's events only. `events_deduplicated`: events made of the copies. `log`: segments
    that still hold the same records.
    """
    yield {
        "table": "person",
        "account_id": records.account_id,
        "identifiers": sorted(i for i in found.identifiers if kind_of(i) in STRONG_KEYS),
    }
    for row in _lake_rows(records, records.events, found.copies):
        yield {"table": "events", "file": _place(row.pop("filename"), data), **row}
    texts = texts_of(found.identifiers)
    for row in _lake_rows(records, records.refused, found.refused):
        payload = msgspec.json.decode(row.pop("payload"))
        theirs = [e for e in elements(payload) if carries(e, found.identifiers, texts)]
        file = _place(row.pop("filename"), data)
        yield {"table": "refused", "file": file, **row, "payload": theirs}
    for row in _events(engine, found):
        yield {"table": "events_deduplicated", "file": "warehouse.duckdb", **row}
    yield from _segments(log, found, data)


def _lake_rows(
    records: Records, paths: list[str], places: frozenset[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    if not paths or not places:
        return
    result = records.connection.execute(
        "select lake_rows.* from read_parquet($paths, filename = true) as lake_rows semi join ("
        "select cast(unnest($slots) as integer) as log_slot, "
        "cast(unnest($offsets) as bigint) as log_offset"
        ") as wanted using (log_slot, log_offset) order by received_at, log_slot, log_offset",
        {
            "paths": paths,
            "slots": [slot for slot, _ in places],
            "offsets": [offset for _, offset in places],
        },
    )
    names = [column[0] for column in result.description or ()]
    for row in result.fetchall():
        yield dict(zip(names, row, strict=True))


def _events(engine: Engine, found: Found) -> list[dict[str, Any]]:
    if not found.copies:
        return []
    return engine.query(
        "select events_deduplicated.* from events_deduplicated semi join ("
        "select copies.pixel_id, copies.event_key, copies.received_at from copies semi join ("
        "select cast(unnest($slots) as integer) as log_slot, "
        "cast(unnest($offsets) as bigint) as log_offset"
        ") as wanted using (log_slot, log_offset)) as theirs "
        "on events_deduplicated.pixel_id = theirs.pixel_id "
        "and events_deduplicated.event_key = theirs.event_key "
        "and theirs.received_at between anchor_at and last_received_at "
        "order by anchor_at, pixel_id, event_key",
        {
            "slots": [slot for slot, _ in found.copies],
            "offsets": [offset for _, offset in found.copies],
        },
    )


def _segments(log: DiskLog, found: Found, data: Path) -> Iterator[dict[str, Any]]:
    places = found.copies | found.refused
    for partition in log.partitions():
        offsets = {offset for slot, offset in places if slot == partition}
        for path in segment.segments(log.folder / str(partition)):
            held = sum(offset in offsets for offset in _offsets(path))
            if held:
                yield {"table": "log", "file": _place(str(path), data), "records": held}


def _offsets(path: Path) -> Iterator[int]:
    start = b'{"log_offset":'
    with path.open("rb") as file:
        for line in file:
            if line.startswith(start):
                yield int(line[len(start) : line.index(b",")])


def _place(path: str, data: Path) -> str:
    return str(Path(path).absolute().relative_to(data.absolute()))
