-- One row per model, window and channel, campaign, ad set or ad: the conversions that are credited
-- to it, and their value in the account's currency. What no touch claims has a null channel.
-- Source: placed_credit, whose parameters it takes.
with
shares as (
  select
    model,
    window_name,
    kind is not null as is_attributed,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    has_ad,
    share,
    amount
  from placed_credit
)
select
  cast(model as varchar) as model,
  cast(window_name as varchar) as window_name,
  cast(is_attributed as boolean) as is_attributed,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(sum(share) as decimal(38, 12)) as conversions,
  cast(sum(case when has_ad then share else 0 end) as decimal(38, 12)) as with_ad,
  cast(sum(amount) as decimal(38, 4)) as value
from shares
group by model, window_name, is_attributed, channel, campaign_id, adset_id, ad_id
order by model, window_name, is_attributed, channel, campaign_id, adset_id, ad_id
