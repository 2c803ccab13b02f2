-- One row per campaign, ad set or ad that is known by name or spend, and currency: what it is called
-- and what its days add up to.
-- Source: ads, ad_days. Parameters: $account_id, $since and $until (days of the platforms' accounts,
-- both included; null: unbounded).
-- Sums take each figure of a day once: a campaign's own only where no part of it was told of the day.
with
days as (
  select
    ad_days.platform,
    coalesce(ad_days.campaign_id, ads.campaign_id, adsets.campaign_id) as campaign_id,
    coalesce(ad_days.adset_id, ads.adset_id) as adset_id,
    ad_days.ad_id,
    ad_days.date,
    case when ad_days.counts_impressions then ad_days.impressions end as impressions,
    case when ad_days.counts_clicks then ad_days.clicks end as clicks,
    case when ad_days.counts_spend then ad_days.spend end as spend,
    ad_days.currency
  from ad_days
  left join ads
    on ads.account_id = ad_days.account_id
    and ads.platform = ad_days.platform
    and ads.level = 'ad'
    and ads.ad_id = ad_days.ad_id
  left join ads as adsets
    on adsets.account_id = ad_days.account_id
    and adsets.platform = ad_days.platform
    and adsets.level = 'adset'
    and adsets.adset_id = ad_days.adset_id
  where ad_days.account_id = $account_id
    and (
      ad_days.level = 'ad'
      or (ad_days.counts_impressions and ad_days.impressions is not null)
      or (ad_days.counts_clicks and ad_days.clicks is not null)
      or (ad_days.counts_spend and ad_days.spend is not null)
    )
    and ad_days.date is not null
    and (cast($since as date) is null or ad_days.date >= cast($since as date))
    and (cast($until as date) is null or ad_days.date <= cast($until as date))
),
told as (
  select platform, 'campaign' as level, campaign_id as id, date, impressions, clicks, spend, currency
  from days
  union all
  select platform, 'adset' as level, adset_id as id, date, impressions, clicks, spend, currency
  from days
  union all
  select platform, 'ad' as level, ad_id as id, date, impressions, clicks, spend, currency
  from days
),
summed as (
  select
    platform,
    level,
    id,
    currency,
    min(date) as first_date,
    max(date) as last_date,
    count(distinct date) as days,
    sum(impressions) as impressions,
    sum(clicks) as clicks,
    sum(spend) as spend
  from told
  where id is not null
  group by platform, level, id, currency
)
select
  cast(ads.platform as varchar) as platform,
  cast(ads.level as varchar) as level,
  cast(ads.campaign_id as varchar) as campaign_id,
  cast(ads.campaign_name as varchar) as campaign_name,
  cast(ads.adset_id as varchar) as adset_id,
  cast(ads.adset_name as varchar) as adset_name,
  cast(ads.ad_id as varchar) as ad_id,
  cast(ads.ad_name as varchar) as ad_name,
  cast(summed.first_date as date) as first_date,
  cast(summed.last_date as date) as last_date,
  cast(coalesce(summed.days, 0) as bigint) as days,
  cast(coalesce(summed.impressions, 0) as bigint) as impressions,
  cast(coalesce(summed.clicks, 0) as bigint) as clicks,
  cast(coalesce(summed.spend, 0) as decimal(38, 4)) as spend,
  cast(coalesce(summed.currency, ads.currency) as varchar) as currency
from ads
left join summed
  on summed.platform = ads.platform
  and summed.level = ads.level
  and summed.id = case ads.level
    when 'campaign' then ads.campaign_id
    when 'adset' then ads.adset_id
    else ads.ad_id
  end
where ads.account_id = $account_id
order by
  ads.platform,
  ads.campaign_id nulls first,
  ads.adset_id nulls first,
  ads.ad_id nulls first,
  summed.currency
