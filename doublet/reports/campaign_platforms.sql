-- One row per campaign: the platform that has it, if that is known. Source: ads. Parameters:
-- $account_id.
select
  cast(campaign_id as varchar) as campaign_id,
  cast(min(platform) as varchar) as platform
from ads
where account_id = $account_id
  and campaign_id is not null
group by campaign_id
order by campaign_id
