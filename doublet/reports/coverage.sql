-- One row per event name, day and currency: how many events were seen by the browser only, by the
-- server only and by both; what each side alone would have reported; what adding up both sides
-- without deduplication would have claimed (each side's events once, so that repeats within a side
-- do not count); and the same for value. Source: event_quarters. Parameters: $account_id,
-- $pixel_id (null: all pixels), $event_name (null: all), $since and $until (Unix seconds,
-- half-open, borders of days; null: unbounded), $by_day (false: all days in one row, with a null
-- day), $zone (IANA name of the account's time zone, whose days count). Events of our own checks
-- are left out, and unless $with_marked what only a browser reported whose hits the rules of its
-- pixel mark.
-- The row with a null currency holds the events without a value; every row holds its own counts.
with
seen as (
  select
    event_name,
    case when $by_day then cast(to_timestamp(quarter_s) at time zone $zone as date) end as day,
    nullif(currency, '') as currency,
    events,
    by_both,
    browser_only,
    server_only,
    value,
    browser_value,
    server_value
  from event_quarters
  where account_id = $account_id
    and ($with_marked or not is_marked)
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and ($since is null or quarter_s >= $since)
    and ($until is null or quarter_s < $until)
)
select
  cast(event_name as varchar) as event_name,
  cast(day as date) as day,
  cast(currency as varchar) as currency,
  cast(sum(events) as bigint) as events,
  cast(sum(by_both) as bigint) as both,
  cast(sum(browser_only) as bigint) as browser_only,
  cast(sum(server_only) as bigint) as server_only,
  cast(sum(by_both) + sum(browser_only) as bigint) as browser_alone,
  cast(sum(by_both) + sum(server_only) as bigint) as server_alone,
  cast(2 * sum(by_both) + sum(browser_only) + sum(server_only) as bigint) as added,
  cast(case when currency is not null then sum(value) end as decimal(38, 4)) as value,
  cast(
    case when currency is not null then sum(browser_value) end as decimal(38, 4)
  ) as browser_alone_value,
  cast(
    case when currency is not null then sum(server_value) end as decimal(38, 4)
  ) as server_alone_value,
  cast(
    case when currency is not null then sum(browser_value) + sum(server_value) end
    as decimal(38, 4)
  ) as added_value
from seen
group by event_name, day, currency
order by event_name, day, currency
