"""The order ledger: every order counted once, from its Purchase events and the shop's messages.

`ORDER_MODELS` is its tables, in order. Both sources note the orders that they touch in the
temporary table `changed_orders`; `replace_changed` makes the ledgers of just those anew. An order's
ledger depends on all that was said about it, never on the order of arrival.
"""

from __future__ import annotations

from doublet.engine import Transaction
from doublet.lake.columns import ORDER_MESSAGES
from doublet.lake.table import File, Table, empty_sql
from doublet.models.tables import Tables, model_sql

ORDER_MODELS: tuple[str, ...] = ("order_copies", "order_entries", "orders")

_KEY = ("account_id", "order_id")


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield; `events_deduplicated` is there."""
    tx.run(f"create or replace temp view changed_messages as from {empty_sql(ORDER_MESSAGES)}")
    tx.run(f"create or replace table {names.order_copies} as {model_sql('order_copies')}")
    begin(tx)
    _name_sources(tx, names)
    tx.run(f"create or replace table {names.order_entries} as {model_sql('order_entries')}")
    tx.run(f"create or replace temp table changed_entries as from {names.order_entries}")
    tx.run(f"create or replace table {names.orders} as {model_sql('orders')}")


def _name_sources(tx: Transaction, names: Tables) -> None:
    tx.run(f"create or replace temp view known_messages as from {names.order_copies}")
    tx.run(f"create or replace temp view known_events as from {names.events_deduplicated}")


def begin(tx: Transaction) -> None:
    """Nothing has changed yet."""
    tx.run("create or replace temp table changed_orders (account_id varchar, order_id varchar)")


def note_events(tx: Transaction, names: Tables) -> None:
    """Note the orders of the `touched` events as they are in the tables now: to be called before
    events are replaced, for the orders they leave, and after, for those they come to."""
    tx.run(
        "insert into changed_orders select distinct account_id, order_id "
        f"from {names.events_deduplicated} semi join touched "
        "using (pixel_id, event_key, anchor_at) "
        "where event_name = 'Purchase' and order_id is not null"
    )


def take_messages(tx: Transaction, names: Tables, table: Table, batch: list[File]) -> None:
    """Take in the messages in some files of the lake that are not known yet, and bring the ledgers
    they touch up to date."""
    tx.run(
        "create or replace temp view changed_messages as select * from "
        f"{table.read_sql([file.path for file in batch])} as lake_rows "
        f"anti join {names.order_copies} using (log_slot, log_offset)"
    )
    tx.run(f"create or replace temp table new_messages as {model_sql('order_copies')}")
    tx.run(f"insert into {names.order_copies} from new_messages")
    begin(tx)
    tx.run("insert into changed_orders select distinct account_id, order_id from new_messages")
    replace_changed(tx, names)


def replace_changed(tx: Transaction, names: Tables) -> None:
    """Make the ledgers of `changed_orders` anew."""
    if not tx.run("select 1 from changed_orders limit 1"):
        return
    _name_sources(tx, names)
    tx.run(f"create or replace temp table changed_entries as {model_sql('order_entries')}")
    matches = " and ".join(f"kept.{name} = changed_orders.{name}" for name in _KEY)
    for name in (names.order_entries, names.orders):
        tx.run(f"delete from {name} as kept using changed_orders where {matches}")
    tx.run(f"insert into {names.order_entries} from changed_entries")
    tx.run(f"insert into {names.orders} {model_sql('orders')}")
