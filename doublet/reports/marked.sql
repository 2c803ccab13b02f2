-- One row per account: how many events the other reports leave out, since only a browser reported
-- them whose hits the rules of its pixel mark. Source: event_quarters. Parameters: $account_id,
-- $pixel_id (null: all pixels), $since and $until (Unix seconds, half-open, borders of days; null:
-- unbounded). Events of our own checks are not counted.
select
  cast(coalesce(sum(events), 0) as bigint) as events
from event_quarters
where account_id = $account_id
  and is_marked
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($since is null or quarter_s >= $since)
  and ($until is null or quarter_s < $until)
