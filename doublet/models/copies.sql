-- One row per copy of an event: the facts that decide, and the chain that it belongs to.
-- Key: (log_slot, log_offset). Source: the temporary table `chains`, of which only what is new or
-- has changed is written.
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(event_key as bigint) as event_key,
  cast(method as varchar) as method,
  cast(source as varchar) as source,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(event_time as bigint) as event_time,
  cast(order_id as varchar) as order_id,
  cast(order_person as varchar) as order_person,
  cast(external_key as varchar) as external_key,
  cast(fbp as varchar) as fbp,
  cast(sent_keys as integer) as sent_keys,
  cast(chain_at as timestamptz) as chain_at,
  cast(rule as varchar) as rule
from chains
where old_chain_at is null
  or old_chain_at <> chain_at
  or old_rule <> rule
