-- One row per channel, campaign, ad set or ad: what was shown of it, clicked and spent, in the
-- account's currency. Sources: ad_days, of which a whole is not counted again where its parts are
-- told, and rates. Parameters: $account_id, $first_day and $last_day (as the platform counts days,
-- both included) and $depth (0: account, 1: channel, 2: campaign, 3: ad set, 4: ad). `unconverted`
-- names a currency that has no rate.
with
days as (
  select
    case when $depth >= 1 then ad_days.platform end as channel,
    case when $depth >= 2 then ad_days.campaign_id end as campaign_id,
    case when $depth >= 3 then ad_days.adset_id end as adset_id,
    case when $depth >= 4 then ad_days.ad_id end as ad_id,
    ad_days.impressions,
    ad_days.clicks,
    ad_days.spend * rates.rate as spend,
    case
      when ad_days.spend is not null and rates.rate is null
        then coalesce(ad_days.currency, '(none)')
    end as unconverted
  from ad_days
  left join rates
    on rates.currency = ad_days.currency
    and ad_days.date >= rates.first_day
    and ad_days.date <= rates.last_day
  where ad_days.account_id = $account_id
    and ad_days.is_counted
    and ad_days.date >= $first_day
    and ad_days.date <= $last_day
)
select
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(coalesce(sum(impressions), 0) as bigint) as impressions,
  cast(coalesce(sum(clicks), 0) as bigint) as clicks,
  cast(coalesce(sum(cast(spend as decimal(38, 4))), 0) as decimal(38, 4)) as spend,
  cast(
    list_sort(list(distinct unconverted) filter (where unconverted is not null)) as varchar[]
  ) as unconverted
from days
group by channel, campaign_id, adset_id, ad_id
order by channel, campaign_id, adset_id, ad_id
