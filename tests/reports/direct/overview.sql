-- One row per event name and currency: what arrived from both sides and what it makes together.
-- Source: events_deduplicated. Parameters: $account_id, $pixel_id (null: all pixels), $since and
-- $until (Unix seconds, half-open; null: unbounded). Events of our own checks are left out, and
-- unless $with_marked what only a browser reported whose hits the rules of its pixel mark.
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
  and (
    $with_marked
    or server_copies > 0
    or not coalesce(list_has_any(flags, $marks), false)
  )
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by event_name, case when value is not null then currency end
order by event_name, currency
