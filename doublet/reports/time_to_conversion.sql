-- One row per touch that is measured from (the first or the last) and span of time between touch
-- and conversion: how many conversions, and their value in the account's currency; beside it the
-- seconds within which shares of all conversions after this touch came, and how many conversions
-- there are, touched or not. Sources: chosen_conversions, lags. Parameters: those of lags, $lower_s
-- and $upper_s (seconds, half-open, lists of equal length). Spans without conversions are left out;
-- the row with a null `from_touch` is there in any case, so that all figures are of one moment.
with
spans as (
  select
    unnest($lower_s) as lower_s,
    unnest($upper_s) as upper_s
),
measured as (
  select
    from_touch,
    count(*) as touched,
    avg(lag_s) as mean_s,
    quantile_disc(lag_s, 0.1) as p10_s,
    quantile_disc(lag_s, 0.25) as p25_s,
    quantile_disc(lag_s, 0.5) as p50_s,
    quantile_disc(lag_s, 0.75) as p75_s,
    quantile_disc(lag_s, 0.9) as p90_s
  from lags
  group by from_touch
),
binned as (
  select
    lags.from_touch,
    spans.lower_s,
    count(*) as conversions,
    sum(lags.amount) as value
  from lags
  inner join spans
    on lags.lag_s >= spans.lower_s
    and lags.lag_s < spans.upper_s
  group by lags.from_touch, spans.lower_s
  union all
  select
    cast(null as varchar) as from_touch,
    cast(null as bigint) as lower_s,
    count(*) as conversions,
    sum(amount) as value
  from chosen_conversions
)
select
  cast(binned.from_touch as varchar) as from_touch,
  cast(binned.lower_s as bigint) as lower_s,
  cast(binned.conversions as bigint) as conversions,
  cast(coalesce(binned.value, 0) as decimal(38, 4)) as value,
  cast(measured.touched as bigint) as touched,
  cast(measured.mean_s as double) as mean_s,
  cast(measured.p10_s as bigint) as p10_s,
  cast(measured.p25_s as bigint) as p25_s,
  cast(measured.p50_s as bigint) as p50_s,
  cast(measured.p75_s as bigint) as p75_s,
  cast(measured.p90_s as bigint) as p90_s
from binned
left join measured
  on measured.from_touch = binned.from_touch
order by binned.from_touch, binned.lower_s
