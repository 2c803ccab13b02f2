-- One row per event name, channel or campaign: how many conversions there are, and how many of them
-- only the server reported, with their value in the account's currency; by channel and campaign,
-- the row with a null `channel` holds those that no ad claims. Sources: chosen_conversions,
-- placed_credit of the last touch. Parameters: those of both, $by_name (a row per event name).
with
seen as (
  select
    case when $by_name then chosen_conversions.event_name end as event_name,
    placed_credit.channel,
    placed_credit.campaign_id,
    placed_credit.kind is not null as is_attributed,
    chosen_conversions.server_copies > 0 and chosen_conversions.browser_copies = 0 as is_extra,
    placed_credit.amount
  from placed_credit
  inner join chosen_conversions
    on chosen_conversions.pixel_id = placed_credit.pixel_id
    and chosen_conversions.event_key = placed_credit.event_key
    and chosen_conversions.anchor_at = placed_credit.anchor_at
)
select
  cast(event_name as varchar) as event_name,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(count(*) as bigint) as conversions,
  cast(sum(amount) as decimal(38, 4)) as value,
  cast(count(case when is_extra then 1 end) as bigint) as extra,
  cast(coalesce(sum(case when is_extra then amount end), 0) as decimal(38, 4)) as extra_value,
  cast(count(case when is_extra and is_attributed then 1 end) as bigint) as extra_attributed,
  cast(
    coalesce(sum(case when is_extra and is_attributed then amount end), 0) as decimal(38, 4)
  ) as extra_attributed_value
from seen
group by event_name, channel, campaign_id
order by channel is null, extra desc, conversions desc, event_name, channel, campaign_id
