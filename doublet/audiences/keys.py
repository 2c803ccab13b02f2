"""What other servers know persons by: hashes in the columns of Meta's customer lists.

Only hashes are here, for no more is kept. A mobile advertising id is plain, as it always is. Days
of birth are left out: they are hashed as a whole, and lists want year, month and day apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import zip_longest

from doublet.engine import Engine

COLUMNS = {
    "em": "EMAIL",
    "ph": "PHONE",
    "external_id": "EXTERN_ID",
    "madid": "MADID",
    "fn": "FN",
    "ln": "LN",
    "ge": "GEN",
    "ct": "CT",
    "st": "ST",
    "zp": "ZIP",
    "country": "COUNTRY",
}
"""The column of each key of user_data (Marketing API, *Custom audiences: hashing and schema*)."""

SCHEMA = list(COLUMNS.values())

STRONG = ("em", "ph", "external_id", "madid")
"""Those that name one person; a row without any is of no use to anybody."""

Keys = Mapping[str, Sequence[str]]

_PERSONS_AT_ONCE = 50_000


@cache
def _text() -> str:
    return files("doublet.audiences").joinpath("member_keys.sql").read_text("utf-8")


def keys_of(
    engine: Engine, account_id: str, persons: Sequence[int]
) -> dict[int, dict[str, list[str]]]:
    """The hashes of persons by the key of user_data, each list in order; who has none that names
    one person is missing."""
    found: dict[int, dict[str, list[str]]] = {}
    for start in range(0, len(persons), _PERSONS_AT_ONCE):
        given = {
            "account_id": account_id,
            "persons": [int(each) for each in persons[start : start + _PERSONS_AT_ONCE]],
        }
        for row in engine.query(_text(), given):
            keys: dict[str, list[str]] = {}
            for identifier in row["own"]:
                kind, _, value = identifier.partition("=")
                keys.setdefault(kind, []).append(value)
            for name in COLUMNS:
                if name not in STRONG and row[name]:
                    keys[name] = [row[name]]
            found[row["person_id"]] = keys
    return found


def rows_of(keys: Keys) -> list[list[str]]:
    """A person in the columns of SCHEMA: as many rows as the longest list needs, each with name and
    place.

    >>> [row[:2] for row in rows_of({"em": ["a", "b"], "ph": ["c"]})]
    [['a', 'c'], ['b', '']]
    """
    beside = [next(iter(keys.get(name, ())), "") for name in COLUMNS if name not in STRONG]
    strong = zip_longest(*(keys.get(name, ()) for name in STRONG), fillvalue="")
    return [[*row, *beside] for row in strong]


def identifiers_of(keys: Keys) -> set[str]:
    """Those that name one person, as KEY=VALUE."""
    return {f"{name}={value}" for name in STRONG for value in keys.get(name, ())}


def united(one: Keys, other: Keys) -> dict[str, list[str]]:
    """What is in either."""
    return {
        name: sorted({*one.get(name, ()), *other.get(name, ())})
        for name in COLUMNS
        if one.get(name) or other.get(name)
    }


def strong_of(keys: Keys) -> dict[str, Sequence[str]]:
    """What names one person."""
    return {name: keys[name] for name in STRONG if keys.get(name)}


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
    """The members of an audience in parts: how many of a part have no hash that could be given, and
    the rows of the others."""
    members = engine.query(
        "select person_id from audience_members where account_id = $account_id "
        "and audience_id = $audience_id order by person_id",
        {"account_id": account_id, "audience_id": audience_id},
    )
    persons = [row["person_id"] for row in members]
    for start in range(0, len(persons), _PERSONS_AT_ONCE):
        some = persons[start : start + _PERSONS_AT_ONCE]
        keys = keys_of(engine, account_id, some)
        yield len(some) - len(keys), [row for each in keys.values() for row in rows_of(each)]


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
