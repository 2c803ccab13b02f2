-- One row per event name, day and currency: how many events were seen by the browser only, by the
-- server only and by both; what each side alone would have reported; what adding up both sides
-- without deduplication would have claimed (each side's events once, so that repeats within a side
-- do not count); and the same for value. Source: events_deduplicated. Parameters: $account_id,
-- $pixel_id (null: all pixels), $event_name (null: all), $since and $until (Unix seconds,
-- half-open; null: unbounded), $by_day (false: all days in one row, with a null day), $zone (IANA
-- name of the account's time zone, whose days count). Events of our own checks are left out, and
-- unless $with_marked what only a browser reported whose hits the rules of its pixel mark.
-- The row with a null currency holds the events without a value; every row holds its own counts.
with
seen as (
  select
    event_name,
    case when $by_day then cast(to_timestamp(event_time) at time zone $zone as date) end as day,
    case when value is not null then currency end as currency,
    case when currency is not null then value end as value,
    case when browser_copies > 0 then 1 else 0 end as by_browser,
    case when server_copies > 0 then 1 else 0 end as by_server
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and (
      $with_marked
      or server_copies > 0
      or not coalesce(list_has_any(flags, $marks), false)
    )
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and ($since is null or event_time >= $since)
    and ($until is null or event_time < $until)
)
select
  cast(event_name as varchar) as event_name,
  cast(day as date) as day,
  cast(currency as varchar) as currency,
  cast(count(*) as bigint) as events,
  cast(sum(by_browser * by_server) as bigint) as both,
  cast(count(*) - sum(by_server) as bigint) as browser_only,
  cast(count(*) - sum(by_browser) as bigint) as server_only,
  cast(sum(by_browser) as bigint) as browser_alone,
  cast(sum(by_server) as bigint) as server_alone,
  cast(sum(by_browser) + sum(by_server) as bigint) as added,
  cast(sum(value) as decimal(38, 4)) as value,
  cast(sum(value * by_browser) as decimal(38, 4)) as browser_alone_value,
  cast(sum(value * by_server) as decimal(38, 4)) as server_alone_value,
  cast(sum(value * (by_browser + by_server)) as decimal(38, 4)) as added_value
from seen
group by event_name, day, currency
order by event_name, day, currency
