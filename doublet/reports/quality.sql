-- One row per event name and day of the account's zone ($zone): events by who saw them, and of the
-- website events that the server sent how many bear each key of a person in the copies that it sent
-- itself. A pair counts when both are there; a hash of nothing ("null", "test@test.com", …) is no
-- key. An event is joinable when it bears a key in any copy. Source: event_quarters.
-- Parameters: $account_id, $pixel_id (null: all pixels), $event_name (null: all), $since and $until
-- (Unix seconds, half-open, borders of days, by event_time; a null $until: unbounded). Our own
-- checks are left out, and so are events that their pixel's rules mark, unless the server sent them
-- too. Of an erased person's events nobody can judge what they bore.
with
seen as (
  select
    event_name,
    cast(to_timestamp(quarter_s) at time zone $zone as date) as day,
    events,
    by_both,
    browser_only,
    server_only,
    judged,
    joinable,
    em,
    ip_and_ua,
    fbc,
    ph,
    fbp,
    external_id,
    fn_and_ln,
    db,
    ct,
    st,
    zp,
    country
  from event_quarters
  where account_id = $account_id
    and not is_marked
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and quarter_s >= $since
    and ($until is null or quarter_s < $until)
)
select
  cast(event_name as varchar) as event_name,
  cast(day as date) as day,
  cast(sum(events) as bigint) as events,
  cast(sum(by_both) + sum(browser_only) as bigint) as browser_events,
  cast(sum(by_both) + sum(server_only) as bigint) as server_events,
  cast(sum(by_both) as bigint) as both,
  cast(sum(judged) as bigint) as judged,
  cast(sum(joinable) as bigint) as joinable,
  cast(sum(em) as bigint) as em,
  cast(sum(ip_and_ua) as bigint) as ip_and_ua,
  cast(sum(fbc) as bigint) as fbc,
  cast(sum(ph) as bigint) as ph,
  cast(sum(fbp) as bigint) as fbp,
  cast(sum(external_id) as bigint) as external_id,
  cast(sum(fn_and_ln) as bigint) as fn_and_ln,
  cast(sum(db) as bigint) as db,
  cast(sum(ct) as bigint) as ct,
  cast(sum(st) as bigint) as st,
  cast(sum(zp) as bigint) as zp,
  cast(sum(country) as bigint) as country
from seen
group by event_name, day
order by event_name, day
