-- One row per refused request, oldest first: at most $rows_max after the one named by $after_at,
-- $after_slot and $after_offset (null: from the first).
-- Parameters: as of causes.sql, and $ids (`slot-offset`; null: all).
select
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(source as varchar) as source,
  cast(received_at as timestamptz) as received_at,
  cast(reason as varchar) as reason,
  cast(message as varchar) as message,
  cast(size_bytes as bigint) as size_bytes,
  cast(sha256 as varchar) as sha256,
  cast(payload as varchar) as payload
from read_parquet($paths)
where (account_id = $account_id or (account_id = '' and list_contains($pixels, pixel_id)))
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($reason is null or reason = $reason)
  and ($since is null or received_at >= make_timestamptz(cast($since as bigint) * 1000000))
  and ($until is null or received_at < make_timestamptz(cast($until as bigint) * 1000000))
  and ($ids is null or list_contains($ids, log_slot || '-' || log_offset))
  and (
    $after_at is null
    or received_at > $after_at
    or (received_at = $after_at and (log_slot, log_offset) > ($after_slot, $after_offset))
  )
order by received_at, log_slot, log_offset
limit $rows_max
