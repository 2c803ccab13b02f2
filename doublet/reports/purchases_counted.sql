-- One row per report: how many purchases of its days have no person, and when the first of all was
-- (Unix seconds). Source: purchases, whose parameters it takes. Parameters: $first_day and
-- $last_day, both included.
with
counted as (
  select
    event_time,
    case when person_id is null and day >= $first_day and day <= $last_day then 1 end as nobody
  from purchases
)
select
  cast(count(nobody) as bigint) as without_person,
  cast(min(event_time) as bigint) as first_time
from counted
