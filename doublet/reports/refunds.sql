-- One row per channel, campaign, ad set or ad: the purchases that are credited to it, and what of
-- them was refunded or cancelled by now, in the account's currency. Purchases that no touch claims
-- have a null channel and are not attributed. Sources: purchases, placed_credit. Parameters: those
-- of both.
with
credited as (
  select
    placed_credit.kind is not null as is_attributed,
    placed_credit.channel,
    placed_credit.campaign_id,
    placed_credit.adset_id,
    placed_credit.ad_id,
    purchases.is_in_ledger,
    purchases.gross,
    purchases.refunds,
    purchases.cancelled
  from purchases
  inner join placed_credit
    on placed_credit.pixel_id = purchases.pixel_id
    and placed_credit.event_key = purchases.event_key
    and placed_credit.anchor_at = purchases.anchor_at
  where purchases.day >= $first_day
    and purchases.day <= $last_day
)
select
  cast(is_attributed as boolean) as is_attributed,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(count(*) as bigint) as orders,
  cast(count(case when not is_in_ledger then 1 end) as bigint) as without_ledger,
  cast(count(case when refunds > 0 then 1 end) as bigint) as refunded_orders,
  cast(count(case when cancelled > 0 then 1 end) as bigint) as cancelled_orders,
  cast(count(case when refunds > 0 or cancelled > 0 then 1 end) as bigint) as returned_orders,
  cast(sum(gross) as decimal(38, 4)) as gross,
  cast(sum(refunds) as decimal(38, 4)) as refunds,
  cast(sum(cancelled) as decimal(38, 4)) as cancelled
from credited
group by is_attributed, channel, campaign_id, adset_id, ad_id
order by is_attributed, channel, campaign_id, adset_id, ad_id
