"""First part of a step: which copies are new, and the chain of every copy of the keys they touch.

Makes the temporary tables `facts` (new copies), `pool` (all copies of the changed keys, as they
were) and `chains` (the same, as they are now).
"""

from __future__ import annotations

from doublet.engine import Transaction
from doublet.lake.table import File, Table
from doublet.models.tables import Rules, Tables, make_temporary, model_sql

_FACTS = (
    "pixel_id, event_name, event_key, method, source, received_at, log_slot, log_offset, "
    "event_time, order_id, order_person, external_key, fbp, sent_keys"
)


def find_new(
    tx: Transaction, names: Tables, table: Table, batch: list[File], slices: int, part: int
) -> None:
    """The copies in a batch of files that are not modelled yet, as `facts`.

    A file that is not in `lake_files` may still hold modelled rows, when it was merged by somebody
    else; (slot, offset) tells.
    """
    tx.run(
        "create or replace temp view changed_events as "
        f"select * from {table.read_sql([file.path for file in batch])}"
    )
    tx.run(
        "create or replace temp table new_rows as select log_slot, log_offset from changed_events "
        f"anti join (select log_slot, log_offset from {names.copies} "
        "where received_at between $first and $last) as known using (log_slot, log_offset) "
        "where $slices = 1 or (event_key % $slices + $slices) % $slices = $part",
        {
            "slices": slices,
            "part": part,
            "first": min(file.first_received_at for file in batch),
            "last": max(file.last_received_at for file in batch),
        },
    )
    make_temporary(tx, "facts", Rules())


def chain(tx: Transaction, names: Tables, rules: Rules) -> None:
    """Chains of all copies of the keys that the new copies have, as `chains`.

    An anchor depends on the copies before it only, up to 7 days back. So the chains that begin
    before the one which is met there stay as they are, however many copies they have.
    """
    tx.run(
        "create or replace temp table changed_keys as "
        "select fresh.pixel_id, fresh.event_key, coalesce(max(case when known.chain_at "
        "<= fresh.first_at - interval '7 days' then known.chain_at end), "
        "timestamptz '-infinity') as since_at from (select pixel_id, event_key, "
        "min(received_at) as first_at from facts where method <> 'none' group by all) as fresh "
        f"inner join {names.copies} as known using (pixel_id, event_key) group by all"
    )
    tx.run(
        f"create or replace temp table pool as select {_FACTS}, "
        "cast(null as timestamptz) as old_chain_at, cast(null as varchar) as old_rule from facts"
    )
    if tx.run("select 1 from changed_keys limit 1"):
        tx.run(
            f"insert into pool select {_FACTS}, chain_at, rule from {names.copies} "
            "inner join changed_keys using (pixel_id, event_key) where chain_at >= since_at"
        )
    make_temporary(tx, "chains", rules)


def store_copies(tx: Transaction, names: Tables) -> None:
    """Write what `chains` says and the table does not say yet."""
    tx.run(
        "create or replace temp table rewritten as select log_slot, log_offset from chains "
        "where old_chain_at <> chain_at or old_rule <> rule"
    )
    if tx.run("select 1 from rewritten limit 1"):
        tx.run(
            f"delete from {names.copies} as stored using rewritten "
            "where stored.log_slot = rewritten.log_slot "
            "and stored.log_offset = rewritten.log_offset"
        )
    tx.run(f"insert into {names.copies} {model_sql('copies')}")
