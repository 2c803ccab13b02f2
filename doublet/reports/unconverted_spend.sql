-- One row per currency in which ads cost something that no exchange rate converts. Sources: ad_days,
-- rates. Parameters: $account_id, $first_day and $last_day (both included).
select cast(coalesce(ad_days.currency, '(none)') as varchar) as currency
from ad_days
left join rates
  on rates.currency = ad_days.currency
  and ad_days.date >= rates.first_day
  and ad_days.date <= rates.last_day
where ad_days.account_id = $account_id
  and ad_days.counts_spend
  and ad_days.date >= $first_day
  and ad_days.date <= $last_day
  and ad_days.spend is not null
  and rates.rate is null
group by ad_days.currency
order by ad_days.currency
