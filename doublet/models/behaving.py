"""What persons did, and whose data may no longer be used for ads: what audiences are made from.

Comes after persons in each step. Events that the step touched are placed anew, those of persons who
were joined get the person they are now, and `stirred` gathers the persons of whom anything may have
changed until audiences have looked at them.
"""

from __future__ import annotations

from doublet.engine import Transaction
from doublet.models.tables import Tables, model_sql

BEHAVIOUR_MODELS: tuple[str, ...] = ("behaviours", "withdrawals")

_RECORD = "pixel_id, event_key, anchor_at"


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield; `identified`, `new_records` and
    `all_profiles` are there."""
    for name in BEHAVIOUR_MODELS:
        tx.run(f"create or replace table {getattr(names, name)} as {model_sql(name)}")
    tx.run(f"create or replace table {names.stirred} (person_id bigint)")


def take_events(tx: Transaction, names: Tables) -> None:
    """Put what the touched events tell in the place of what they told before."""
    tx.run(f"create or replace temp table new_behaviours as {model_sql('behaviours')}")
    # Planning the text takes longer than reading a few events.
    denies = tx.run("select 1 from identified where contains(consent, 'denied') limit 1")
    none = f"from {names.withdrawals} limit 0"
    tx.run(
        "create or replace temp table new_withdrawals as "
        + (model_sql("withdrawals") if denies else none)
    )
    for name in BEHAVIOUR_MODELS:
        tx.run(
            f"create or replace temp table old_{name} as select *, rowid as place "
            f"from {getattr(names, name)} semi join touched_records using ({_RECORD})"
        )
    tx.run(
        f"insert into {names.stirred} select distinct person_id from ("
        "select person_id from old_behaviours union all select person_id from new_behaviours "
        f"union all select person_id from {names.identifiers} semi join ("
        "select identifier_key from old_withdrawals union all "
        "select identifier_key from new_withdrawals) as said using (identifier_key)) "
        "where person_id is not null"
    )
    for name in BEHAVIOUR_MODELS:
        table = getattr(names, name)
        if tx.run(f"select 1 from old_{name} limit 1"):
            tx.run(f"delete from {table} where rowid in (select place from old_{name})")
        tx.run(f"insert into {table} select * from new_{name}")


def follow_persons(tx: Transaction, names: Tables) -> None:
    """Give events of profiles that were joined anew the person they are now."""
    if tx.run("select 1 from made_profiles limit 1"):
        tx.run(
            f"update {names.behaviours} as known set person_id = made.root_id "
            "from made_profiles as made where known.profile_key = made.profile_key "
            "and known.person_id is distinct from made.root_id"
        )
    tx.run(
        f"insert into {names.stirred} "
        "select person_id from stale_persons union select person_id from their_roots"
    )
