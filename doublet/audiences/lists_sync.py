"""Customer lists in the warehouse, beside the identifiers that events carried, and how they match.

`list_identifiers` has one row per row of a list and identifier in it; a row that is nobody's
(limited, or without anything that names a person) has one with neither kind nor key. `list_syncs`
tells which version of each list that is.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from doublet.audiences.members import audience_sql
from doublet.catalog import Audience, Catalog
from doublet.catalog.lists import StoredEntry
from doublet.engine import Engine, Transaction
from doublet.normalize import identifier_key

_PART = 20_000
_NO_VALUE = -1.0

_Row = tuple[int, str | None, int | None, bool, float | None]
_Mark = tuple[int, int, bool, float]


class KindMatch(msgspec.Struct, frozen=True):
    """How far one kind of identifier (`em`, `ph`, `external_id`, …) reaches: how many rows of the
    list have one, and how many of these match by it, whatever else they have."""

    kind: str
    rows: int
    matched: int


class ListMatch(msgspec.Struct, frozen=True):
    """How the rows of a list match: whoever has one of a row's identifiers is in the audience.
    Rows that match nobody are counted by the reason: `limited` (their use was), `no_key` (only
    names, places or dates), `opted_out` (the person withdrew consent), `shared` (by too many to be
    one person's), `unknown` (seen in no event). `persons` are those who are matched, `version` is
    that of the list (`Lists.version`)."""

    rows: int
    matched: int
    limited: int
    no_key: int
    opted_out: int
    shared: int
    unknown: int
    persons: int
    version: int = 0
    kinds: tuple[KindMatch, ...] = ()

    @property
    def match_rate(self) -> float | None:
        """Share of rows that match (0 to 1); None for an empty list."""
        return self.matched / self.rows if self.rows else None


def make_tables(tx: Transaction) -> None:
    """The lasting tables, where they are missing."""
    tx.run(
        "create table if not exists list_identifiers (account_id varchar, audience_id varchar, "
        "entry_id bigint, kind varchar, identifier_key bigint, is_limited boolean, value double)"
    )
    tx.run("create table if not exists list_syncs (audience_id varchar, version bigint)")


def sync(engine: Engine, catalog: Catalog, audience: Audience) -> bool:
    """Bring one list to what the catalog has, if it has changed; whether it had. What changes while
    this reads is found changed by the next call. A long list takes seconds to read, so nobody who
    wants to write waits for that; one thread at a time may do this."""
    version = catalog.lists.version(audience.audience_id)
    parameters = {"audience_id": audience.audience_id}
    synced = engine.query(
        "select version from list_syncs where audience_id = $audience_id", parameters
    )
    if [{"version": version}] == synced:
        return False
    # Reading a list anew costs little beside writing all of it, and most of it stays.
    known = _known(engine, audience.audience_id)
    with engine.transaction(is_reported=False) as tx:
        tx.run("create or replace temp table fresh_identifiers as from list_identifiers limit 0")
    part: list[_Row] = []
    for entry in catalog.lists.entries(audience.audience_id):
        rows = _rows(audience.account_id, entry)
        if known.get(entry.entry_id) == _mark(rows):
            del known[entry.entry_id]
            continue
        part += rows
        if len(part) >= _PART:
            with engine.transaction(is_reported=False) as tx:
                _insert(tx, audience, part)
            part = []
    with engine.transaction(is_reported=False) as tx:
        if part:
            _insert(tx, audience, part)
        # Those that went, and those that are not what they were.
        tx.run(
            "delete from list_identifiers where audience_id = $audience_id "
            "and entry_id in (select unnest($gone::bigint[]))",
            {**parameters, "gone": list(known)},
        )
        tx.run("insert into list_identifiers from fresh_identifiers")
        tx.run("delete from list_syncs where audience_id = $audience_id", parameters)
        tx.run(
            "insert into list_syncs values ($audience_id, $version)",
            {**parameters, "version": version},
        )
        tx.run("drop table fresh_identifiers")
    return True


def _rows(account_id: str, entry: StoredEntry) -> list[_Row]:
    rows: list[_Row] = []
    for identifier in entry.identifiers or (None,):
        kind = key = None
        if identifier is not None:
            kind = identifier.partition("=")[0]
            key = identifier_key(account_id, identifier)
        rows.append((entry.entry_id, kind, key, entry.is_limited, entry.value))
    return rows


def _mark(rows: list[_Row]) -> _Mark:
    """What tells the rows of one entry from what they were; numbers of entries are given again."""
    keys = 0
    for _, _, key, _, _ in rows:
        keys ^= key or 0
    value = rows[0][4]
    return len(rows), keys, rows[0][3], _NO_VALUE if value is None else value


def _known(engine: Engine, audience_id: str) -> dict[int, _Mark]:
    found = engine.columns(
        "select entry_id, count(*) as rows, bit_xor(coalesce(identifier_key, 0)) as keys, "
        "any_value(is_limited) as is_limited, any_value(coalesce(value, $none)) as value "
        "from list_identifiers where audience_id = $audience_id group by entry_id",
        {"audience_id": audience_id, "none": _NO_VALUE},
    )
    names = ("rows", "keys", "is_limited", "value")
    marks = zip(*(found[name].tolist() for name in names), strict=True)
    return dict(zip(found["entry_id"].tolist(), marks, strict=True))


def forget_others(tx: Transaction, audience_ids: Collection[str]) -> None:
    """Have no rows of lists that are not among these."""
    for (audience_id,) in tx.run("select audience_id from list_syncs"):
        if audience_id not in audience_ids:
            _forget(tx, audience_id)


def _forget(tx: Transaction, audience_id: str) -> None:
    for table in ("list_identifiers", "list_syncs"):
        tx.run(f"delete from {table} where audience_id = $id", {"id": audience_id})


def _insert(tx: Transaction, audience: Audience, part: list[_Row]) -> None:
    entry_ids, kinds, keys, limited, values = (list(column) for column in zip(*part, strict=True))
    tx.run(
        "insert into fresh_identifiers select $account_id, $audience_id, "
        "unnest($entry_ids::bigint[]), "
        "unnest($kinds::varchar[]), unnest($keys::bigint[]), unnest($limited::boolean[]), "
        "unnest($values::double[])",
        {
            "account_id": audience.account_id,
            "audience_id": audience.audience_id,
            "entry_ids": entry_ids,
            "kinds": kinds,
            "keys": keys,
            "limited": limited,
            "values": values,
        },
    )


def match(engine: Engine, account_id: str, audience_id: str) -> ListMatch:
    """How a list that was synced matches now; the tables of members are there."""
    asked = {"account_id": account_id, "audience_id": audience_id}
    rows = engine.query(audience_sql("matching"), asked)
    kinds = engine.query(audience_sql("matching_kinds"), asked)
    found = rows[0] if rows else dict.fromkeys(ListMatch.__struct_fields__[:-2], 0)
    versions = engine.query(
        "select version from list_syncs where audience_id = $audience_id",
        {"audience_id": audience_id},
    )
    version = versions[0]["version"] if versions else 0
    return ListMatch(**found, version=version, kinds=tuple(KindMatch(**each) for each in kinds))
