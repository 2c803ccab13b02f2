-- One row per touch that is measured from (the first or the last): the seconds within which these
-- shares of the conversions came. Source: lags, whose parameters it takes.
with
measured as (
  select
    from_touch,
    lag_s
  from lags
)
select
  cast(from_touch as varchar) as from_touch,
  cast(count(*) as bigint) as conversions,
  cast(avg(lag_s) as double) as mean_s,
  cast(quantile_disc(lag_s, 0.1) as bigint) as p10_s,
  cast(quantile_disc(lag_s, 0.25) as bigint) as p25_s,
  cast(quantile_disc(lag_s, 0.5) as bigint) as p50_s,
  cast(quantile_disc(lag_s, 0.75) as bigint) as p75_s,
  cast(quantile_disc(lag_s, 0.9) as bigint) as p90_s
from measured
group by from_touch
order by from_touch
