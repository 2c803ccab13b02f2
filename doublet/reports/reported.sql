-- One row per platform, campaign and day that a platform reported conversions of: what it said, as
-- JSON, in which zone and currency, and the rate to the account's currency (null: unknown). Sources:
-- ad_days, of which a whole is not counted again where its parts are told, and rates. Parameters:
-- $account_id, $first_day and $last_day (as the platform counts days, both included).
select
  cast(ad_days.platform as varchar) as platform,
  cast(ad_days.campaign_id as varchar) as campaign_id,
  cast(ad_days.date as date) as day,
  cast(ad_days.reported as varchar) as reported,
  cast(ad_days.currency as varchar) as currency,
  cast(ad_days.time_zone as varchar) as time_zone,
  cast(rates.rate as decimal(19, 10)) as rate
from ad_days
left join rates
  on rates.currency = ad_days.currency
  and ad_days.date >= rates.first_day
  and ad_days.date <= rates.last_day
where ad_days.account_id = $account_id
  and ad_days.counts_reported
  and ad_days.reported is not null
  and ad_days.date >= $first_day
  and ad_days.date <= $last_day
order by ad_days.platform, ad_days.campaign_id, ad_days.date
