"""The order ledger: every order counted once, from its Purchase events and the shop's messages.

`ORDER_MODELS` is its tables, in order. Both sources note the orders that they touch in the
temporary table `touched_orders`; `replace_touched` makes the ledgers of just those anew. An order's
ledger depends on all that was said about it, never on the order of arrival.
"""

from __future__ import annotations

from doublet.engine import Transaction
from doublet.lake.columns import ORDER_MESSAGES
from doublet.lake.table import File, Table, empty_sql
from doublet.models.tables import Tables, model_sql

ORDER_MODELS: tuple[str, ...] = ("order_copies", "order_entries", "orders")

_KEY = "account_id, order_id"


def make_tables(tx: Transaction, names: Tables) -> None:
    """Empty tables with the columns that the texts yield; `events_deduplicated` is there."""
    tx.run(f"create or replace temp table changed_messages as from {empty_sql(ORDER_MESSAGES)}")
    tx.run(f"create or replace table {names.order_copies} as {model_sql('order_copies')}")
    begin(tx)
    _gather(tx, names)
    tx.run(f"create or replace table {names.order_entries} as {model_sql('order_entries')}")
    tx.run(f"create or replace temp table changed_entries as from {names.order_entries}")
    tx.run(f"create or replace table {names.orders} as {model_sql('orders')}")


def begin(tx: Transaction) -> None:
    """No order is touched yet."""
    tx.run("create or replace temp table touched_orders (account_id varchar, order_id varchar)")


def note_copies(tx: Transaction) -> None:
    """Note the orders that the copies of the touched events name: those that the events are of,
    and were of before. A pixel is of one account."""
    tx.run(
        f"insert into touched_orders select distinct {_KEY} from event_copies inner join ("
        "select distinct pixel_id, account_id from changed_events) as pixels using (pixel_id) "
        "where order_id is not null"
    )


def note_events(tx: Transaction, names: Tables) -> None:
    """Note the orders of the events named by `touched`, before these are taken out."""
    tx.run(
        f"insert into touched_orders select distinct {_KEY} from {names.events_deduplicated} "
        "semi join touched using (pixel_id, event_key, anchor_at) "
        "where event_name = 'Purchase' and order_id is not null"
    )


def take_messages(tx: Transaction, names: Tables, table: Table, batch: list[File]) -> None:
    """Take in the messages in some files of the lake that are not known yet, and bring the ledgers
    they touch up to date."""
    tx.run(
        "create or replace temp table changed_messages as select * from "
        f"{table.read_sql([file.path for file in batch])} as lake_rows "
        f"anti join {names.order_copies} as known using (log_slot, log_offset)"
    )
    tx.run(f"create or replace temp table new_messages as {model_sql('order_copies')}")
    tx.run(f"insert into {names.order_copies} select * from new_messages")
    begin(tx)
    tx.run(f"insert into touched_orders select distinct {_KEY} from new_messages")
    replace_touched(tx, names)


def replace_touched(tx: Transaction, names: Tables) -> None:
    """Make the ledgers of `touched_orders` anew."""
    if not tx.run("select 1 from touched_orders limit 1"):
        return
    _gather(tx, names)
    tx.run(f"create or replace temp table changed_entries as {model_sql('order_entries')}")
    for name in (names.order_entries, names.orders):
        tx.run(
            f"delete from {name} as old using touched_orders "
            "where old.account_id = touched_orders.account_id "
            "and old.order_id = touched_orders.order_id"
        )
    tx.run(f"insert into {names.order_entries} select * from changed_entries")
    tx.run(f"insert into {names.orders} {model_sql('orders')}")


def _gather(tx: Transaction, names: Tables) -> None:
    """What is known about the touched orders, as `told` (messages) and `bought` (Purchases)."""
    touched = f"semi join touched_orders using ({_KEY})"
    tx.run(f"create or replace temp table told as from {names.order_copies} {touched}")
    tx.run(
        "create or replace temp table bought as select account_id, order_id, pixel_id, event_key, "
        "anchor_at, event_time, value, currency, action_source "
        f"from {names.events_deduplicated} {touched} "
        "where event_name = 'Purchase' and not is_test"
    )
