-- One row per row of ad_days of which other figures count than it says. A figure that is told of the
-- parts is not counted again in the whole, also where a part's row does not say what it belongs to,
-- but ads; one that no part tells is.
-- Sources: the temporary tables `named_ad_days`, the rows of the platforms that are touched, and
-- `named_ads`, what is known of their ads.
with
placed as (
  select
    days.account_id,
    days.platform,
    days.level,
    days.date,
    coalesce(days.campaign_id, ads.campaign_id) as campaign_id,
    coalesce(days.adset_id, ads.adset_id) as adset_id,
    days.impressions,
    days.clicks,
    days.spend,
    days.reported,
    days.counts_impressions as counted_impressions,
    days.counts_clicks as counted_clicks,
    days.counts_spend as counted_spend,
    days.counts_reported as counted_reported,
    days.log_slot,
    days.log_offset
  from named_ad_days as days
  left join named_ads as ads
    on days.account_id = ads.account_id
    and days.platform = ads.platform
    and days.level = ads.level
    and case days.level
      when 'campaign' then days.campaign_id = ads.campaign_id
      when 'adset' then days.adset_id = ads.adset_id
      else days.ad_id = ads.ad_id
    end
),
judged as (
  select
    log_slot,
    log_offset,
    counted_impressions,
    counted_clicks,
    counted_spend,
    counted_reported,
    case level
      when 'campaign' then not bool_or(level <> 'campaign' and impressions is not null) over in_campaign
      when 'adset' then not bool_or(level = 'ad' and impressions is not null) over in_adset
      else true
    end as counts_impressions,
    case level
      when 'campaign' then not bool_or(level <> 'campaign' and clicks is not null) over in_campaign
      when 'adset' then not bool_or(level = 'ad' and clicks is not null) over in_adset
      else true
    end as counts_clicks,
    case level
      when 'campaign' then not bool_or(level <> 'campaign' and spend is not null) over in_campaign
      when 'adset' then not bool_or(level = 'ad' and spend is not null) over in_adset
      else true
    end as counts_spend,
    case level
      when 'campaign' then not bool_or(level <> 'campaign' and reported is not null) over in_campaign
      when 'adset' then not bool_or(level = 'ad' and reported is not null) over in_adset
      else true
    end as counts_reported
  from placed
  window
    in_campaign as (partition by account_id, platform, date, campaign_id),
    in_adset as (partition by account_id, platform, date, adset_id)
)
select
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(counts_impressions as boolean) as counts_impressions,
  cast(counts_clicks as boolean) as counts_clicks,
  cast(counts_spend as boolean) as counts_spend,
  cast(counts_reported as boolean) as counts_reported
from judged
where counts_impressions <> counted_impressions
  or counts_clicks <> counted_clicks
  or counts_spend <> counted_spend
  or counts_reported <> counted_reported
