-- One row per period, ad and platform: what the platform itself reports of it; its spend in the
-- account's currency, null where none is known that a rate converts; whether any of it tells who saw
-- it. Sources: ad_days, of whose rows those figures of a campaign or ad set count that nothing in it
-- tells, and rates. Days are
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
    bool_or(
      ad_days.counts_impressions and (ad_days.impressions is not null or ad_days.reach is not null)
    ) as is_seen,
    sum(case when ad_days.counts_impressions then ad_days.impressions end) as impressions,
    sum(case when ad_days.counts_clicks then ad_days.clicks end) as clicks,
    sum(
      case when ad_days.counts_spend then cast(ad_days.spend * rates.rate as decimal(38, 4)) end
    ) as spend
  from ad_days
  inner join spans
    on spans.day = ad_days.date
  left join rates
    on rates.currency = ad_days.currency
    and ad_days.date between rates.first_day and rates.last_day
  where ad_days.account_id = $account_id
    and (ad_days.counts_impressions or ad_days.counts_clicks or ad_days.counts_spend)
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
  cast(is_seen as boolean) as is_seen,
  cast(coalesce(impressions, 0) as bigint) as impressions,
  cast(coalesce(clicks, 0) as bigint) as clicks,
  cast(spend as decimal(38, 4)) as spend
from summed
