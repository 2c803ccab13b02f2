-- One row per cohort (persons by the week or month of their first purchase) and period in which
-- they bought: how many of them did, their orders, and what those are worth by now in the account's
-- currency. `period` counts from 0, the period of the first purchase. Source: purchases, whose
-- parameters it takes. Parameters: $by ('week', from Monday, or 'month'), $first_day and $last_day
-- of the first purchase, both included.
with
dated as (
  select
    person_id,
    day,
    case when $by = 'week' then cast(date_trunc('week', day) as date)
    else cast(date_trunc('month', day) as date) end as starts,
    gross,
    refunds,
    cancelled
  from purchases
  where person_id is not null
),
firsts as (
  select
    person_id,
    min(day) as first_day,
    min(starts) as cohort
  from dated
  group by person_id
),
kept as (
  select
    firsts.cohort,
    dated.person_id,
    case when $by = 'week' then date_diff('day', firsts.cohort, dated.starts) // 7
    else date_diff('month', firsts.cohort, dated.starts) end as period,
    dated.gross - dated.refunds - dated.cancelled as value
  from dated
  inner join firsts
    on firsts.person_id = dated.person_id
  where firsts.first_day >= $first_day
    and firsts.first_day <= $last_day
)
select
  cast(cohort as date) as cohort,
  cast(period as integer) as period,
  cast(count(distinct person_id) as bigint) as persons,
  cast(count(*) as bigint) as orders,
  cast(sum(value) as decimal(38, 4)) as value
from kept
group by cohort, period
order by cohort, period
