-- One row per conversion and window: the touch that has the whole credit for it. Source: last_touch,
-- whose parameters it takes.
with
claims as (
  select
    window_name,
    pixel_id,
    event_key,
    anchor_at,
    kind,
    touched_time,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    amount
  from last_touch
)
select
  cast('last_touch' as varchar) as model,
  cast(window_name as varchar) as window_name,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(kind as varchar) as kind,
  cast(touched_time as bigint) as touched_time,
  cast(platform as varchar) as platform,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(1 as decimal(38, 12)) as share,
  cast(coalesce(amount, 0) as decimal(38, 4)) as amount
from claims
