-- One row per ad set or ad: what it is part of, null where nobody told. Source: ads.
select
  cast(level as varchar) as level,
  cast(case level when 'adset' then adset_id else ad_id end as varchar) as id,
  cast(min(campaign_id) as varchar) as campaign_id,
  cast(min(adset_id) as varchar) as adset_id
from ads
where account_id = $account_id
  and level in ('adset', 'ad')
group by level, case level when 'adset' then adset_id else ad_id end
