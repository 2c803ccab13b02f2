-- One row per ad set: its platform and campaign, null where nobody told. Source: ads.
select
  cast(adset_id as varchar) as adset_id,
  cast(min(platform) as varchar) as platform,
  cast(min(campaign_id) as varchar) as campaign_id
from ads
where account_id = $account_id
  and level = 'adset'
group by adset_id
