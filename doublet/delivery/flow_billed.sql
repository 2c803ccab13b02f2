-- One row per budget of which something was billed: its number and how much, in units.
-- Parameters: $touched files of `ad_touches`, and parallel lists: $numbers, $account_ids, $adset_ids,
-- $begins_s and $ends_s (Unix seconds, half-open, of the touch).
with
asked as (
  select
    unnest(cast($numbers as integer[])) as number,
    unnest(cast($account_ids as varchar[])) as account_id,
    unnest(cast($adset_ids as varchar[])) as adset_id,
    unnest(cast($begins_s as double[])) as begin_s,
    unnest(cast($ends_s as double[])) as end_s
),
touches as (
  -- What came through two processes is one touch, at the moment of the first.
  select
    account_id,
    adset_id,
    min(epoch(touched_at)) as at_s,
    max(cost) as cost
  from read_parquet($touched)
  where platform = 'doublet'
    and kind in ('view', 'click')
    and cost is not null
    and not is_test
  group by
    account_id,
    adset_id,
    kind,
    -- What was made anonymous has lost its name, and is still one touch each.
    case when touch_id = 'erased' then cast(log_slot as varchar) || '/' || log_offset else touch_id end
)
select
  cast(asked.number as integer) as number,
  cast(sum(touches.cost * 10000) as bigint) as units
from asked
inner join touches
  on touches.account_id = asked.account_id
  and touches.adset_id = asked.adset_id
  and touches.at_s >= asked.begin_s
  and touches.at_s < asked.end_s
group by asked.number
order by asked.number
