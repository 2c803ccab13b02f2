-- One row per ad set: all that became of it before a moment; columns as in flow_counts.sql.
-- Parameters: $chosen files of `ad_decisions`, $touched files of `ad_touches`, $since (received
-- earlier). Touches that another account has told of an ad set count nothing.
with
decided as (
  select distinct account_id, adset_id
  from read_parquet($chosen)
),
touches as (
  select
    adset_id,
    kind,
    max(coalesce(cost, 0)) as cost
  from read_parquet($touched)
  semi join decided
    using (account_id, adset_id)
  where platform = 'doublet'
    and kind in ('view', 'click')
    and received_at < $since
    and not is_test
  group by
    adset_id,
    kind,
    -- What was made anonymous has lost its name, and is still one touch each.
    case when touch_id = 'erased' then cast(log_slot as varchar) || '/' || log_offset else touch_id end
),
news as (
  select adset_id, 1 as chosen, 0 as views, 0 as clicks, 0 as units, p_click, p_action, value
  from read_parquet($chosen)
  where received_at < $since
    and not is_test
  union all
  select
    adset_id,
    0,
    case when kind = 'view' then 1 else 0 end,
    case when kind = 'click' then 1 else 0 end,
    cast(cost * 10000 as bigint),
    0,
    0,
    0
  from touches
)
select
  cast(adset_id as varchar) as adset_id,
  cast(sum(chosen) as bigint) as chosen,
  cast(sum(views) as bigint) as views,
  cast(sum(clicks) as bigint) as clicks,
  cast(sum(units) as bigint) as units,
  cast(sum(p_click) as double) as p_clicks,
  cast(sum(p_action) as double) as p_actions,
  cast(sum(value) * 10000 as double) as value
from news
group by adset_id
order by adset_id
