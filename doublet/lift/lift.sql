-- One row per experiment, campaign and arm: persons with an opportunity, and what they did within a window
-- after their first one.
-- Sources: exposures, conversions, persons. Parameters: $account_id, $experiment and $campaign_id
-- (null: all), $by_campaign (false: all campaigns of an experiment together, campaign_id is null),
-- $event_name, $window_s, $since and $until (Unix seconds, half-open, of the first opportunity;
-- $since may be null), $now (until when conversions count), $zone (IANA name of the account's time
-- zone), and the exchange rates as lists of equal length: $rate_currencies, $rate_firsts and
-- $rate_lasts (days, both included), $rates.
-- A person found in both arms belongs to that of the first opportunity. Conversions count in both
-- arms alike where a window is still open.
with
rates as (
  select
    unnest($rate_currencies) as currency,
    unnest($rate_firsts) as first_day,
    unnest($rate_lasts) as last_day,
    unnest($rates) as rate
),
opportunities as (
  select
    person_id,
    experiment,
    case when $by_campaign then campaign_id end as campaign_id,
    is_held_out,
    min(first_time) as first_time
  from exposures
  where account_id = $account_id
    and experiment is not null
    and ($experiment is null or experiment = $experiment)
    and ($campaign_id is null or campaign_id = $campaign_id)
    and first_time < $until
  group by
    person_id,
    experiment,
    case when $by_campaign then campaign_id end,
    is_held_out
),
ranked as (
  select
    person_id,
    experiment,
    campaign_id,
    is_held_out,
    first_time,
    count(*) over (partition by person_id, experiment, campaign_id) as arms,
    row_number() over (
      partition by person_id, experiment, campaign_id order by first_time, is_held_out desc
    ) as place
  from opportunities
),
drawn as (
  select
    person_id,
    experiment,
    campaign_id,
    is_held_out,
    first_time,
    arms
  from ranked
  where place = 1
    and ($since is null or first_time >= $since)
),
-- By the persons of now, as opportunities are.
bought as (
  select
    persons.root_id,
    conversions.event_time,
    cast(conversions.value * cast(rates.rate as decimal(19, 10)) as decimal(38, 4)) as amount,
    conversions.value is not null and rates.rate is null as is_without_rate
  from conversions
  inner join persons
    on conversions.account_id = persons.account_id
    and conversions.person_id = persons.person_id
  left join rates
    on conversions.currency = rates.currency
    and cast(to_timestamp(conversions.event_time) at time zone $zone as date) >= rates.first_day
    and cast(to_timestamp(conversions.event_time) at time zone $zone as date) <= rates.last_day
  where conversions.account_id = $account_id
    and conversions.event_name = $event_name
    and conversions.event_time < $now
),
outcomes as (
  select
    drawn.experiment,
    drawn.campaign_id,
    drawn.is_held_out,
    drawn.person_id,
    drawn.first_time,
    drawn.arms,
    count(bought.event_time) as conversions,
    cast(coalesce(sum(bought.amount), 0) as decimal(38, 4)) as value,
    count(case when bought.is_without_rate then 1 end) as without_rate
  from drawn
  left join bought
    on drawn.person_id = bought.root_id
    and bought.event_time >= drawn.first_time
    and bought.event_time < drawn.first_time + $window_s
  group by
    drawn.experiment,
    drawn.campaign_id,
    drawn.is_held_out,
    drawn.person_id,
    drawn.first_time,
    drawn.arms
)
select
  cast(experiment as varchar) as experiment,
  cast(campaign_id as varchar) as campaign_id,
  cast(is_held_out as boolean) as is_held_out,
  cast(count(*) as bigint) as persons,
  cast(count(case when conversions > 0 then 1 end) as bigint) as converters,
  cast(sum(conversions) as bigint) as conversions,
  cast(sum(conversions * conversions) as bigint) as conversions_squared,
  cast(sum(value) as decimal(38, 4)) as value,
  cast(sum(cast(value as double) * cast(value as double)) as double) as value_squared,
  cast(sum(without_rate) as bigint) as without_rate,
  cast(count(case when arms > 1 then 1 end) as bigint) as in_both,
  cast(count(case when first_time + $window_s > $now then 1 end) as bigint) as still_open,
  cast(count(case when first_time >= $until - 7 * 86400 then 1 end) as bigint) as lately,
  cast(min(first_time) as bigint) as first_time
from outcomes
group by experiment, campaign_id, is_held_out
order by experiment, campaign_id, is_held_out
