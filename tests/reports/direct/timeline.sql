-- One row per span of time that holds events: how many there were after deduplication, by which
-- side saw them. Source: events_deduplicated. Parameters: $account_id, $pixel_id (null: all
-- pixels), $event_name (null: all), $since and $until (Unix seconds, half-open; null: unbounded),
-- $zone (IANA name of the account's time zone). Events of our own checks are left out, and
-- unless $with_marked what only a browser reported whose hits the rules of its pixel mark.
-- Spans grow with the time between the first and the last event, so that there are never more
-- than about 200 rows. start_s and end_s count seconds since 1970 on the clocks of the zone: when
-- clocks go back, the hour that comes twice is one row. Weeks begin on Monday; the first Monday
-- came 345600 seconds after the beginning of 1970.
with
seen as (
  select
    event_time,
    case when browser_copies > 0 and server_copies > 0 then 1 else 0 end as by_both,
    case when server_copies = 0 then 1 else 0 end as browser_only,
    case when browser_copies = 0 then 1 else 0 end as server_only
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and (
      $with_marked
      or server_copies > 0
      or not coalesce(list_has_any(flags, $marks), false)
    )
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and ($since is null or event_time >= $since)
    and ($until is null or event_time < $until)
),
span as (
  select max(event_time) - min(event_time) as span_s
  from seen
),
width as (
  select
    case
      when span_s <= 15 * 60 then 5
      when span_s <= 3 * 3600 then 60
      when span_s <= 2 * 86400 then 900
      when span_s <= 8 * 86400 then 3600
      when span_s <= 190 * 86400 then 86400
      else 604800 * (1 + span_s // (190 * 604800))
    end as width_s
  from span
),
-- Zones are whole quarters of an hour apart, so that a quarter never lies across a local border.
quarters as (
  select
    seen.event_time - seen.event_time % least(width.width_s, 900) as quarter_s,
    width.width_s,
    count(*) as events,
    sum(seen.by_both) as by_both,
    sum(seen.browser_only) as browser_only,
    sum(seen.server_only) as server_only
  from seen
  cross join width
  group by seen.event_time - seen.event_time % least(width.width_s, 900), width.width_s
),
localised as (
  select
    cast(epoch(to_timestamp(quarter_s) at time zone $zone) as bigint) - 345600 as local_s,
    width_s,
    events,
    by_both,
    browser_only,
    server_only
  from quarters
)
select
  cast(local_s - local_s % width_s + 345600 as bigint) as start_s,
  cast(local_s - local_s % width_s + 345600 + width_s as bigint) as end_s,
  cast(sum(events) as bigint) as events,
  cast(sum(by_both) as bigint) as both,
  cast(sum(browser_only) as bigint) as browser_only,
  cast(sum(server_only) as bigint) as server_only
from localised
group by local_s - local_s % width_s, width_s
order by start_s
