-- One row per event name and currency: what arrived from both sides and what it makes together.
-- Source: event_quarters. Parameters: $account_id, $pixel_id (null: all pixels), $since and
-- $until (Unix seconds, half-open, borders of days; null: unbounded). Events of our own checks are
-- left out, and unless $with_marked what only a browser reported whose hits the rules of its pixel
-- mark.
-- The row with a null currency holds the events without a value; every row holds its own counts.
select
  cast(event_name as varchar) as event_name,
  cast(nullif(currency, '') as varchar) as currency,
  cast(sum(browser_copies) as bigint) as browser,
  cast(sum(server_copies) as bigint) as server,
  cast(sum(events) as bigint) as events,
  cast(sum(by_both) as bigint) as both,
  cast(sum(browser_only) as bigint) as browser_only,
  cast(sum(server_only) as bigint) as server_only,
  cast(case when currency <> '' then sum(value) end as decimal(38, 4)) as value
from event_quarters
where account_id = $account_id
  and ($with_marked or not is_marked)
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($since is null or quarter_s >= $since)
  and ($until is null or quarter_s < $until)
group by event_name, currency
order by event_name, nullif(currency, '')
