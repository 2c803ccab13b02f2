-- One row per view or click of our own that was loaded and not taken yet, the first of each name.
-- Parameters: $paths files of `ad_touches`, $positions first wanted offset by log slot, $since
-- (received no earlier).
select
  cast(account_id as varchar) as account_id,
  cast(touch_id as varchar) as touch_id,
  cast(left(touch_id, length(touch_id) - 2) as varchar) as name,
  cast(kind as varchar) as kind,
  cast(coalesce(cost, 0) * 10000 as bigint) as units,
  cast(epoch(received_at) as double) as received_s,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from read_parquet($paths)
where received_at >= $since
  and log_offset >= coalesce(list_extract($positions, log_slot + 1), 0)
  and platform = 'doublet'
  and kind in ('view', 'click')
  and not is_test
