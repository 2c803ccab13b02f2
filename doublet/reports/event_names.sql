-- One row per event name of what may be a conversion (everything but a PageView), the most frequent
-- first, at most $names_max. Source: conversions. Parameters: $account_id, $names_max.
select
  cast(event_name as varchar) as event_name,
  cast(count(*) as bigint) as events
from conversions
where account_id = $account_id
group by event_name
order by events desc, event_name
limit $names_max
