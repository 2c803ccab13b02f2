"""The order ledger: every order counted once, from its Purchase events and the shop's messages.

`ORDER_MODELS` is its tables, in order. Both sources note the orders that they touch in the
temporary table `changed_orders`; `replace_changed` makes the ledgers of just those anew. An order's
ledger depends on all that was said about it, never on the order of arrival.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files as package_files

from doublet.engine import Transaction
from doublet.lake.columns import ORDER_MESSAGES
from doublet.lake.table import File, Table, empty_sql

ORDER_MODELS: tuple[str, ...] = ("order_copies", "order_entries", "orders")

_KEY = ("account_id", "order_id")


@cache
def order_sql(name: str) -> str:
    """The text of one of the ledger's tables."""
    return package_files("doublet.models").joinpath(f"{name}.sql").read_text("utf-8")


def texts() -> str:
    """All texts, for telling whether one of them has changed."""
    return "\0".join(map(order_sql, ORDER_MODELS))


def make_tables(tx: Transaction) -> None:
    """Empty tables with the columns that the texts yield; `events_deduplicated` is there."""
    tx.run(f"create or replace temp table changed_messages as from {empty_sql(ORDER_MESSAGES)}")
    tx.run(f"create or replace table order_copies as {order_sql('order_copies')}")
    begin(tx)
    tx.run(f"create or replace table order_entries as {order_sql('order_entries')}")
    tx.run("create or replace temp table changed_entries as from order_entries")
    tx.run(f"create or replace table orders as {order_sql('orders')}")
    for name in ("changed_messages", "changed_entries", "changed_orders"):
        tx.run(f"drop table {name}")


def begin(tx: Transaction) -> None:
    """Nothing has changed yet."""
    tx.run("create or replace temp table changed_orders (account_id varchar, order_id varchar)")


def note_events(tx: Transaction) -> None:
    """Note the orders of the events of `changed_keys` as they are in the tables now: to be called
    before events are replaced, for the orders they leave, and after, for those they come to."""
    tx.run(
        "insert into changed_orders select distinct account_id, order_id from events_deduplicated "
        "semi join changed_keys using (pixel_id, event_key) "
        "where event_name = 'Purchase' and order_id is not null"
    )


def take_messages(tx: Transaction, table: Table, batch: list[File]) -> int:
    """Take in the messages in some files of the lake that are not known yet, and bring the ledgers
    they touch up to date; how many there were."""
    tx.run(
        "create or replace temp table changed_messages as "
        f"select * from {table.read_sql()} as lake_rows anti join order_copies "
        "using (log_slot, log_offset)",
        {"paths": [file.path for file in batch]},
    )
    tx.run(f"create or replace temp table new_messages as {order_sql('order_copies')}")
    tx.run("insert into order_copies select * from new_messages")
    begin(tx)
    tx.run("insert into changed_orders select distinct account_id, order_id from new_messages")
    ((messages,),) = tx.run("select count(*) from new_messages")
    replace_changed(tx)
    for name in ("changed_messages", "new_messages"):
        tx.run(f"drop table {name}")
    return int(messages)


def replace_changed(tx: Transaction) -> None:
    """Make the ledgers of `changed_orders` anew, and drop that table."""
    if tx.run("select 1 from changed_orders limit 1"):
        tx.run(f"create or replace temp table changed_entries as {order_sql('order_entries')}")
        matches = " and ".join(f"kept.{name} = changed_orders.{name}" for name in _KEY)
        for name in ORDER_MODELS[1:]:
            tx.run(f"delete from {name} as kept using changed_orders where {matches}")
        tx.run("insert into order_entries select * from changed_entries")
        tx.run(f"insert into orders {order_sql('orders')}")
        tx.run("drop table changed_entries")
    tx.run("drop table changed_orders")
