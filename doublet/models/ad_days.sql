-- One row per campaign, ad set or ad and day as the platform last told it; a row without a date says
-- names only.
-- Key: (account_id, platform, level, date, the id of its level). Source: the temporary table
-- `told_ad_days`, all rows that are known of the days to be made, of every account and platform.
-- Which of its figures count beside those of others is found afterwards, when it is known what belongs
-- to what.
-- Nulls mean that the platform did not say it.
with
ranked as (
  select
    account_id,
    platform,
    level,
    date,
    campaign_id,
    campaign_name,
    adset_id,
    adset_name,
    ad_id,
    ad_name,
    impressions,
    clicks,
    reach,
    spend,
    currency,
    reported,
    time_zone,
    received_at,
    log_slot,
    log_offset,
    row_number() over (
      partition by
        account_id,
        platform,
        level,
        date,
        case level
          when 'campaign' then campaign_id
          when 'adset' then adset_id
          else ad_id
        end
      order by received_at desc, log_slot desc, log_offset desc
    ) as nth
  from told_ad_days
),
latest as (
  select
    account_id,
    platform,
    level,
    date,
    campaign_id,
    campaign_name,
    adset_id,
    adset_name,
    ad_id,
    ad_name,
    impressions,
    clicks,
    reach,
    spend,
    currency,
    reported,
    time_zone,
    received_at,
    log_slot,
    log_offset
  from ranked
  where nth = 1
)
select
  cast(account_id as varchar) as account_id,
  cast(platform as varchar) as platform,
  cast(level as varchar) as level,
  cast(date as date) as date,
  cast(campaign_id as varchar) as campaign_id,
  cast(campaign_name as varchar) as campaign_name,
  cast(adset_id as varchar) as adset_id,
  cast(adset_name as varchar) as adset_name,
  cast(ad_id as varchar) as ad_id,
  cast(ad_name as varchar) as ad_name,
  cast(impressions as bigint) as impressions,
  cast(clicks as bigint) as clicks,
  cast(reach as bigint) as reach,
  cast(spend as decimal(18, 4)) as spend,
  cast(currency as varchar) as currency,
  cast(reported as varchar) as reported,
  cast(time_zone as varchar) as time_zone,
  cast(true as boolean) as counts_impressions,
  cast(true as boolean) as counts_clicks,
  cast(true as boolean) as counts_spend,
  cast(true as boolean) as counts_reported,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from latest
