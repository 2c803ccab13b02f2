-- One row per event name with how many of $persons did it in the $lookback_s seconds up to $until_s,
-- and how many of $seed did. Source: behaviours. Other parameter: $account_id.
with
seeds as (
  select unnest($seed) as person_id
),
others as (
  select unnest($persons) as person_id
),
doers as (
  select event_name, person_id
  from behaviours
  where account_id = $account_id
    and person_id in (select person_id from seeds union all select person_id from others)
    and event_time > $until_s - $lookback_s
    and event_time <= $until_s
  group by event_name, person_id
)
select
  cast(doers.event_name as varchar) as event_name,
  cast(count(others.person_id) as bigint) as persons,
  cast(count(seeds.person_id) as bigint) as seed_persons
from doers
left join seeds on doers.person_id = seeds.person_id
left join others on doers.person_id = others.person_id
group by doers.event_name
order by doers.event_name
