-- One row per person with the moment of the first $event_name in the $lookback_s seconds up to
-- $until_s. Source: behaviours. Other parameter: $account_id.
select
  cast(person_id as bigint) as person_id,
  cast(min(event_time) as bigint) as first_s
from behaviours
where account_id = $account_id
  and person_id is not null
  and event_name = $event_name
  and event_time > $until_s - $lookback_s
  and event_time <= $until_s
group by person_id
order by person_id
