-- One row per ad that was chosen and not taken yet.
-- Parameters: $paths files of `ad_decisions`, $positions first wanted offset by log slot, $since
-- (received no earlier).
select
  cast(decision_id || '.' || position as varchar) as name,
  cast(account_id as varchar) as account_id,
  cast(adset_id as varchar) as adset_id,
  cast(lease as varchar) as lease,
  cast(position as integer) as position,
  cast(p_click as double) as p_click,
  cast(p_action as double) as p_action,
  cast(value as double) as value,
  cast(epoch(decided_at) as double) as decided_s,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from read_parquet($paths)
where received_at >= $since
  and log_offset >= coalesce(list_extract($positions, log_slot + 1), 0)
  and not is_test
