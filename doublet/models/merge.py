"""Last part of a step: the rows of the events whose copies changed.

An event that only grows, by copies that come after all others in rank, is made from its present
row and those copies. Any other is made from all of its copies, of which the older ones are read
from just those lake files that hold them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

from doublet.engine import Transaction
from doublet.lake.table import File, Table
from doublet.models.quarters import take_events_out
from doublet.models.tables import Rules, Tables, add_rows, make_temporary

_ORDER_ID = "case when event_name = 'Purchase' then order_id end as order_id"
_SIGNS = "method, event_time, external_key, fbp, sent_keys"
_EVENT = "pixel_id, event_key, anchor_at"
_FIELDS = (
    "account_id, event_name, event_time, event_id, action_source, event_source_url, user_data, "
    "value, currency, order_id, custom_data, extra, flags, is_test"
)

# Also of a copy whose other wire fields are not the ones that stand; not where it names no purpose.
_CONSENT = (
    "case when contains(source.extra, '\"consent\"') and contains("
    "cast(json_extract(source.extra, '$.consent') as varchar), '_') "
    "then cast(json_extract(source.extra, '$.consent') as varchar) end"
)


def find_members(tx: Transaction, names: Tables) -> None:
    """All copies of the events that changed, as `members`; `touched` names the events."""
    # Events that lost or took in an older copy, and those that have a new one.
    tx.run(
        "create or replace temp table moved as with different as (select * from looked_at "
        "where old_key is not null and (old_key <> root_key or old_at <> root_at)) "
        "select pixel_id, old_key as event_key, old_at as anchor_at from different "
        "union select pixel_id, root_key, root_at from different"
    )
    tx.run(
        f"create or replace temp table touched as select {_EVENT} from moved union "
        "select pixel_id, root_key, root_at from looked_at where old_key is null"
    )
    tx.run(
        "create or replace temp table event_copies as select looked_at.pixel_id, "
        "root_key as event_key, root_at as anchor_at, source, received_at, log_slot, log_offset, "
        f"old_key is null as is_new, {_ORDER_ID}, {_SIGNS}, join_rule from looked_at "
        "semi join touched "
        "on looked_at.pixel_id = touched.pixel_id and root_key = touched.event_key "
        "and root_at = touched.anchor_at"
    )
    _add_others(tx, names)
    make_temporary(tx, "members", Rules())


def _add_others(tx: Transaction, names: Tables) -> None:
    """Copies of chains that nobody looked at, which are where they were."""
    tx.run(
        "create or replace temp table other_places as select * from ("
        "select pixel_id, event_key, anchor_at as chain_at, event_key as root_key, "
        "anchor_at as root_at, cast(null as varchar) as join_rule from touched "
        "union all select joined.pixel_id, joined.event_key, joined.chain_at, root_key, root_at, "
        "rule "
        f"from {names.joins} as joined inner join touched on joined.pixel_id = touched.pixel_id "
        "and root_key = touched.event_key and root_at = touched.anchor_at) as others "
        "anti join met using (pixel_id, event_key, chain_at) "
        "anti join gone_chains using (pixel_id, event_key, chain_at)"
    )
    if tx.run("select 1 from other_places limit 1"):
        tx.run(
            "insert into event_copies select copies.pixel_id, root_key, root_at, source, "
            f"received_at, log_slot, log_offset, false, {_ORDER_ID}, {_SIGNS}, join_rule "
            f"from {names.copies} as copies "
            "inner join other_places using (pixel_id, event_key, chain_at)"
        )


def merge(tx: Transaction, names: Tables, table: Table) -> None:
    """Replace the rows of the touched events."""
    _plan(tx)
    _gather(tx, names, table)
    take_events_out(tx, names)
    add_rows(tx, names.events_deduplicated, "events_deduplicated")


def _plan(tx: Transaction) -> None:
    """The part that each copy makes, as `planned`. An event grows when all its older copies come
    first; its present row is the part of its first copy."""
    tx.run(
        f"create or replace temp table growing as select {_EVENT} from ("
        f"select {_EVENT}, max(old_copies) as old_copies, count(*) as older, max(rank) as last "
        f"from members where not is_new group by {_EVENT}) as counted "
        f"anti join moved using ({_EVENT}) where older = least(old_copies, 50) and last = older"
    )
    tx.run(
        "create or replace temp table planned as select members.*, "
        "grows is not null and rank = 1 as is_base, "
        "case when grows is null then rank else greatest(rank - old_copies, 0) + 1 end "
        "as position, least(browser_copies + server_copies, 50) "
        "- case when grows is null then 0 else least(old_copies, 50) - 1 end as parts "
        f"from members left join (select *, true as grows from growing) as growing "
        f"using ({_EVENT}) where grows is null or is_new or rank = 1"
    )


def _gather(tx: Transaction, names: Tables, table: Table) -> None:
    """The parts that the events are made from, as `lone_parts` and `parts`."""
    fields = ", ".join(f"source.{name.strip()}" for name in _FIELDS.split(","))
    by_place = "on planned.log_slot = source.log_slot and planned.log_offset = source.log_offset"
    from_lake = (
        f"select planned.*, {fields}, {_CONSENT} as consent, "
        "cast(null as varchar[]) as conflicts from "
        "(select * from planned where {which}) as planned "
        f"inner join {{rows}} as source {by_place}"
    )
    tx.run(
        "create or replace temp view lone_parts as "
        + from_lake.format(which="is_new and parts = 1", rows="changed_events")
    )
    tx.run(
        "create or replace temp table parts as "
        + from_lake.format(which="is_new and parts > 1", rows="changed_events")
    )
    if tx.run("select 1 from planned where is_base limit 1"):
        tx.run(
            f"insert into parts select planned.*, {fields}, source.consent, source.conflicts "
            "from (select * from planned where is_base) as planned "
            f"inner join {names.events_deduplicated} as source "
            "on planned.pixel_id = source.pixel_id and planned.event_key = source.event_key "
            "and planned.anchor_at = source.anchor_at"
        )
    older = tx.run(
        "select distinct received_at from planned where not is_new and not is_base "
        "order by received_at"
    )
    if older:
        named = _files_holding(table.files(), [row[0] for row in older])
        rows = table.read_sql([file.path for file in named])
        tx.run(
            "insert into parts " + from_lake.format(which="not is_new and not is_base", rows=rows)
        )


def _files_holding(files: list[File], moments: Sequence[datetime]) -> list[File]:
    """Files whose time span holds one of the sorted moments."""
    named = []
    for file in files:
        at = bisect_left(moments, file.first_received_at)
        if at < len(moments) and moments[at] <= file.last_received_at:
            named.append(file)
    return named
