-- One row per measure, pixel, event name, source and five minutes of receipt: in how many of the
-- cases it holds. Sources: copies, events_deduplicated. Parameter: $since (timestamp).
-- deduplication: events that the server sent, and of these those that the browser sent too.
-- matching: events that the server sent, and of these those with em, ph or external_id.
-- freshness: copies from the server, and of these those that came within two hours.
with
seen as (
  select
    pixel_id,
    event_name,
    floor(epoch(kept_received_at) / 300) as step,
    case when browser_copies > 0 then 1 else 0 end as is_both,
    case
      when user_data.em is not null or user_data.ph is not null or user_data.external_id is not null
        then 1
      else 0
    end as is_matchable
  from events_deduplicated
  where kept_received_at >= $since
    and server_copies > 0
    and not is_test
),
counted as (
  select
    'deduplication' as measure,
    pixel_id,
    event_name,
    step,
    sum(is_both) as hits,
    count(*) as cases
  from seen
  group by pixel_id, event_name, step
  union all
  select
    'matching',
    pixel_id,
    event_name,
    step,
    sum(is_matchable),
    count(*)
  from seen
  group by pixel_id, event_name, step
  union all
  select
    'freshness',
    pixel_id,
    event_name,
    floor(epoch(received_at) / 300) as step,
    sum(case when epoch(received_at) - event_time <= 7200 then 1 else 0 end),
    count(*)
  from copies
  where received_at >= $since
    and source = 'server'
  group by pixel_id, event_name, step
)
select
  cast(measure as varchar) as measure,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(step as bigint) as step,
  cast(hits as bigint) as hits,
  cast(cases as bigint) as cases
from counted
