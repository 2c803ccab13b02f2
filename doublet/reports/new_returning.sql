-- One row per day, week or month: the purchases of new customers (the first that is known of the
-- person), of returning ones, and of those of whom no person is known, with what they are worth by
-- now in the account's currency. Source: purchases, whose parameters it takes. Parameters: $by
-- ('day', 'week' from Monday, or 'month'), $first_day and $last_day, both included.
with
numbered as (
  select
    day,
    gross - refunds - cancelled as value,
    case
      when person_id is null then 'unknown'
      when row_number() over (
        partition by person_id
        order by event_time, pixel_id, event_key, anchor_at
      ) = 1 then 'new'
      else 'returning'
    end as customer
  from purchases
),
kept as (
  select
    case
      when $by = 'week' then cast(date_trunc('week', day) as date)
      when $by = 'month' then cast(date_trunc('month', day) as date)
      else day
    end as starts,
    customer,
    value
  from numbered
  where day >= $first_day
    and day <= $last_day
)
select
  cast(starts as date) as starts,
  cast(count(case when customer = 'new' then 1 end) as bigint) as new_orders,
  cast(count(case when customer = 'returning' then 1 end) as bigint) as returning_orders,
  cast(count(case when customer = 'unknown' then 1 end) as bigint) as unknown_orders,
  cast(coalesce(sum(case when customer = 'new' then value end), 0) as decimal(38, 4)) as new_value,
  cast(
    coalesce(sum(case when customer = 'returning' then value end), 0) as decimal(38, 4)
  ) as returning_value,
  cast(
    coalesce(sum(case when customer = 'unknown' then value end), 0) as decimal(38, 4)
  ) as unknown_value
from kept
group by starts
order by starts
