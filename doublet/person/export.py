"""Everything that is kept about a person, as rows that say where they lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from doublet.engine import Engine
from doublet.log import segment
from doublet.log.disk import DiskLog
from doublet.person.find import Found, Records, carries, elements
from doublet.person.identifiers import STRONG_KEYS, kind_of, texts_of
from doublet.redact import REMOVED


def export(
    records: Records, engine: Engine, log: DiskLog, found: Found, data: Path
) -> Iterator[dict[str, Any]]:
    """One dict per thing that is kept; `table` says what it is and `file` where, relative to the
    data folder `data`.

    `person`: what they are known by. `events`: accepted copies. `refused`: refused requests with
    this person's events only. `ad_touches`: ads that they were shown or clicked. `decisions`: from
    whom they are kept apart, of which others only the keys.
    `events_deduplicated`, `orders`: what is made of the copies. `log`: segments that still hold the
    same records. What a decision says to be somebody else's is left out also of records of both.
    """
    hidden = texts_of(found.apart)
    for row in _rows(records, engine, log, found, data):
        yield _without(row, hidden) if hidden else row


def _without(value: Any, hidden: Collection[str]) -> Any:
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, REMOVED)
        return value
    if isinstance(value, dict):
        return {name: _without(each, hidden) for name, each in value.items()}
    return [_without(each, hidden) for each in value] if isinstance(value, list) else value


def _rows(
    records: Records, engine: Engine, log: DiskLog, found: Found, data: Path
) -> Iterator[dict[str, Any]]:
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
    for row in _lake_rows(records, records.touches, found.touches):
        yield {"table": "ad_touches", "file": _place(row.pop("filename"), data), **row}
    for row in _lake_rows(records, records.decisions, found.decisions):
        # The id is a digest of both identifiers, by which the other one could be guessed.
        del row["decision_id"]
        for name in ("identifier_a", "identifier_b"):
            if row[name] not in found.identifiers:
                row[name] = f"{kind_of(row[name])}="
        yield {"table": "decisions", "file": _place(row.pop("filename"), data), **row}
    for row in _derived(engine, found):
        yield {"file": "warehouse.duckdb", **row}
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


_THEIRS = (
    "select distinct copies.pixel_id, coalesce(root_key, copies.event_key) as event_key, "
    "coalesce(root_at, copies.chain_at) as anchor_at from copies semi join ("
    "select cast(unnest($slots) as integer) as log_slot, "
    "cast(unnest($offsets) as bigint) as log_offset"
    ") as wanted using (log_slot, log_offset) "
    "left join joins using (pixel_id, event_key, chain_at)"
)


def _derived(engine: Engine, found: Found) -> Iterator[dict[str, Any]]:
    if not found.copies:
        return
    given = {
        "slots": [slot for slot, _ in found.copies],
        "offsets": [offset for _, offset in found.copies],
    }
    key = "pixel_id, event_key, anchor_at"
    theirs = f"events_deduplicated semi join ({_THEIRS}) as theirs using ({key})"
    for row in engine.query(f"select events_deduplicated.* from {theirs} order by {key}", given):
        yield {"table": "events_deduplicated", **row}
    for row in engine.query(
        f"select orders.* from orders semi join (select account_id, order_id from {theirs}) "
        "as events using (account_id, order_id) order by account_id, order_id",
        given,
    ):
        yield {"table": "orders", **row}


def _segments(log: DiskLog, found: Found, data: Path) -> Iterator[dict[str, Any]]:
    places = found.copies | found.refused | found.touches | found.decisions
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
