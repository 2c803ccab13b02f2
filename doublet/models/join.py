"""Second part of a step: which chains are one event, by order id and by fallback keys.

Looks at the chains of `chains`, at those that share an order id with them, and at server copies
that may follow their browser copies. Makes the temporary table `looked_at`, the copies of all these
chains, each with the event that it was of (old_key, old_at; null when it is new) and the event that
it is of (root_key, root_at), and `new_joins`.
"""

from __future__ import annotations

from doublet.engine import Transaction
from doublet.models.tables import Rules, Tables, make_model, make_temporary

_CHAIN = "pixel_id, event_key, chain_at"
_IS_ORDER = "event_name = 'Purchase' and order_id is not null and method in ('event_id', 'none')"
_HAS_KEY = "coalesce(external_key, fbp) is not null"
_COPY = (
    "pixel_id, event_name, event_key, method, source, received_at, log_slot, log_offset, "
    "event_time, order_id, order_person, external_key, fbp, sent_keys, chain_at, "
)


def join(tx: Transaction, names: Tables, rules: Rules) -> None:
    """Find the event of every chain whose place may have changed."""
    tx.run(f"create or replace temp table met as select {_COPY} old_chain_at from chains")
    tx.run(
        "create or replace temp table gone_chains as select distinct pixel_id, event_key, "
        "old_chain_at as chain_at from chains where old_chain_at is not null"
    )
    _join_orders(tx, names, rules)
    _meet_followers(tx, names)
    _meet_later_servers(tx, names, rules, "facts where source = 'browser'")
    _group(tx, names)
    _find_fallback(tx, names, rules)
    # Whom one server copy may follow, another may have followed already.
    while not rules.meta and _meet_later_servers(tx, names, rules, "candidates"):
        _group(tx, names)
        _find_fallback(tx, names, rules)
    make_temporary(tx, "fallback_joins", rules)
    make_model(tx, "temp table new_joins", "joins", rules)
    _place(tx, names)


def store_joins(tx: Transaction, names: Tables) -> None:
    """Replace the joins of the chains that were looked at."""
    if tx.run(f"select 1 from {names.joins} limit 1"):
        tx.run(
            f"delete from {names.joins} as stored using ("
            f"select distinct {_CHAIN} from met union from gone_chains) as old "
            "where stored.pixel_id = old.pixel_id and stored.event_key = old.event_key "
            "and stored.chain_at = old.chain_at"
        )
    tx.run(f"insert into {names.joins} from new_joins")


def _meet(tx: Transaction, names: Tables, chains: str) -> bool:
    """Add the copies of more stored chains to `met`; `chains` is a SELECT of their keys. Whether
    there were any."""
    tx.run(
        f"create or replace temp table more_chains as select distinct {_CHAIN} from ({chains}) "
        f"as wanted anti join met using ({_CHAIN}) anti join gone_chains using ({_CHAIN})"
    )
    if not tx.run("select 1 from more_chains limit 1"):
        return False
    tx.run(
        f"insert into met select {_COPY} chain_at from {names.copies} "
        f"semi join more_chains using ({_CHAIN})"
    )
    return True


def _join_orders(tx: Transaction, names: Tables, rules: Rules) -> None:
    """Chains of Purchase copies with the same order id, as `order_joins`."""
    orders = f"select distinct pixel_id, order_id from met where {_IS_ORDER}"
    tx.run(f"create or replace temp table changed_orders as {orders}")
    if tx.run("select 1 from changed_orders limit 1"):
        by_order = (
            f"select {_CHAIN} from {names.copies} "
            f"semi join changed_orders using (pixel_id, order_id) where {_IS_ORDER}"
        )
        _meet(tx, names, by_order)
        # Copies of one chain may name several orders, of which the chain counts for one.
        if tx.run(
            f"insert into changed_orders {orders} except select * from changed_orders returning 1"
        ):
            _meet(tx, names, by_order)
    person = "coalesce(order_person, external_key, fbp)" if rules.meta else "order_person"
    tx.run(
        "create or replace temp table order_chains as select * from ("
        "select pixel_id, min(order_id) as order_id, event_key, chain_at, "
        f"case when min({person}) = max({person}) then min({person}) end as person "
        f"from met where {_IS_ORDER} group by pixel_id, event_key, chain_at) as chains "
        "semi join changed_orders using (pixel_id, order_id)"
    )
    make_temporary(tx, "order_joins", rules)


def _meet_followers(tx: Transaction, names: Tables) -> None:
    """Groups that belong to events whose chains are looked at, or are no longer there."""
    if not tx.run(f"select 1 from {names.joins} limit 1"):
        return
    _meet(
        tx,
        names,
        f"select joined.pixel_id, group_key as event_key, group_at as chain_at from {names.joins} "
        f"as joined semi join (select {_CHAIN} from met union all from gone_chains) as old "
        "on joined.pixel_id = old.pixel_id and root_key = old.event_key and root_at = old.chain_at",
    )
    _meet_members(tx, names)


def _meet_members(tx: Transaction, names: Tables) -> bool:
    """All chains of the groups that chains are in; whether there were any that were not met."""
    return _meet(
        tx,
        names,
        f"select joined.pixel_id, joined.event_key, joined.chain_at from {names.joins} as joined "
        "semi join met on joined.pixel_id = met.pixel_id "
        "and group_key = met.event_key and group_at = met.chain_at "
        "union all select pixel_id, group_key, group_at "
        f"from {names.joins} semi join met using ({_CHAIN})",
    )


def _meet_later_servers(tx: Transaction, names: Tables, rules: Rules, browsers: str) -> bool:
    """Meet the stored server copies that may follow one of some browser copies; whether there
    were any that had not been met."""
    tx.run(
        "create or replace temp table earlier as select pixel_id, event_name, received_at, method, "
        f"external_key, fbp from (select * from {browsers}) as browsers where {_HAS_KEY}"
    )
    ((first_at, last_at),) = tx.run(
        "select min(received_at), max(received_at) + interval '48 hours' from earlier"
    )
    if first_at is None:
        return False
    tx.run(
        "create or replace temp table later_servers as select pixel_id, event_name, event_key, "
        f"chain_at, received_at, method, external_key, fbp from {names.copies} "
        f"where source = 'server' and received_at between $first_at and $last_at and {_HAS_KEY}",
        {"first_at": first_at, "last_at": last_at},
    )
    if not tx.run("select 1 from later_servers limit 1"):
        return False
    follows = " union all ".join(
        "select later.pixel_id, later.event_key, later.chain_at from later_servers as later "
        "inner join earlier on later.pixel_id = earlier.pixel_id "
        f"and later.event_name = earlier.event_name and later.{key} = earlier.{key} "
        "and later.received_at > earlier.received_at "
        "where $meta or earlier.method = 'none' or later.method = 'none'"
        for key in ("external_key", "fbp")
    )
    tx.run(f"create or replace temp table followers as {follows}", {"meta": rules.meta})
    met = _meet(tx, names, "from followers")
    return _meet_members(tx, names) or met


def _group(tx: Transaction, names: Tables) -> None:
    """The group of every chain that is met: the first chain of its order, or itself."""
    tx.run(
        "create or replace temp table stored_joins as "
        f"select {_CHAIN}, group_key, group_at from {names.joins} semi join met using ({_CHAIN}) "
        f"anti join chains using ({_CHAIN}) anti join order_chains using ({_CHAIN}) "
        f"union all select {_CHAIN}, group_key, group_at from order_joins"
    )
    tx.run(
        f"create or replace temp table groups as select met.{_CHAIN.replace(', ', ', met.')}, "
        "coalesce(stored.group_key, met.event_key) as group_key, "
        "coalesce(stored.group_at, met.chain_at) as group_at from ("
        f"select distinct {_CHAIN} from met where source = 'server' "
        f"union select {_CHAIN} from stored_joins "
        "union select pixel_id, group_key, group_at from stored_joins) as met "
        f"left join stored_joins as stored using ({_CHAIN})"
    )


def _find_fallback(tx: Transaction, names: Tables, rules: Rules) -> None:
    """Groups from the server only, and the browser's copies that they may follow."""
    tx.run(
        "create or replace temp table server_chains as select pixel_id, group_key, group_at from ("
        "select pixel_id, group_key, group_at, source, method "
        f"from met inner join groups using ({_CHAIN})) as grouped "
        "group by pixel_id, group_key, group_at "
        "having bool_and(source = 'server' and method in ('event_id', 'none'))"
    )
    tx.run(
        "create or replace temp table server_groups as "
        "select pixel_id, event_name, group_key, group_at, received_at, method, order_id, "
        "external_key, fbp from (select met.pixel_id, event_name, group_key, group_at, "
        "received_at, method, order_id, external_key, fbp, row_number() over ("
        "partition by met.pixel_id, group_key, group_at order by received_at, log_slot, log_offset"
        f") as place from met inner join groups using ({_CHAIN}) "
        "semi join server_chains using (pixel_id, group_key, group_at)) as numbered "
        f"where place = 1 and {_HAS_KEY}"
    )
    _find_browser_copies(tx, names, rules)


def _find_browser_copies(tx: Transaction, names: Tables, rules: Rules) -> None:
    """What `server_groups` may follow, with the group of each, as `browser_copies`."""
    ((first_at, last_at, with_id),) = tx.run(
        "select min(received_at) - interval '48 hours', max(received_at), "
        "bool_and(method = 'event_id') from server_groups"
    )
    wanted = (
        "source = 'browser' and received_at between $first_at and $last_at "
        "and (method = 'none' or not $only_without_id)"
    )
    columns = (
        "pixel_id, event_name, event_key, chain_at, received_at, log_slot, log_offset, method, "
        "order_id, external_key, fbp"
    )
    tx.run(
        "create or replace temp table candidates as select found.* from ("
        f"select {columns} from met where {wanted} union all "
        f"select {columns} from (select {columns} from {names.copies} where {wanted}) as stored "
        "anti join met using (log_slot, log_offset)) as found semi join ("
        "select pixel_id, event_name, external_key as key from server_groups "
        "union select pixel_id, event_name, fbp from server_groups) as wanted "
        "on found.pixel_id = wanted.pixel_id and found.event_name = wanted.event_name "
        "and wanted.key in (found.external_key, found.fbp)",
        {
            "first_at": first_at,
            "last_at": last_at,
            "only_without_id": bool(with_id) and not rules.meta,
        },
    )
    tx.run(
        "create or replace temp table browser_copies as select candidates.pixel_id, event_name, "
        "received_at, method, order_id, external_key, fbp, "
        "coalesce(found.group_key, stored.group_key, candidates.event_key) as group_key, "
        "coalesce(found.group_at, stored.group_at, candidates.chain_at) as group_at "
        f"from candidates left join groups as found using ({_CHAIN}) left join ("
        f"select * from {names.joins} anti join met using ({_CHAIN})) as stored "
        f"using ({_CHAIN})"
    )


def _place(tx: Transaction, names: Tables) -> None:
    """The event that each copy was of and is of, as `looked_at`."""
    tx.run(
        "create or replace temp table looked_at as select met.*, "
        "case when old_chain_at is not null then coalesce(old.root_key, met.event_key) end "
        "as old_key, coalesce(old.root_at, old_chain_at) as old_at, "
        "coalesce(now.root_key, met.event_key) as root_key, "
        "coalesce(now.root_at, met.chain_at) as root_at, now.rule as join_rule from met "
        f"left join {names.joins} as old on met.pixel_id = old.pixel_id "
        "and met.event_key = old.event_key and met.old_chain_at = old.chain_at "
        "left join new_joins as now on met.pixel_id = now.pixel_id "
        "and met.event_key = now.event_key and met.chain_at = now.chain_at"
    )
