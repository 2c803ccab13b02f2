-- One row per account: how many events the other reports leave out, since only a browser reported
-- them whose hits the rules of its pixel mark. Source: events_deduplicated. Parameters:
-- $account_id, $pixel_id (null: all pixels), $since and $until (Unix seconds, half-open; null:
-- unbounded), $marks (flags of hits left out). Events of our own checks are not counted.
select
  cast(count(*) as bigint) as events
from events_deduplicated
where account_id = $account_id
  and not is_test
  and server_copies = 0
  and list_has_any(flags, $marks)
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
