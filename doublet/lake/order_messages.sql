-- One row per message about an order: records of the log as they go into the Delta table
-- `order_messages`.
-- Parameters: $paths staged log chunks named <slot>.jsonl, $positions first wanted offset by slot.
-- Nulls mean that the message did not say it.
select
  cast(account_id as varchar) as account_id,
  cast(record_type as varchar) as record_type,
  cast(source as varchar) as source,
  make_timestamptz(received_at) as received_at,
  cast(make_timestamptz(received_at) at time zone 'UTC' as date) as received_date,
  cast(parse_filename(filename, true) as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(order_id as varchar) as order_id,
  cast(kind as varchar) as kind,
  make_timestamptz(changed_at) as changed_at,
  cast(message_id as varchar) as message_id,
  cast(message_key as bigint) as message_key,
  cast(value as decimal(18, 4)) as value,
  cast(currency as varchar) as currency,
  cast(parent_order_id as varchar) as parent_order_id,
  cast(action_source as varchar) as action_source
from read_ndjson(
  $paths,
  filename = true,
  maximum_object_size = 17825792,
  columns = {
    log_offset: 'bigint',
    record_type: 'varchar',
    account_id: 'varchar',
    source: 'varchar',
    received_at: 'bigint',
    order_id: 'varchar',
    kind: 'varchar',
    changed_at: 'bigint',
    message_id: 'varchar',
    message_key: 'bigint',
    value: 'varchar',
    currency: 'varchar',
    parent_order_id: 'varchar',
    action_source: 'varchar'
  }
)
where record_type = 'order'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
