-- One row per row of ad_days that counts otherwise than it says. What is told of the parts is not
-- counted again in the whole, also where a part's row does not say what it belongs to, but ads.
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
    days.is_counted as was_counted,
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
    was_counted,
    case level
      when 'campaign' then max(case when level <> 'campaign' then 1 else 0 end) over (
        partition by account_id, platform, date, campaign_id
      ) = 0
      when 'adset' then max(case when level = 'ad' then 1 else 0 end) over (
        partition by account_id, platform, date, adset_id
      ) = 0
      else true
    end as is_counted
  from placed
)
select
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(is_counted as boolean) as is_counted
from judged
where is_counted <> was_counted
