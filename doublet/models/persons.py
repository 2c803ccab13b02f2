"""Persons: the identifiers that hang together, kept up to date with the records that carry them.

A record (a deduplicated event, or an ad touch that was reported) carries a set of identifiers, its
*profile*. Most records show a profile that is known, and change nothing; for the others the persons
whose identifiers they carry are made anew (`components`), and theirs alone. `altered` tells the
next models which persons these were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from doublet.engine import Transaction
from doublet.models.components import (
    NEIGHBOURS_MAX,
    Persons,
    Profile,
    find_persons,
    find_shared,
)
from doublet.models.tables import Tables, model_sql

PERSON_MODELS: tuple[str, ...] = (
    *("record_profiles", "profiles", "profile_identifiers", "identifiers"),
    *("persons", "person_spans"),
)

FIRST_S = 0
LAST_S = 1 << 62
"""The span of a person who was never merged, in Unix seconds."""

_RECORD = "pixel_id, event_key, anchor_at"
_FIRST_US = "date_diff('microsecond', timestamptz '1970-01-01 00:00:00+00', first_at)"


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield; `identified` is there."""
    tx.run(f"create or replace temp table new_records as {model_sql('record_profiles')}")
    tx.run(
        f"create or replace table {names.record_profiles} as "
        "select * exclude (identifiers, variants) from new_records"
    )
    _begin(tx)
    for name in PERSON_MODELS[1:]:
        tx.run(f"create or replace table {getattr(names, name)} as {model_sql(name)}")


def _begin(tx: Transaction) -> None:
    """No profile is made yet."""
    for name, columns in (
        ("made_profiles", "profile_key bigint, first_us bigint, person_id bigint, root_id bigint"),
        ("made_identifiers", "identifier_key bigint, is_shared boolean, person_id bigint"),
        (
            "made_persons",
            "person_id bigint, root_id bigint, first_us bigint, merged_into bigint, "
            "merged_us bigint, merged_by bigint",
        ),
        ("made_spans", "person_id bigint, root_id bigint, since_s bigint, until_s bigint"),
        ("kinds", "identifier_key bigint, kind varchar, account_id varchar"),
        ("accounts", "profile_key bigint, account_id varchar"),
    ):
        tx.run(f"create or replace temp table {name} ({columns})")
    tx.run(
        "create or replace temp table new_identifiers (account_id varchar, profile_key bigint, "
        "identifier_key bigint, kind varchar, is_variant boolean)"
    )


def replace_records(tx: Transaction, names: Tables, decided: bool = False) -> None:
    """Bring the persons up to date with the records that `touched_records` names, whose present
    identifiers are in `new_records`. Afterwards `made_profiles` has the profiles that were joined
    anew, `stale_persons` the persons of before and of now, `their_roots` those that stand."""
    tx.run(
        "create or replace temp table old_records as select * "
        f"from {names.record_profiles} semi join touched_records using ({_RECORD})"
    )
    tx.run(
        "create or replace temp table changed_profiles as select distinct profile_key from ("
        f"(select {_RECORD}, profile_key from old_records "
        f"except select {_RECORD}, profile_key from new_records) union all "
        f"(select {_RECORD}, profile_key from new_records "
        f"except select {_RECORD}, profile_key from old_records))"
    )
    tx.run(
        f"delete from {names.record_profiles} as old using touched_records as gone "
        "where old.pixel_id = gone.pixel_id and old.event_key = gone.event_key "
        "and old.anchor_at = gone.anchor_at"
    )
    tx.run(
        f"insert into {names.record_profiles} "
        "select * exclude (identifiers, variants) from new_records"
    )
    tx.run(
        "create or replace temp table altered as select profile_key, present.first_at, "
        "present.account_id, known.profile_key is null as is_new "
        "from changed_profiles left join (select profile_key, any_value(account_id) as account_id, "
        f"min(anchor_at) as first_at from {names.record_profiles} semi join changed_profiles "
        "using (profile_key) group by profile_key) as present using (profile_key) "
        f"left join {names.profiles} as known using (profile_key) "
        "where known.first_at is distinct from present.first_at"
    )
    _begin(tx)
    for name in ("stale_persons", "their_roots"):
        tx.run(f"create or replace temp table {name} (person_id bigint)")
    if decided or tx.run("select 1 from altered limit 1"):
        _make_anew(tx, names)


def _make_anew(tx: Transaction, names: Tables) -> None:
    _note_identifiers(tx, names)
    apart = [
        (a, b)
        for a, b in tx.run(
            f"select identifier_a_key, identifier_b_key from {names.decisions} "
            "where kind = 'unmerge' and not is_revoked order by all"
        )
    ]
    expanded = _spread(tx, names, is_parted=bool(apart))
    profiles, kind_of, shared = _read(tx, names)
    kept = shared - expanded
    found = find_shared(profiles, kind_of) | kept
    made = find_persons(profiles, found, apart)
    _hand_over(tx, profiles, kind_of, found, kept, made)
    _store(tx, names)


def _note_identifiers(tx: Transaction, names: Tables) -> None:
    """The identifiers of profiles that were not known."""
    tx.run(
        "insert into new_identifiers select distinct account_id, profile_key, "
        "cast('0x' || substring(md5(account_id || '|' || identifier), 1, 15) as bigint), "
        "split_part(identifier, '=', 1), list_contains(variants, identifier) "
        "from (select account_id, profile_key, variants, "
        "unnest(identifiers) as identifier from new_records semi join ("
        "select profile_key from altered where is_new) as altered using (profile_key))"
    )
    tx.run(
        f"insert into {names.profile_identifiers} "
        "select account_id, profile_key, identifier_key, is_variant from new_identifiers"
    )
    tx.run(
        f"insert into {names.identifiers} select distinct account_id, identifier_key, kind, false, "
        "cast(null as bigint) from new_identifiers "
        f"anti join {names.identifiers} as known using (identifier_key)"
    )
    tx.run(
        f"insert into {names.profiles} select account_id, profile_key, first_at, "
        "cast(null as bigint), cast(null as bigint) from altered where is_new"
    )


def _spread(tx: Transaction, names: Tables, *, is_parted: bool) -> set[int]:
    """All profiles that may belong to other persons now, as `their_profiles`, and the persons they
    belong to yet as `their_roots`. Also the identifiers that are shared no longer. `is_parted`:
    some identifiers are kept apart by a decision."""
    ids, profiles = names.identifiers, names.profiles
    tx.run(
        "create or replace temp table seeds as select distinct identifier_key "
        f"from {names.profile_identifiers} semi join altered using (profile_key)"
    )
    _reopen(tx, names)
    tx.run(
        "create or replace temp table their_profiles as "
        "select profile_key from altered where first_at is not null union "
        f"select profile_key from {names.profile_identifiers} "
        "semi join reopened using (identifier_key)"
    )
    tx.run(
        "insert into their_roots select distinct person_id from ("
        f"select person_id from {ids} semi join seeds using (identifier_key) union all "
        f"select root_id from {profiles} semi join altered using (profile_key) union all "
        f"select root_id from {profiles} semi join their_profiles using (profile_key) union all "
        f"select root_id from {names.persons} semi join decided using (person_id)) "
        "where person_id is not null"
    )
    while True:
        tx.run(
            "create or replace temp table their_profiles as "
            f"select profile_key from their_profiles union select profile_key from {profiles} "
            "as known semi join their_roots on known.root_id = their_roots.person_id"
        )
        # Where a decision keeps persons apart, a profile carries identifiers of several: those of
        # others bring it in, and it brings in the others.
        if is_parted:
            tx.run(
                "create or replace temp table their_profiles as select profile_key "
                f"from their_profiles union select profile_key from {names.profile_identifiers} "
                f"semi join (select identifier_key from {ids} semi join their_roots "
                "using (person_id)) as theirs using (identifier_key)"
            )
        more = tx.run(
            f"insert into their_roots select distinct person_id from {ids} semi join ("
            f"select identifier_key from {names.profile_identifiers} "
            "semi join their_profiles using (profile_key)) as carried using (identifier_key) "
            "anti join their_roots using (person_id) "
            "where person_id is not null returning person_id"
        )
        if not more:
            break
    tx.run(
        "delete from their_profiles where profile_key in "
        "(select profile_key from altered where first_at is null)"
    )
    return {key for (key,) in tx.run("select identifier_key from reopened")}


def _reopen(tx: Transaction, names: Tables) -> None:
    """The shared identifiers that stand beside no more others than one person has, now that
    profiles are gone, as `reopened`."""
    limits = " ".join(f"when '{kind}' then {most}" for kind, most in NEIGHBOURS_MAX.items())
    carried = names.profile_identifiers
    tx.run(
        "create or replace temp table doubted as select distinct identifier_key from "
        f"{names.identifiers} semi join (select identifier_key from {carried} semi join ("
        "select profile_key from altered where first_at is null) as gone using (profile_key)) "
        "as left_by using (identifier_key) where is_shared"
    )
    tx.run(
        "create or replace temp table reopened as select identifier_key from doubted anti join ("
        "select doubted.identifier_key from doubted "
        f"inner join {carried} as theirs using (identifier_key) "
        f"inner join {carried} as beside on beside.profile_key = theirs.profile_key "
        "and beside.identifier_key <> theirs.identifier_key and not beside.is_variant "
        f"inner join {names.identifiers} as known on known.identifier_key = beside.identifier_key "
        "where theirs.profile_key not in (select profile_key from altered where first_at is null) "
        "group by doubted.identifier_key, known.kind having count(distinct beside.identifier_key) "
        f"> case any_value(known.kind) {limits} end) as still using (identifier_key)"
    )


def _read(tx: Transaction, names: Tables) -> tuple[list[Profile], dict[int, str], set[int]]:
    """The profiles with their identifiers; of each identifier its kind; which are shared."""
    rows = tx.run(
        f"select profile_key, {_FIRST_US}, identifier_key, is_variant "
        f"from {names.profile_identifiers} "
        "inner join (select known.profile_key, coalesce(altered.first_at, known.first_at) "
        f"as first_at from {names.profiles} as known semi join their_profiles using (profile_key) "
        "left join altered using (profile_key)) as theirs using (profile_key) "
        "order by profile_key, identifier_key"
    )
    profiles = []
    for (key, first_us), group in groupby(rows, itemgetter(0, 1)):
        own = list(group)
        variants = frozenset(row[2] for row in own if row[3])
        profiles.append(Profile(key, first_us, tuple(row[2] for row in own), variants))
    known = tx.run(
        f"select identifier_key, kind, is_shared from {names.identifiers} semi join ("
        f"select identifier_key from {names.profile_identifiers} "
        "semi join their_profiles using (profile_key)) as carried using (identifier_key)"
    )
    kind_of = {key: kind for key, kind, _ in known}
    return profiles, kind_of, {key for key, _, is_shared in known if is_shared}


class Span(NamedTuple):
    """From `since_s` until before `until_s` (Unix seconds) a person is `root`."""

    person: int
    root: int
    since_s: int
    until_s: int


def spans_of(made: Persons) -> list[Span]:
    """Who each person was, from when to when: one span for each of its ids.

    >>> made = find_persons([Profile(1, 10, (7,)), Profile(2, 20, (8,)),
    ...     Profile(3, 30_000_000, (7, 8))])
    >>> [span[:3] for span in spans_of(made)]
    [(7, 7, 0), (8, 8, 0), (8, 7, 30)]
    """
    merged = {merge.person: merge for merge in made.merges}
    spans = []
    for person in made.founded:
        root, since_s = person, FIRST_S
        while root in merged:
            until_s = max(merged[root].at // 1_000_000, since_s)
            spans.append(Span(person, root, since_s, until_s))
            root, since_s = merged[root].into, until_s
        spans.append(Span(person, root, since_s, LAST_S))
    return spans


def _hand_over(
    tx: Transaction,
    profiles: Sequence[Profile],
    kind_of: dict[int, str],
    shared: set[int],
    kept: set[int],
    made: Persons,
) -> None:
    """What was made as temporary tables."""
    roots = made.root()
    _fill(
        tx,
        "made_profiles",
        (
            (p.key, p.first_at, own := made.own.get(p.key), None if own is None else roots[own])
            for p in profiles
        ),
    )
    _fill(
        tx,
        "made_identifiers",
        (
            (key, key in shared, None if key in shared else made.of.get(key))
            for key in kind_of
            if key not in kept
        ),
    )
    merged = {merge.person: merge for merge in made.merges}
    _fill(
        tx,
        "made_persons",
        (
            (person, roots[person], first_at, *((m.into, m.at, m.profile) if m else (None,) * 3))
            for person, first_at in made.founded.items()
            for m in [merged.get(person)]
        ),
    )
    _fill(tx, "made_spans", spans_of(made))


def _fill(tx: Transaction, name: str, rows: Iterable[Sequence[Any]]) -> None:
    columns = list(zip(*rows, strict=True))
    if columns:
        parameters = {f"c{n}": list(column) for n, column in enumerate(columns)}
        tx.run(
            f"insert into {name} select " + ", ".join(f"unnest(${p})" for p in parameters),
            parameters,
        )


def _store(tx: Transaction, names: Tables) -> None:
    """Put what was made in the place of what it replaces."""
    tx.run(
        f"insert into stale_persons select person_id from {names.persons} as old "
        "semi join their_roots on old.root_id = their_roots.person_id "
        "union select person_id from made_persons"
    )
    gone = "select profile_key from altered where first_at is null"
    for name in (names.profiles, names.profile_identifiers):
        tx.run(f"delete from {name} where profile_key in ({gone})")
    tx.run(
        f"delete from {names.identifiers} where identifier_key in "
        "(select identifier_key from seeds) and identifier_key not in "
        f"(select identifier_key from {names.profile_identifiers})"
    )
    tx.run(
        f"delete from {names.profiles} where profile_key in (select profile_key from made_profiles)"
    )
    for name in (names.persons, names.person_spans):
        tx.run(
            f"delete from {name} as old using stale_persons as gone "
            "where old.person_id = gone.person_id"
        )
    tx.run(
        "create or replace temp table kinds as select identifier_key, kind, account_id "
        f"from {names.identifiers} semi join made_identifiers using (identifier_key)"
    )
    tx.run(
        "create or replace temp table accounts as select profile_key, account_id "
        f"from {names.profile_identifiers} semi join made_profiles using (profile_key) "
        "group by all"
    )
    tx.run(
        f"delete from {names.identifiers} where identifier_key in "
        "(select identifier_key from made_identifiers)"
    )
    for name in PERSON_MODELS[1:]:
        if name != "profile_identifiers":
            tx.run(f"insert into {getattr(names, name)} {model_sql(name)}")
    tx.run(
        "create or replace temp table their_roots as "
        "select distinct root_id as person_id from made_persons"
    )
