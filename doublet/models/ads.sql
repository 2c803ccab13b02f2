-- One row per campaign, ad set or ad that a platform named: what it is called now, and what it
-- belongs to.
-- Key: (account_id, platform, level, the id of its level). Source: the temporary table
-- `named_ad_fields`, the rows of `ad_fields` of the platforms to be made.
-- Each field is the last that was said of it; the name of a campaign is the same in all its ads.
with
entities as (
  select
    account_id,
    platform,
    level,
    id,
    max(case when field = 'name' then value end) as name,
    max(case when field = 'campaign_id' then value end) as campaign_id,
    max(case when field = 'adset_id' then value end) as adset_id,
    max(case when field = 'currency' then value end) as currency,
    max(received_at) as last_received_at
  from named_ad_fields
  group by account_id, platform, level, id
),
-- An ad that was told with its ad set alone belongs to that one's campaign.
placed as (
  select
    entities.account_id,
    entities.platform,
    entities.level,
    entities.id,
    entities.name,
    coalesce(entities.campaign_id, adsets.campaign_id) as campaign_id,
    entities.adset_id,
    adsets.name as adset_name,
    entities.currency,
    entities.last_received_at
  from entities
  left join entities as adsets
    on entities.account_id = adsets.account_id
    and entities.platform = adsets.platform
    and entities.adset_id = adsets.id
    and adsets.level = 'adset'
)
select
  cast(placed.account_id as varchar) as account_id,
  cast(placed.platform as varchar) as platform,
  cast(placed.level as varchar) as level,
  cast(placed.campaign_id as varchar) as campaign_id,
  cast(campaigns.name as varchar) as campaign_name,
  cast(placed.adset_id as varchar) as adset_id,
  cast(placed.adset_name as varchar) as adset_name,
  cast(case when placed.level = 'ad' then placed.id end as varchar) as ad_id,
  cast(case when placed.level = 'ad' then placed.name end as varchar) as ad_name,
  cast(placed.currency as varchar) as currency,
  cast(placed.last_received_at as timestamptz) as last_received_at
from placed
left join entities as campaigns
  on placed.account_id = campaigns.account_id
  and placed.platform = campaigns.platform
  and placed.campaign_id = campaigns.id
  and campaigns.level = 'campaign'
