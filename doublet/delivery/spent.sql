-- One row per policy: what the touches of its decisions cost, in units.
-- Parameters: $chosen files of `ad_decisions`, $touched files of `ad_touches`, $account_id, $since
-- and $until (Unix seconds, half-open, of the decision).
with
costs as (
  select
    left(touch_id, length(touch_id) - 2) as chosen_id,
    max(cost) as cost
  from read_parquet($touched)
  where account_id = $account_id
    and platform = 'doublet'
    and cost is not null
    and not is_test
  group by left(touch_id, length(touch_id) - 2)
)
select
  cast(chosen.policy as varchar) as policy,
  cast(sum(costs.cost) * 10000 as bigint) as units
from read_parquet($chosen) as chosen
inner join costs
  on costs.chosen_id = chosen.decision_id || '.' || chosen.position
where chosen.account_id = $account_id
  and epoch(chosen.decided_at) >= $since
  and epoch(chosen.decided_at) < $until
  and not chosen.is_test
group by chosen.policy
order by policy
