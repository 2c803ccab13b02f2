-- One row per platform of which views or engaged views are known, from its own log. Source:
-- touchpoints. Parameters: $account_id.
with
seen as (
  select
    coalesce(platform, channel) as platform
  from touchpoints
  where account_id = $account_id
    and kind in ('view', 'engaged_view')
)
select cast(platform as varchar) as platform
from seen
where platform is not null
group by platform
order by platform
