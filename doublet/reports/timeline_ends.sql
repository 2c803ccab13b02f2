-- One row per report: the moments of its first and last event. Source: events_deduplicated. Parameters:
-- see timeline.sql, and $first_s, $last_s: the quarters of an hour that the two are in.
select
  cast(min(event_time) as bigint) as first_s,
  cast(max(event_time) as bigint) as last_s
from events_deduplicated
where account_id = $account_id
  and not is_test
  and ($with_marked or not is_marked)
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($event_name is null or event_name = $event_name)
  and (
    event_time between $first_s and $first_s + 899
    or event_time between $last_s and $last_s + 899
  )
