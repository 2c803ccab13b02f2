"""The rows of customer lists in a transaction: added, found, taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from doublet.catalog.rows import ListEntry
from doublet.catalog.tables import list_entries, list_keys
from doublet.normalize import identifier_key

EXTERNAL_ID = "external_id="
"""How an id of the advertiser's own begins."""

_CHUNK = 500


def split(text: str) -> tuple[str, ...]:
    """The identifiers of a row as it is kept."""
    return tuple(text.split("\n")) if text else ()


def without_external(text: str) -> tuple[str, ...]:
    """The same without ids of the advertiser's own."""
    return tuple(each for each in split(text) if not each.startswith(EXTERNAL_ID))


def chunks(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Parts that are small enough for one statement."""
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]


def put(
    connection: sa.Connection,
    account_id: str,
    list_id: int,
    entries: Sequence[ListEntry],
    now_s: int,
) -> None:
    """Add rows. The last of those that are the same row counts, and who is limited in one row is so
    in all."""
    limited = [each for each in entries if each.is_limited]
    if limited:
        take_out(connection, account_id, list_id, limited)
    barred = {each for entry in limited for each in entry.identifiers}
    wanted = {
        each.row_key: each
        for each in entries
        if each.is_limited or barred.isdisjoint(each.identifiers)
    }
    # A row that was limited before has no identifiers: it is made anew.
    again = [key for key, each in wanted.items() if not each.is_limited]
    delete(connection, list(entry_ids(connection, list_id, again, limited_only=True).values()))
    known = entry_ids(connection, list_id, list(wanted))
    if known:
        connection.execute(
            list_entries.update()
            .where(list_entries.c.entry_id == sa.bindparam("which"))
            .values(value=sa.bindparam("new_value"), seen_at=now_s),
            [
                {"which": entry_id, "new_value": wanted[key].value}
                for key, entry_id in known.items()
            ],
        )
    fresh = [each for key, each in wanted.items() if key not in known]
    if not fresh:
        return
    connection.execute(
        list_entries.insert(),
        [
            {
                "list_id": list_id,
                "row_key": each.row_key,
                # Whose use is limited is counted and not known.
                "identifiers": "" if each.is_limited else "\n".join(each.identifiers),
                "value": each.value,
                "is_limited": each.is_limited,
                "seen_at": now_s,
            }
            for each in fresh
        ],
    )
    ids = entry_ids(connection, list_id, [each.row_key for each in fresh])
    keys = [
        {"identifier_key": identifier_key(account_id, each), "entry_id": ids[entry.row_key]}
        for entry in fresh
        if not entry.is_limited
        for each in dict.fromkeys(entry.identifiers)
    ]
    if keys:
        connection.execute(list_keys.insert(), keys)


def entry_ids(
    connection: sa.Connection, list_id: int, row_keys: list[int], *, limited_only: bool = False
) -> dict[int, int]:
    """The entry of each row that is in the list."""
    found: dict[int, int] = {}
    for chunk in chunks(row_keys):
        query = sa.select(list_entries.c.row_key, list_entries.c.entry_id).where(
            list_entries.c.list_id == list_id, list_entries.c.row_key.in_(chunk)
        )
        if limited_only:
            query = query.where(list_entries.c.is_limited)
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def take_out(
    connection: sa.Connection, account_id: str, list_id: int, entries: Sequence[ListEntry]
) -> None:
    """Remove the rows that share an identifier with one of these, and the same rows."""
    keys = sorted(
        {identifier_key(account_id, each) for entry in entries for each in entry.identifiers}
    )
    holders = holders_of(connection, keys)
    found = {entry_id for entry_id, holder in holders.items() if holder == list_id}
    # Without an identifier, or with its marker: the row itself.
    found.update(entry_ids(connection, list_id, [each.row_key for each in entries]).values())
    delete(connection, sorted(found))


def holders_of(connection: sa.Connection, keys: Sequence[int]) -> dict[int, int]:
    """The list of each row that has one of these identifiers, by entry."""
    found: set[int] = set()
    for chunk in chunks(keys):
        query = sa.select(list_keys.c.entry_id).where(list_keys.c.identifier_key.in_(chunk))
        found.update(row[0] for row in connection.execute(query))
    # Apart, and not narrowed to one list: joined, a database without statistics reads that list
    # whole for each part.
    holders: dict[int, int] = {}
    for chunk in chunks(sorted(found)):
        columns = (list_entries.c.entry_id, list_entries.c.list_id)
        query = sa.select(*columns).where(list_entries.c.entry_id.in_(chunk))
        holders.update((row[0], row[1]) for row in connection.execute(query))
    return holders


def delete(connection: sa.Connection, entries: Sequence[int]) -> int:
    """Remove rows with their identifiers; how many."""
    for chunk in chunks(entries):
        connection.execute(list_keys.delete().where(list_keys.c.entry_id.in_(chunk)))
        connection.execute(list_entries.delete().where(list_entries.c.entry_id.in_(chunk)))
    return len(entries)
