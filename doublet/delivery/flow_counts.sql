-- One row per ad set of which something is new: ads chosen, seen, clicked, what that cost in units,
-- and the clicks, actions and value (units) that were expected of what was chosen.
-- Sources: the temporary tables `fresh_chosen` and `matched`.
with
news as (
  select adset_id, 1 as chosen, 0 as views, 0 as clicks, 0 as units, p_click, p_action, value
  from fresh_chosen
  union all
  select
    adset_id,
    0,
    case when kind = 'view' then 1 else 0 end,
    case when kind = 'click' then 1 else 0 end,
    units,
    0,
    0,
    0
  from matched
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
