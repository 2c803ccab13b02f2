-- One row per decision of an operator: records of the log as they go into the Delta table
-- `decisions`.
-- Parameters: $paths staged log chunks named <slot>.jsonl, $positions first wanted offset by slot.
-- Nulls mean that the record did not say it.
select
  cast(account_id as varchar) as account_id,
  cast(record_type as varchar) as record_type,
  cast(source as varchar) as source,
  make_timestamptz(received_at) as received_at,
  cast(make_timestamptz(received_at) at time zone 'UTC' as date) as received_date,
  cast(parse_filename(filename, true) as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(decision_id as varchar) as decision_id,
  cast(kind as varchar) as kind,
  cast(identifier_a as varchar) as identifier_a,
  cast(identifier_b as varchar) as identifier_b,
  cast(reason as varchar) as reason,
  cast(coalesce(is_revoked, false) as boolean) as is_revoked
from read_ndjson(
  $paths,
  filename = true,
  maximum_object_size = 2097152,
  columns = {
    log_offset: 'bigint',
    record_type: 'varchar',
    account_id: 'varchar',
    source: 'varchar',
    received_at: 'bigint',
    decision_id: 'varchar',
    kind: 'varchar',
    identifier_a: 'varchar',
    identifier_b: 'varchar',
    reason: 'varchar',
    is_revoked: 'boolean'
  }
)
where record_type = 'decision'
  and log_offset >= list_extract($positions, cast(parse_filename(filename, true) as integer) + 1)
