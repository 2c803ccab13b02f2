-- One row per span of time, shorter than a quarter of an hour, that holds events; like timeline.sql.
-- Source: events_deduplicated. Parameters: see timeline.sql, $first_s and $last_s: the moments of
-- the first and the last event.
with
seen as (
  select
    event_time - event_time % $width_s as at_s,
    case when browser_copies > 0 and server_copies > 0 then 1 else 0 end as by_both,
    case when server_copies = 0 then 1 else 0 end as browser_only,
    case when browser_copies = 0 then 1 else 0 end as server_only
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and ($with_marked or not is_marked)
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and event_time between $first_s and $last_s
),
localised as (
  select
    cast(epoch(to_timestamp(at_s) at time zone $zone) as bigint) as local_s,
    by_both,
    browser_only,
    server_only
  from seen
)
select
  cast(local_s as bigint) as start_s,
  cast(local_s + $width_s as bigint) as end_s,
  cast(count(*) as bigint) as events,
  cast(sum(by_both) as bigint) as both,
  cast(sum(browser_only) as bigint) as browser_only,
  cast(sum(server_only) as bigint) as server_only
from localised
group by local_s
order by start_s
