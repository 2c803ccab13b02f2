-- One row per answer: the first event_time of a conversion and the first touch of the ad log (Unix
-- seconds), the first day of which a platform reports, and what there is from $since to $until: anything
-- that a platform reports of, impressions, clicks or spend of campaigns and ad sets as a whole, and
-- touches in the ad log ($from_s to $to_s, Unix seconds). Null where there is nothing. Sources:
-- conversions, ad_days, touches.
with
days as (
  select
    min(date) as first_day,
    count(*) filter (
      where date between cast($since as date) and cast($until as date)
    ) as reported,
    count(*) filter (
      where date between cast($since as date) and cast($until as date)
        and level in ('campaign', 'adset')
        and (
          (counts_impressions and impressions is not null)
          or (counts_clicks and clicks is not null)
          or (counts_spend and spend is not null)
        )
    ) as coarse
  from ad_days
  where account_id = $account_id
)
select
  cast(
    (select min(event_time) from conversions where account_id = $account_id) as bigint
  ) as first_event_time,
  cast(
    (
      select min(touched_time)
      from touches
      where account_id = $account_id
        and origin = 'ad_log'
    ) as bigint
  ) as first_touched_time,
  cast(days.first_day as date) as first_day,
  cast(days.reported > 0 as boolean) as is_reported,
  cast(days.coarse > 0 as boolean) as has_whole,
  cast(
    exists (
      select 1
      from touches
      where account_id = $account_id
        and origin = 'ad_log'
        and touched_time >= $from_s
        and touched_time < $to_s
    ) as boolean
  ) as is_logged
from days
