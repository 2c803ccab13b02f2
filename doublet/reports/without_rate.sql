-- One row per currency in which conversions have a value that no exchange rate converts. Source:
-- chosen_conversions, whose parameters it takes.
with
unconverted as (
  select coalesce(currency, '(none)') as currency
  from chosen_conversions
  where value is not null
    and amount is null
)
select cast(currency as varchar) as currency
from unconverted
group by currency
order by currency
