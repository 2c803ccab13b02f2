-- One row per touch that is measured from (the first or the last) and span of time between touch
-- and conversion: how many conversions, and their value in the account's currency. Source: lags,
-- whose parameters it takes. Parameters: $lower_s and $upper_s (seconds, half-open, lists of equal
-- length). Spans without conversions are left out.
with
spans as (
  select
    unnest($lower_s) as lower_s,
    unnest($upper_s) as upper_s
)
select
  cast(lags.from_touch as varchar) as from_touch,
  cast(spans.lower_s as bigint) as lower_s,
  cast(spans.upper_s as bigint) as upper_s,
  cast(count(*) as bigint) as conversions,
  cast(coalesce(sum(lags.amount), 0) as decimal(38, 4)) as value
from lags
inner join spans
  on lags.lag_s >= spans.lower_s
  and lags.lag_s < spans.upper_s
group by lags.from_touch, spans.lower_s, spans.upper_s
order by lags.from_touch, spans.lower_s
