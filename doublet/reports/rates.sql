-- One row per currency and span of days (both included) in which one unit of it is worth `rate` in
-- the account's currency. Parameters: lists of equal length, $rate_currencies, $rate_firsts,
-- $rate_lasts and, as text, $rates.
with
listed as (
  select
    unnest($rate_currencies) as currency,
    unnest($rate_firsts) as first_day,
    unnest($rate_lasts) as last_day,
    unnest($rates) as rate
)
select
  cast(currency as varchar) as currency,
  cast(first_day as date) as first_day,
  cast(last_day as date) as last_day,
  cast(rate as decimal(19, 10)) as rate
from listed
