"""Who is in which audience now: made by definitions, kept current by the persons that changed.

`audience_members` has the members, `audience_due` when a person's answer may change though nothing
new arrives (an event grows too old), `audience_changes` who joined and who left. A refresh looks at
the persons that the models have stirred and at those that are due, and at nobody else; a definition
that is new or was changed is evaluated for all persons.

Whoever withdrew consent is in no audience, whatever the definition says, until it is given again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from doublet.engine import Engine, Transaction

logger = logging.getLogger(__name__)

CHANGES_KEPT_S = 7 * 86_400
"""So long it is known who joined and left."""

EVENTS = "behaviours"
"""The table that definitions are evaluated over when all persons are."""

_LOOKED_AT = "audience_events"
_FULL_SHARE = 0.3
_FULL_MIN = 20_000


class Definition(NamedTuple):
    """What makes somebody a member. `fingerprint` changes with the definition. `sql` gives a SELECT
    over a table of behaviours, with its parameters, of one row per person that is in or may come
    in: person_id, is_in, due_s (Unix second at which that may change by itself, or null)."""

    account_id: str
    audience_id: str
    fingerprint: str
    sql: Callable[[str], tuple[str, dict[str, Any]]]


class Moved(NamedTuple):
    """What a refresh did: how many persons it looked at, and how many joined and left audiences.
    `built` are the audiences that were made for all persons, `failed` those for which that came to
    nothing, and is tried again by the next refresh."""

    persons: int
    joined: int
    left: int
    built: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@cache
def audience_sql(name: str) -> str:
    """A text of this folder."""
    return files("doublet.audiences").joinpath(f"{name}.sql").read_text("utf-8")


def make_tables(tx: Transaction) -> None:
    """The lasting tables, where they are missing."""
    for name, columns in (
        (
            "audience_members",
            "account_id varchar, audience_id varchar, person_id bigint, since_s bigint",
        ),
        ("audience_due", "audience_id varchar, person_id bigint, due_s bigint"),
        (
            "audience_changes",
            "change_id bigint, account_id varchar, audience_id varchar, person_id bigint, "
            "changed_s bigint, is_join boolean",
        ),
        ("audience_builds", "audience_id varchar, fingerprint varchar, built_s bigint"),
        ("withdrawn", "person_id bigint"),
        ("snapshot_changes", "person_id bigint"),
        ("audience_cursor", "change_id bigint"),
        ("lookalike_picks", "audience_id varchar, person_id bigint, place integer"),
    ):
        tx.run(f"create table if not exists {name} ({columns})")


def refresh(
    engine: Engine,
    definitions: Sequence[Definition],
    now_s: int,
    resting: Collection[str] = (),
    due_by_s: int | None = None,
) -> Moved:
    """Bring all members up to date. Each audience that has to be made for all persons takes a
    transaction of its own; everything else is one. Those `resting` are not made: they failed a
    moment ago. Persons whose answer may have changed by itself up to `due_by_s` (Unix seconds, now
    when it is missing) are looked at."""
    due_by_s = now_s if due_by_s is None else due_by_s
    if _is_idle(engine, definitions, due_by_s, resting):
        return Moved(0, 0, 0)
    try:
        persons, moved, built = _follow(engine, definitions, now_s, due_by_s)
    except Exception:
        # Whatever it was (a definition that needs too much memory, say), those that can be made
        # are, one by one.
        logger.exception("audiences-failed")
        persons, moved = 0, (0, 0)
        with engine.transaction(is_reported=False) as tx:
            make_tables(tx)
            built = _mark_all(tx)
            tx.run("delete from stirred")
    done: list[str] = []
    failed: list[str] = []
    for each in definitions:
        if built.get(each.audience_id) == each.fingerprint or each.audience_id in resting:
            continue
        try:
            with engine.transaction(is_reported=False) as tx:
                joined, left = _build(tx, each, now_s, is_first=each.audience_id not in built)
                _clear(tx)
        except Exception:
            # One that cannot be made, for lack of memory say, keeps no other waiting.
            logger.exception("audience-failed audience=%s", each.audience_id)
            failed.append(each.audience_id)
            continue
        done.append(each.audience_id)
        moved = (moved[0] + joined, moved[1] + left)
    return Moved(persons, *moved, tuple(done), tuple(failed))


def _follow(
    engine: Engine, definitions: Sequence[Definition], now_s: int, due_by_s: int
) -> tuple[int, tuple[int, int], dict[str, str]]:
    """Look at the persons that changed; how many they are, how many joined and left, and by which
    definition each audience is made."""
    with engine.transaction(is_reported=False) as tx:
        make_tables(tx)
        _forget_others(tx, definitions)
        persons = _find_candidates(tx, due_by_s)
        is_full = _is_full(tx, persons)
        _find_withdrawn(tx, is_full)
        # Whatever becomes of this process, all of them are made for all persons.
        built = _mark_all(tx) if is_full else _built(tx)
        moved = (0, 0)
        if persons and not is_full:
            old = [each for each in definitions if built.get(each.audience_id) == each.fingerprint]
            moved = _look_again(tx, old, now_s)
        # Who is stirred from here on is a candidate of the next refresh.
        tx.run("delete from stirred")
        _clear(tx)
    return persons, moved, built


def _built(tx: Transaction) -> dict[str, str]:
    return dict(tx.run("select audience_id, fingerprint from audience_builds"))


def _mark_all(tx: Transaction) -> dict[str, str]:
    """Have every audience made anew."""
    tx.run("update audience_builds set fingerprint = ''")
    return _built(tx)


def sizes(engine: Engine) -> dict[str, int]:
    """How many members each audience has; those without any are missing."""
    rows = engine.query(
        "select audience_id, count(*) as members from audience_members group by audience_id"
    )
    return {row["audience_id"]: row["members"] for row in rows}


def pick(tx: Transaction, audience_id: str, persons: Collection[int]) -> None:
    """Have a lookalike consist of these persons, the most alike first."""
    tx.run("delete from lookalike_picks where audience_id = $id", {"id": audience_id})
    tx.run(
        "insert into lookalike_picks select $id, unnest($persons), "
        "generate_subscripts($persons, 1)",
        {"id": audience_id, "persons": [int(person) for person in persons]},
    )


def _is_idle(
    engine: Engine, definitions: Sequence[Definition], due_by_s: int, resting: Collection[str]
) -> bool:
    """Whether all is as it should be. Who asks this often must not write: a transaction makes
    readers find their answers anew."""
    if not engine.query("select 1 from duckdb_tables() where table_name = 'audience_builds'"):
        return False
    built = engine.query("select audience_id, fingerprint from audience_builds")
    wanted = {e.audience_id: e.fingerprint for e in definitions if e.audience_id not in resting}
    known = {row["audience_id"]: row["fingerprint"] for row in built}
    if wanted != {name: made for name, made in known.items() if name not in resting}:
        return False
    return not engine.query(
        "select 1 from stirred union all "
        "select 1 from audience_due where due_s <= $due_by_s limit 1",
        {"due_by_s": due_by_s},
    )


def _forget_others(tx: Transaction, definitions: Sequence[Definition]) -> None:
    """Audiences that are no more; nobody is told, for nobody can ask."""
    kept = {"kept": [each.audience_id for each in definitions]}
    gone = "not list_contains($kept, audience_id)"
    if not tx.run(f"select 1 from audience_builds where {gone} limit 1", kept):
        return
    tx.run(
        "insert into snapshot_changes select distinct person_id from audience_members "
        f"where {gone}",
        kept,
    )
    for name in ("members", "due", "changes", "builds"):
        tx.run(f"delete from audience_{name} where {gone}", kept)
    tx.run(f"delete from lookalike_picks where {gone}", kept)


def _find_candidates(tx: Transaction, due_by_s: int) -> int:
    """Of whom anything may have changed, as `candidates`; how many they are."""
    tx.run(
        "create or replace temp table candidates as select person_id from stirred union "
        "select person_id from audience_due where due_s <= $due_by_s",
        {"due_by_s": due_by_s},
    )
    ((persons,),) = tx.run("select count(*) from candidates")
    return int(persons)


def _is_full(tx: Transaction, persons: int) -> bool:
    """Whether so many changed that looking at everybody is quicker."""
    if persons < _FULL_MIN:
        return False
    ((known,),) = tx.run("select count(*) from persons where person_id = root_id")
    return bool(persons > known * _FULL_SHARE)


def _find_withdrawn(tx: Transaction, is_full: bool) -> None:
    """Whose last word on their data, as far as it is known, was no."""
    whose = "" if is_full else "semi join candidates using (person_id)"
    tx.run(
        "create or replace temp table denials as select person_id, max(denied_time) as denied_time "
        "from withdrawals inner join identifiers using (identifier_key) "
        f"{whose} where person_id is not null group by person_id"
    )
    tx.run(
        "delete from withdrawn"
        + ("" if is_full else " where person_id in (select person_id from candidates)")
    )
    if tx.run("select 1 from denials limit 1"):
        tx.run(
            "insert into withdrawn select person_id from denials where person_id not in ("
            f"select denials.person_id from {EVENTS} as granted inner join denials "
            "on granted.person_id = denials.person_id where granted.is_granted "
            "and granted.event_time > denials.denied_time)"
        )


def _look_again(tx: Transaction, definitions: Sequence[Definition], now_s: int) -> tuple[int, int]:
    """Evaluate everything for the candidates."""
    # A row is read by its place only where the person is one of them.
    tx.run(
        f"create or replace temp table {_LOOKED_AT} as select * from {EVENTS} where rowid in ("
        f"select rowid from {EVENTS} semi join candidates using (person_id))"
    )
    _begin(tx)
    for each in definitions:
        _evaluate(tx, each, _LOOKED_AT, now_s, "semi join candidates using (person_id)")
    theirs = "semi join candidates using (person_id)"
    moved = _store(tx, theirs, now_s, is_told=True)
    # They may be known by other identifiers now.
    tx.run(
        "insert into snapshot_changes select person_id from candidates "
        "semi join audience_members using (person_id)"
    )
    return moved


def _build(tx: Transaction, each: Definition, now_s: int, is_first: bool) -> tuple[int, int]:
    """Evaluate one definition for all persons."""
    _begin(tx)
    _evaluate(tx, each, EVENTS, now_s, "")
    which = "semi join (select $audience_id as audience_id) as this using (audience_id)"
    moved = _store(tx, which, now_s, not is_first, {"audience_id": each.audience_id})
    tx.run(
        "delete from audience_builds where audience_id = $audience_id",
        {"audience_id": each.audience_id},
    )
    tx.run(
        "insert into audience_builds values ($audience_id, $fingerprint, $now_s)",
        {"audience_id": each.audience_id, "fingerprint": each.fingerprint, "now_s": now_s},
    )
    return moved


def _begin(tx: Transaction) -> None:
    tx.run(
        "create or replace temp table evaluated (account_id varchar, audience_id varchar, "
        "person_id bigint, is_in boolean, due_s bigint)"
    )


def _evaluate(tx: Transaction, each: Definition, events: str, now_s: int, whose: str) -> None:
    select, parameters = each.sql(events)
    given = {"audience_id": each.audience_id, "account_id": each.account_id, "now_s": now_s}
    sql = (
        "insert into evaluated select $account_id, $audience_id, person_id, is_in, due_s "
        f"from ({select}) as found {whose} where person_id is not null"
    )
    tx.run(sql, {**{k: v for k, v in given.items() if f"${k}" in sql}, **parameters})


def _store(
    tx: Transaction,
    which: str,
    now_s: int,
    is_told: bool,
    parameters: dict[str, Any] | None = None,
) -> tuple[int, int]:
    """Put what was evaluated in the place of the rows that it is about (`which`, a join); how many
    persons joined and left. Those that join for the first time ever are not told."""
    given = parameters or {}
    tx.run(
        "create or replace temp table present as select account_id, audience_id, person_id, "
        f"rowid as place from audience_members {which}",
        given,
    )
    tx.run(
        "create or replace temp table wanted as select account_id, audience_id, person_id "
        "from evaluated where is_in and person_id not in (select person_id from withdrawn)"
    )
    tx.run(
        "create or replace temp table moves as "
        "select account_id, audience_id, person_id, true as is_join, cast(null as bigint) as place "
        "from wanted anti join present using (audience_id, person_id) union all "
        "select account_id, audience_id, person_id, false, place "
        "from present anti join wanted using (audience_id, person_id)"
    )
    tx.run(
        "delete from audience_members where rowid in (select place from moves where not is_join)"
    )
    tx.run(
        "insert into audience_members select account_id, audience_id, person_id, $now_s "
        "from moves where is_join",
        {"now_s": now_s},
    )
    tx.run("insert into snapshot_changes select distinct person_id from moves")
    if is_told and tx.run("select 1 from moves limit 1"):
        _tell(tx, now_s)
    tx.run(
        f"delete from audience_due where rowid in (select rowid from audience_due {which})",
        given,
    )
    tx.run(
        "insert into audience_due select audience_id, person_id, due_s from evaluated "
        "where due_s is not null"
    )
    ((joined, left),) = tx.run(
        "select count(*) filter (is_join), count(*) filter (not is_join) from moves"
    )
    return int(joined), int(left)


def _clear(tx: Transaction) -> None:
    """Give back the memory that tables of a step hold."""
    for name in (*("candidates", "denials", "evaluated", "present", "wanted", "moves"), _LOOKED_AT):
        tx.run(f"drop table if exists temp.{name}")


def _tell(tx: Transaction, now_s: int) -> None:
    """Note who joined and who left, under numbers that only rise."""
    ((last,),) = tx.run("select coalesce(max(change_id), 0) from audience_cursor")
    tx.run(
        "insert into audience_changes select "
        "$last + row_number() over (order by is_join, audience_id, person_id), "
        "account_id, audience_id, person_id, $now_s, is_join from moves",
        {"now_s": now_s, "last": last},
    )
    tx.run("delete from audience_cursor")
    tx.run(
        "insert into audience_cursor select greatest($last, max(change_id)) from audience_changes",
        {"last": last},
    )
    tx.run(
        "delete from audience_changes where changed_s < $before",
        {"before": now_s - CHANGES_KEPT_S},
    )
