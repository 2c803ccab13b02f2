"""What other servers know persons by: hashes in the columns of Meta's customer lists.

Only hashes are here, for no more is kept. A mobile advertising id is plain, as it always is. Days
of birth are left out: they are hashed as a whole, and lists want year, month and day apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from doublet.audiences.members import audience_sql
from doublet.engine import Engine

NAMING = {"em": "EMAIL", "ph": "PHONE", "external_id": "EXTERN_ID", "madid": "MADID"}
"""The column of each key of user_data that names one person; a row without any is of no use
(Marketing API, *Custom audiences: hashing and schema*)."""

BESIDE = {
    "fn": "FN",
    "ln": "LN",
    "ge": "GEN",
    "ct": "CT",
    "st": "ST",
    "zp": "ZIP",
    "country": "COUNTRY",
}
"""The same of what many persons have in common."""

Keys = Mapping[str, Sequence[str]]

_PERSONS_AT_ONCE = 100_000


def keys_of(
    engine: Engine, account_id: str, persons: Sequence[int]
) -> dict[int, dict[str, list[str]]]:
    """What names each person and nobody else now, by the key of user_data, each list in order; who
    has nothing of it is missing."""
    found: dict[int, dict[str, set[str]]] = {}
    for some in _parts(persons):
        given = {"account_id": account_id, "persons": some}
        for row in engine.query(audience_sql("member_keys"), given):
            keys = found.setdefault(row["person_id"], {})
            for identifier in row["own"]:
                kind, _, value = identifier.partition("=")
                keys.setdefault(kind, set()).add(value)
    return {
        person: {name: sorted(keys[name]) for name in NAMING if name in keys}
        for person, keys in found.items()
    }


def _parts(persons: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(persons), _PERSONS_AT_ONCE):
        yield [int(each) for each in persons[start : start + _PERSONS_AT_ONCE]]


def rows_of(keys: Keys) -> list[list[str]]:
    """A person in the columns of NAMING: as many rows as the longest list needs.

    >>> rows_of({"em": ["a", "b"], "ph": ["c"]})
    [['a', 'c', '', ''], ['b', '', '', '']]
    """
    columns = (keys.get(name, ()) for name in NAMING)
    return [list(row) for row in zip_longest(*columns, fillvalue="")]


def identifiers_of(keys: Keys) -> set[str]:
    """The same as KEY=VALUE."""
    return {f"{name}={value}" for name, values in keys.items() for value in values}


def united(one: Keys, other: Keys) -> dict[str, list[str]]:
    """What is in either."""
    return {
        name: sorted({*one.get(name, ()), *other.get(name, ())})
        for name in NAMING
        if one.get(name) or other.get(name)
    }


def minus(keys: Keys, others: Keys) -> dict[str, list[str]]:
    """What is in `keys` and not in `others`."""
    left = {
        name: [value for value in values if value not in others.get(name, ())]
        for name, values in keys.items()
    }
    return {name: values for name, values in left.items() if values}


def member_rows(
    engine: Engine, account_id: str, audience_id: str
) -> Iterator[tuple[int, list[list[str]]]]:
    """The members of an audience in parts: how many of a part nothing names, and the rows of the
    others, in the columns of NAMING and BESIDE."""
    members = engine.query(
        "select person_id from audience_members where account_id = $account_id "
        "and audience_id = $audience_id order by person_id",
        {"account_id": account_id, "audience_id": audience_id},
    )
    for some in _parts([row["person_id"] for row in members]):
        keys = keys_of(engine, account_id, some)
        given = {"account_id": account_id, "persons": list(keys)}
        names = {row["person_id"]: row for row in engine.query(audience_sql("member_names"), given)}
        rows = []
        for person in sorted(keys):
            known: dict[str, Any] = names.get(person, {})
            beside = [known.get(name) or "" for name in BESIDE]
            rows += [[*row, *beside] for row in rows_of(keys[person])]
        yield len(some) - len(keys), rows


def owners_of(
    engine: Engine, account_id: str, audience_id: str, identifier_keys: Iterable[int]
) -> set[int]:
    """The members of an audience who have one of these identifiers now (digests of them)."""
    found = engine.query(
        "select distinct person_id from identifiers semi join ("
        "select unnest($keys) as identifier_key) as wanted using (identifier_key) "
        "semi join (select person_id from audience_members where account_id = $account_id "
        "and audience_id = $audience_id) as members using (person_id)",
        {"keys": list(identifier_keys), "account_id": account_id, "audience_id": audience_id},
    )
    return {row["person_id"] for row in found}
