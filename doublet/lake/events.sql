-- One row per copy of an event: records of the log as they go into the Delta table `events`.
-- Parameters: $paths staged log chunks named <slot>.jsonl, $positions first wanted offset by slot.
-- Nulls mean that the client did not send the field.
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(record_type as varchar) as record_type,
  cast(source as varchar) as source,
  make_timestamptz(received_at) as received_at,
  cast(make_timestamptz(received_at) at time zone 'UTC' as date) as received_date,
  cast(parse_filename(filename, true) as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(event_key as bigint) as event_key,
  cast(event_name as varchar) as event_name,
  cast(event_time as bigint) as event_time,
  cast(event_id as varchar) as event_id,
  cast(action_source as varchar) as action_source,
  cast(event_source_url as varchar) as event_source_url,
  user_data as user_data,
  cast(value as decimal(18, 4)) as value,
  cast(currency as varchar) as currency,
  cast(order_id as varchar) as order_id,
  cast(custom_data as varchar) as custom_data,
  cast(extra as varchar) as extra,
  cast(flags as varchar[]) as flags,
  cast(coalesce(is_test, false) as boolean) as is_test
from read_ndjson(
  $paths,
  filename = true,
  maximum_object_size = 2097152,
  columns = {
    log_offset: 'bigint',
    record_type: 'varchar',
    account_id: 'varchar',
    pixel_id: 'varchar',
    source: 'varchar',
    received_at: 'bigint',
    event_key: 'bigint',
    event_name: 'varchar',
    event_time: 'bigint',
    event_id: 'varchar',
    action_source: 'varchar',
    event_source_url: 'varchar',
    user_data: '@user_data',
    value: 'varchar',
    currency: 'varchar',
    order_id: 'varchar',
    custom_data: 'json',
    extra: 'json',
    flags: 'varchar[]',
    is_test: 'boolean'
  }
)
where record_type = 'event'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
