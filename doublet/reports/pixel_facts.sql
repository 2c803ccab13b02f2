-- One row per pixel that events were received for: when the last copy came, what times its events
-- bear, and how many copies and events there are. Source: events_deduplicated.
-- Parameters: $account_id, $pixel_id (null: all pixels). Events of our own checks are left out.
select
  cast(pixel_id as varchar) as pixel_id,
  cast(max(last_received_at) as timestamptz) as last_received_at,
  cast(min(event_time) as bigint) as event_time_min,
  cast(max(event_time) as bigint) as event_time_max,
  cast(sum(browser_copies + server_copies) as bigint) as copies,
  cast(count(*) as bigint) as events
from events_deduplicated
where account_id = $account_id
  and not is_test
  and ($pixel_id is null or pixel_id = $pixel_id)
group by pixel_id
order by pixel_id
