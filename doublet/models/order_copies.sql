-- One row per copy of a message about an order, as the lake has it.
-- Key: (log_slot, log_offset). Source: the temporary table `changed_messages`, which holds just the
-- rows of the lake's `order_messages` that are not modelled yet.
-- The same message may come any number of times; `order_entries` counts it once.
select
  cast(account_id as varchar) as account_id,
  cast(order_id as varchar) as order_id,
  cast(message_id as varchar) as message_id,
  cast(message_key as bigint) as message_key,
  cast(kind as varchar) as kind,
  cast(changed_at as timestamptz) as changed_at,
  cast(value as decimal(18, 4)) as value,
  cast(currency as varchar) as currency,
  cast(parent_order_id as varchar) as parent_order_id,
  cast(action_source as varchar) as action_source,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from changed_messages
