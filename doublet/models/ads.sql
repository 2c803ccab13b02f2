-- One row per campaign, ad set or ad that a platform named: what it is called now, and what it
-- belongs to.
-- Key: (account_id, platform, level, the id of its level). Source: the temporary table
-- `named_ad_days`, the rows of `ad_days` of the platforms to be made.
-- Each field is the last that was said of it; the name of a campaign is the same in all its ads.
with
said as (
  select
    account_id,
    platform,
    'campaign' as level,
    campaign_id as id,
    campaign_name as name,
    campaign_id,
    cast(null as varchar) as adset_id,
    currency,
    received_at,
    log_slot,
    log_offset
  from named_ad_days
  where campaign_id is not null
  union all
  select
    account_id,
    platform,
    'adset' as level,
    adset_id as id,
    adset_name as name,
    campaign_id,
    adset_id,
    currency,
    received_at,
    log_slot,
    log_offset
  from named_ad_days
  where adset_id is not null
  union all
  select
    account_id,
    platform,
    'ad' as level,
    ad_id as id,
    ad_name as name,
    campaign_id,
    adset_id,
    currency,
    received_at,
    log_slot,
    log_offset
  from named_ad_days
  where ad_id is not null
),
filled as (
  select
    account_id,
    platform,
    level,
    id,
    first_value(name ignore nulls) over by_receipt as name,
    first_value(campaign_id ignore nulls) over by_receipt as campaign_id,
    first_value(adset_id ignore nulls) over by_receipt as adset_id,
    first_value(currency ignore nulls) over by_receipt as currency,
    first_value(received_at) over by_receipt as last_received_at,
    row_number() over (
      partition by account_id, platform, level, id
      order by received_at desc, log_slot desc, log_offset desc
    ) as nth
  from said
  window by_receipt as (
    partition by account_id, platform, level, id
    order by received_at desc, log_slot desc, log_offset desc
    rows between unbounded preceding and unbounded following
  )
),
entities as (
  select
    account_id,
    platform,
    level,
    id,
    name,
    campaign_id,
    adset_id,
    currency,
    last_received_at
  from filled
  where nth = 1
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
