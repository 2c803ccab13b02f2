-- One row per event name, channel or campaign: how many conversions there are, and how many of them
-- only the server reported, with their value in the account's currency; by channel and campaign,
-- the row with a null `channel` holds those that no ad claims. Sources: last_touch, ads.
-- Parameters: those of last_touch, $by ('name', 'channel' or 'campaign').
with
campaign_names as (
  select
    platform,
    campaign_id,
    max(campaign_name) as campaign_name
  from ads
  where account_id = $account_id
  group by platform, campaign_id
),
seen as (
  select
    case when $by = 'name' then last_touch.event_name end as event_name,
    case when $by <> 'name' then last_touch.channel end as channel,
    case when $by = 'campaign' then last_touch.campaign_id end as campaign_id,
    case when $by = 'campaign' then campaign_names.campaign_name end as campaign_name,
    last_touch.kind is not null as is_attributed,
    last_touch.server_copies > 0 and last_touch.browser_copies = 0 as is_extra,
    coalesce(last_touch.amount, 0) as amount
  from last_touch
  left join campaign_names
    on campaign_names.platform = last_touch.platform
    and campaign_names.campaign_id = last_touch.campaign_id
)
select
  cast(event_name as varchar) as event_name,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(max(campaign_name) as varchar) as campaign_name,
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
order by channel is null and $by <> 'name', extra desc, conversions desc, event_name, channel,
  campaign_id
