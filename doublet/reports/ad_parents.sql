-- One row per ad: its platform and what it is part of, null where nobody told. Source: ads.
select
  cast(ad_id as varchar) as ad_id,
  cast(min(platform) as varchar) as platform,
  cast(min(campaign_id) as varchar) as campaign_id,
  cast(min(adset_id) as varchar) as adset_id
from ads
where account_id = $account_id
  and level = 'ad'
group by ad_id
