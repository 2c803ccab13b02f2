-- One row per event that fits, the newest first: what it is, who saw it, what was odd about it.
-- Source: events_deduplicated. Parameters: $account_id, $pixel_id, $event_name, $action_source
-- (null: all), $since and $until (Unix seconds, half-open; null: unbounded), $seen_by (both,
-- browser_only, server_only; null: all), $shown (counted: as reports count; left_out: what they leave
-- out; all), $is_odd (only those with a flag or a conflict), $text (null: all; otherwise an
-- event id or order id, or a part of an address), $id (that text as an event id is stored), $before_s,
-- $before_slot and $before_offset (only what stands behind this event; null: from the newest), $limit.
-- user_data is JSON text; who shows it tells its keys only.
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(event_time as bigint) as event_time,
  cast(anchor_at as timestamptz) as received_at,
  cast(event_id as varchar) as event_id,
  cast(action_source as varchar) as action_source,
  cast(event_source_url as varchar) as event_source_url,
  cast(browser_copies as bigint) as browser,
  cast(server_copies as bigint) as server,
  cast(delay_s as double) as delay_s,
  cast(kept_rule as varchar) as kept_rule,
  cast(value as decimal(18, 4)) as value,
  cast(currency as varchar) as currency,
  cast(order_id as varchar) as order_id,
  cast(to_json(user_data) as varchar) as user_data,
  cast(to_json(flags) as varchar) as flags,
  cast(to_json(conflicts) as varchar) as conflicts,
  cast(is_test as boolean) as is_test,
  cast(is_marked as boolean) as is_marked,
  cast(kept_log_slot as bigint) as log_slot,
  cast(kept_log_offset as bigint) as log_offset
from events_deduplicated
where account_id = $account_id
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($event_name is null or event_name = $event_name)
  and ($action_source is null or action_source = $action_source)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
  and (
    $seen_by is null
    or $seen_by = case
      when browser_copies = 0 then 'server_only'
      when server_copies = 0 then 'browser_only'
      else 'both'
    end
  )
  and (
    $shown = 'all'
    or ($shown = 'left_out') = (is_test or is_marked)
  )
  and (not $is_odd or len(coalesce(flags, [])) > 0 or len(coalesce(conflicts, [])) > 0)
  and (
    $text is null
    or event_id = $id
    or order_id = $text
    or contains(event_source_url, $text)
  )
  and (
    $before_s is null
    or event_time < $before_s
    or (event_time = $before_s and kept_log_slot < $before_slot)
    or (
      event_time = $before_s
      and kept_log_slot = $before_slot
      and kept_log_offset < $before_offset
    )
  )
order by event_time desc, kept_log_slot desc, kept_log_offset desc
limit $limit
