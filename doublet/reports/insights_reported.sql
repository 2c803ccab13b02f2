-- One row per period, ad and platform: what the platform itself reports of it; its spend in the
-- account's currency, null where none is known that a rate converts. Sources: ad_days, whose rows of
-- a campaign or ad set count where none of what is in it has one (is_counted), and rates. Days are
-- the account's, whichever zone the platform reports in. Ids as in insights: finer ones than
-- $finest are null unless the coarser one is. Periods: parallel lists $periods and $days.
with
spans as (
  select distinct period, day
  from (
    select
      unnest(cast($periods as integer[])) as period,
      unnest(cast($days as date[])) as day
  )
),
summed as (
  select
    spans.period,
    case when $finest >= 1 then ad_days.campaign_id end as campaign_id,
    case
      when $finest >= 2 or ($finest = 1 and ad_days.campaign_id is null) then ad_days.adset_id
    end as adset_id,
    case
      when $finest = 3
        or ($finest = 2 and ad_days.adset_id is null)
        or ($finest = 1 and ad_days.campaign_id is null)
        then ad_days.ad_id
    end as ad_id,
    case when $by_platform then ad_days.platform end as platform,
    sum(ad_days.impressions) as impressions,
    sum(ad_days.clicks) as clicks,
    sum(cast(ad_days.spend * rates.rate as decimal(38, 4))) as spend
  from ad_days
  inner join spans
    on spans.day = ad_days.date
  left join rates
    on rates.currency = ad_days.currency
    and ad_days.date between rates.first_day and rates.last_day
  where ad_days.account_id = $account_id
    and ad_days.is_counted
    and (
      $campaign_id is null
      or ad_days.campaign_id = $campaign_id
      or ad_days.campaign_id is null
    )
    and ($adset_id is null or ad_days.adset_id = $adset_id or ad_days.adset_id is null)
    and ($ad_id is null or ad_days.ad_id = $ad_id)
  group by
    spans.period,
    case when $finest >= 1 then ad_days.campaign_id end,
    case
      when $finest >= 2 or ($finest = 1 and ad_days.campaign_id is null) then ad_days.adset_id
    end,
    case
      when $finest = 3
        or ($finest = 2 and ad_days.adset_id is null)
        or ($finest = 1 and ad_days.campaign_id is null)
        then ad_days.ad_id
    end,
    case when $by_platform then ad_days.platform end
)
select
  cast(period as integer) as period,
  cast(null as integer) as hour,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(platform as varchar) as platform,
  cast(null as varchar) as placement,
  cast(coalesce(impressions, 0) as bigint) as impressions,
  cast(coalesce(clicks, 0) as bigint) as clicks,
  cast(spend as decimal(38, 4)) as spend
from summed
