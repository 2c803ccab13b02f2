-- One row per report: the first and last quarter of an hour that holds events, null when none does.
-- Source: event_quarters. Parameters: see timeline.sql.
select
  cast(min(quarter_s) as bigint) as first_s,
  cast(max(quarter_s) as bigint) as last_s
from event_quarters
where account_id = $account_id
  and ($with_marked or not is_marked)
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($event_name is null or event_name = $event_name)
  and ($since is null or quarter_s >= $since)
  and ($until is null or quarter_s < $until)
