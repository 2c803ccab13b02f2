-- One row per conversion, model, window and touch that has a share of it, or without a kind where none
-- has: what is shared out, to which ad, and how much of it. The oldest conversions first, at most
-- $shares_max rows. Sources: chosen_conversions, placed_credit, events_deduplicated, which knows the
-- event id. Parameters: those of both texts.
with
named as (
  select
    placed_credit.pixel_id,
    placed_credit.event_key,
    placed_credit.anchor_at,
    events_deduplicated.event_id,
    chosen_conversions.event_name,
    chosen_conversions.event_time,
    chosen_conversions.order_id,
    chosen_conversions.person_id,
    placed_credit.model,
    placed_credit.window_name,
    placed_credit.kind,
    placed_credit.touched_time,
    placed_credit.channel,
    placed_credit.campaign_id,
    placed_credit.adset_id,
    placed_credit.ad_id,
    placed_credit.share,
    placed_credit.amount
  from placed_credit
  inner join chosen_conversions
    on chosen_conversions.pixel_id = placed_credit.pixel_id
    and chosen_conversions.event_key = placed_credit.event_key
    and chosen_conversions.anchor_at = placed_credit.anchor_at
  left join events_deduplicated
    on events_deduplicated.pixel_id = placed_credit.pixel_id
    and events_deduplicated.event_key = placed_credit.event_key
    and events_deduplicated.anchor_at = placed_credit.anchor_at
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(event_id as varchar) as event_id,
  cast(event_name as varchar) as event_name,
  cast(event_time as bigint) as event_time,
  cast(order_id as varchar) as order_id,
  cast(person_id as bigint) as person_id,
  cast(model as varchar) as model,
  cast(window_name as varchar) as window_name,
  cast(kind as varchar) as kind,
  cast(touched_time as bigint) as touched_time,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(share as decimal(38, 12)) as share,
  cast(amount as decimal(38, 4)) as value
from named
order by event_time, pixel_id, event_key, anchor_at, model, window_name, touched_time, ad_id
limit $shares_max
