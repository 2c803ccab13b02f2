-- One row per campaign, ad set and ad that a platform named: its level, id and newest name. Source:
-- ads. Parameters: $account_id.
with
titles as (
  select
    level,
    case level
      when 'campaign' then campaign_id
      when 'adset' then adset_id
      else ad_id
    end as id,
    case level
      when 'campaign' then campaign_name
      when 'adset' then adset_name
      else ad_name
    end as name
  from ads
  where account_id = $account_id
)
select
  cast(level as varchar) as level,
  cast(id as varchar) as id,
  cast(max(name) as varchar) as name
from titles
where id is not null
group by level, id
order by level, id
