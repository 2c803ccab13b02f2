-- One row per person of an account who did something in the $lookback_s seconds up to $until_s.
-- Source: behaviours. Parameters: $account_id, $until_s, $lookback_s, $countries and $excluded
-- (SHA-256 of two-letter codes). `country_place` is where the first of the person's countries
-- stands among $countries, from 1, otherwise 0; `is_elsewhere`: another country is known of the
-- person; `is_excluded`: one of $excluded is.
select
  cast(person_id as bigint) as person_id,
  cast(min(event_time) as bigint) as first_s,
  cast(
    coalesce(min(nullif(list_position($countries, country), 0)), 0) as integer
  ) as country_place,
  cast(
    bool_or(country is not null and not list_contains($countries, country)) as boolean
  ) as is_elsewhere,
  cast(bool_or(country is not null and list_contains($excluded, country)) as boolean) as is_excluded
from behaviours
where account_id = $account_id
  and person_id is not null
  and event_time > $until_s - $lookback_s
  and event_time <= $until_s
group by person_id
order by person_id
