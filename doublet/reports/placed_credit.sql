-- One row per share of a conversion: the channel, campaign, ad set or ad that it is credited to. What
-- no touch claims has no kind and a null channel. Sources: a text called `credit`, which shares each
-- conversion out; ads, ad_parents and adset_parents, which say what a part belongs to. Parameters:
-- those of credit, $account_id, $depth (0: account, 1: channel, 2: campaign, 3: ad set, 4: ad). An id is null where the touch
-- names none, or beyond the depth.
with
campaign_platforms as (
  select
    campaign_id,
    min(platform) as platform
  from ads
  where account_id = $account_id
  group by campaign_id
),
placed as (
  select
    credit.model,
    credit.window_name,
    credit.pixel_id,
    credit.event_key,
    credit.anchor_at,
    credit.kind,
    credit.touched_time,
    credit.ad_id,
    coalesce(credit.adset_id, ad_parents.adset_id) as adset_id,
    coalesce(
      credit.campaign_id,
      ad_parents.campaign_id,
      adset_parents.campaign_id
    ) as campaign_id,
    coalesce(ad_parents.platform, adset_parents.platform) as platform,
    coalesce(credit.platform, credit.channel) as channel,
    credit.share,
    credit.amount
  from credit
  left join ad_parents
    on ad_parents.ad_id = credit.ad_id
  left join adset_parents
    on adset_parents.adset_id = coalesce(credit.adset_id, ad_parents.adset_id)
),
-- A campaign has one channel, that of its platform, however an address calls it.
named as (
  select
    placed.model,
    placed.window_name,
    placed.pixel_id,
    placed.event_key,
    placed.anchor_at,
    placed.kind,
    placed.touched_time,
    case
      when placed.kind is not null and $depth >= 1 then coalesce(
        placed.platform,
        campaign_platforms.platform,
        placed.channel,
        'unknown'
      )
    end as channel,
    case when placed.kind is not null and $depth >= 2 then placed.campaign_id end as campaign_id,
    case when placed.kind is not null and $depth >= 3 then placed.adset_id end as adset_id,
    case when placed.kind is not null and $depth >= 4 then placed.ad_id end as ad_id,
    placed.ad_id is not null as has_ad,
    placed.share,
    placed.amount
  from placed
  left join campaign_platforms
    on campaign_platforms.campaign_id = placed.campaign_id
)
select
  cast(model as varchar) as model,
  cast(window_name as varchar) as window_name,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(kind as varchar) as kind,
  cast(touched_time as bigint) as touched_time,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(has_ad as boolean) as has_ad,
  cast(share as decimal(38, 12)) as share,
  cast(amount as decimal(38, 4)) as amount
from named
