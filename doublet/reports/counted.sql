-- One row per report: how many conversions it counts, how many of them have a
-- person, what they are worth in the account's currency, and when the first was. Source:
-- chosen_conversions, whose parameters it takes.
with
counted as (
  select
    person_id,
    event_time,
    amount
  from chosen_conversions
)
select
  cast(count(*) as bigint) as conversions,
  cast(count(person_id) as bigint) as with_person,
  cast(coalesce(sum(amount), 0) as decimal(38, 4)) as value,
  cast(min(event_time) as bigint) as first_time
from counted
