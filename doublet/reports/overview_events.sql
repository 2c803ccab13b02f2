-- One row per event name and currency, like overview.sql, between any two moments.
-- Source: events_deduplicated. Parameters: $account_id, $pixel_id (null: all pixels), $since and
-- $until (Unix seconds, half-open), $with_marked.
-- The row with a null currency holds the events without a value; every row holds its own counts.
select
  cast(event_name as varchar) as event_name,
  cast(case when value is not null then currency end as varchar) as currency,
  cast(sum(browser_copies) as bigint) as browser,
  cast(sum(server_copies) as bigint) as server,
  cast(count(*) as bigint) as events,
  cast(count(case when browser_copies > 0 and server_copies > 0 then 1 end) as bigint) as both,
  cast(count(case when server_copies = 0 then 1 end) as bigint) as browser_only,
  cast(count(case when browser_copies = 0 then 1 end) as bigint) as server_only,
  cast(sum(case when currency is not null then value end) as decimal(38, 4)) as value
from events_deduplicated
where account_id = $account_id
  and not is_test
  and ($with_marked or not is_marked)
  and ($pixel_id is null or pixel_id = $pixel_id)
  and event_time >= $since
  and event_time < $until
group by event_name, case when value is not null then currency end
order by event_name, currency
