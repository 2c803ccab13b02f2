-- One row per refused request: records of the log as they go into the Delta table `refused`.
-- Parameters: $paths staged log chunks named <slot>.jsonl, $positions first wanted offset by slot.
-- A null payload means that the body could not be read or that no account was proven.
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(record_type as varchar) as record_type,
  cast(source as varchar) as source,
  make_timestamptz(received_at) as received_at,
  cast(make_timestamptz(received_at) at time zone 'UTC' as date) as received_date,
  cast(parse_filename(filename, true) as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(reason as varchar) as reason,
  cast(message as varchar) as message,
  cast(size_bytes as bigint) as size_bytes,
  cast(sha256 as varchar) as sha256,
  cast(payload as varchar) as payload
from read_ndjson(
  $paths,
  filename = true,
  maximum_object_size = 17825792,
  columns = {
    log_offset: 'bigint',
    record_type: 'varchar',
    account_id: 'varchar',
    pixel_id: 'varchar',
    source: 'varchar',
    received_at: 'bigint',
    reason: 'varchar',
    message: 'varchar',
    size_bytes: 'bigint',
    sha256: 'varchar',
    payload: 'varchar'
  }
)
where record_type = 'refused'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
