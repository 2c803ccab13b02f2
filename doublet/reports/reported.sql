-- One row per platform, campaign and day that a platform reported conversions of: what it said, as
-- JSON, in which zone and currency, and the rate to the account's currency (null: unknown). Source:
-- ad_days, of which a whole is not counted again where its parts are told. Parameters: $account_id,
-- $first_day and $last_day (as the platform counts days, both included), and the exchange rates as
-- lists of equal length: $rate_currencies, $rate_firsts, $rate_lasts, $rates.
with
reported_rates as (
  select
    unnest($rate_currencies) as currency,
    unnest($rate_firsts) as first_day,
    unnest($rate_lasts) as last_day,
    unnest($rates) as rate
)
select
  cast(ad_days.platform as varchar) as platform,
  cast(ad_days.campaign_id as varchar) as campaign_id,
  cast(ad_days.date as date) as day,
  cast(ad_days.reported as varchar) as reported,
  cast(ad_days.currency as varchar) as currency,
  cast(ad_days.time_zone as varchar) as time_zone,
  cast(reported_rates.rate as decimal(19, 10)) as rate
from ad_days
left join reported_rates
  on reported_rates.currency = ad_days.currency
  and ad_days.date >= reported_rates.first_day
  and ad_days.date <= reported_rates.last_day
where ad_days.account_id = $account_id
  and ad_days.is_counted
  and ad_days.reported is not null
  and ad_days.date >= $first_day
  and ad_days.date <= $last_day
order by ad_days.platform, ad_days.campaign_id, ad_days.date
