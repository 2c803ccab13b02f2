-- One row per span of time that holds events: how many there were after deduplication, by which
-- side saw them. Source: event_quarters. Parameters: $account_id, $pixel_id (null: all pixels),
-- $event_name (null: all), $since and $until (Unix seconds, half-open, borders of days; null:
-- unbounded), $zone (IANA name of the account's time zone), $width_s (how long a span is, whole
-- quarters of an hour). Events of our own checks are left out, and unless $with_marked what only a
-- browser reported whose hits the rules of its pixel mark.
-- start_s and end_s count seconds since 1970 on the clocks of the zone: when clocks go back, the
-- hour that comes twice is one row. Weeks begin on Monday; the first Monday came 345600 seconds
-- after the beginning of 1970.
with
quarters as (
  select
    quarter_s,
    sum(events) as events,
    sum(by_both) as by_both,
    sum(browser_only) as browser_only,
    sum(server_only) as server_only
  from event_quarters
  where account_id = $account_id
    and ($with_marked or not is_marked)
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and ($since is null or quarter_s >= $since)
    and ($until is null or quarter_s < $until)
  group by quarter_s
),
-- Zones are whole quarters of an hour apart, so that a quarter never lies across a local border.
localised as (
  select
    cast(epoch(to_timestamp(quarter_s) at time zone $zone) as bigint) - 345600 as local_s,
    events,
    by_both,
    browser_only,
    server_only
  from quarters
)
select
  cast(local_s - local_s % $width_s + 345600 as bigint) as start_s,
  cast(local_s - local_s % $width_s + 345600 + $width_s as bigint) as end_s,
  cast(sum(events) as bigint) as events,
  cast(sum(by_both) as bigint) as both,
  cast(sum(browser_only) as bigint) as browser_only,
  cast(sum(server_only) as bigint) as server_only
from localised
group by local_s - local_s % $width_s
order by start_s
