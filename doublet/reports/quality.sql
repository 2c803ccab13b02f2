-- One row per event name: events by who saw them, and of the website events that the server sent
-- how many bear each key of a person, once the copies are one. A pair counts when both are there;
-- a hash of nothing ("null", "test@test.com", …) is no key. Source: events_deduplicated.
-- Parameters: $account_id, $pixel_id (null: all pixels), $event_name (null: all), $since and $until
-- (Unix seconds, half-open, by event_time; a null $until: unbounded), $duds (such hashes). Our own checks are left out.
with
seen as (
  select
    event_name,
    case when browser_copies > 0 then 1 else 0 end as by_browser,
    case when server_copies > 0 then 1 else 0 end as by_server,
    case when server_copies > 0 and action_source = 'website' then 1 else 0 end as judged,
    case
      when list_min(user_data.em) is not null and not list_contains($duds, list_min(user_data.em))
        then 1
      else 0
    end as em,
    case
      when list_min(user_data.ph) is not null and not list_contains($duds, list_min(user_data.ph))
        then 1
      else 0
    end as ph,
    case
      when user_data.client_ip_address is not null and user_data.client_user_agent is not null
        then 1
      else 0
    end as ip_and_ua,
    case when user_data.fbc is not null then 1 else 0 end as fbc,
    case when user_data.fbp is not null then 1 else 0 end as fbp,
    case when list_min(user_data.external_id) is not null then 1 else 0 end as external_id,
    case
      when list_min(user_data.fn) is not null and list_min(user_data.ln) is not null then 1
      else 0
    end as fn_and_ln,
    case when list_min(user_data.db) is not null then 1 else 0 end as db,
    case when list_min(user_data.ct) is not null then 1 else 0 end as ct,
    case when list_min(user_data.st) is not null then 1 else 0 end as st,
    case when list_min(user_data.zp) is not null then 1 else 0 end as zp,
    case when list_min(user_data.country) is not null then 1 else 0 end as country
  from events_deduplicated
  where account_id = $account_id
    and not is_test
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and event_time >= $since
    and ($until is null or event_time < $until)
)
select
  cast(event_name as varchar) as event_name,
  cast(count(*) as bigint) as events,
  cast(sum(by_browser) as bigint) as browser_events,
  cast(sum(by_server) as bigint) as server_events,
  cast(sum(by_browser * by_server) as bigint) as both,
  cast(sum(judged) as bigint) as judged,
  cast(sum(judged * greatest(em, ph, fbc, fbp, external_id)) as bigint) as joinable,
  cast(sum(judged * em) as bigint) as em,
  cast(sum(judged * ip_and_ua) as bigint) as ip_and_ua,
  cast(sum(judged * fbc) as bigint) as fbc,
  cast(sum(judged * ph) as bigint) as ph,
  cast(sum(judged * fbp) as bigint) as fbp,
  cast(sum(judged * external_id) as bigint) as external_id,
  cast(sum(judged * fn_and_ln) as bigint) as fn_and_ln,
  cast(sum(judged * db) as bigint) as db,
  cast(sum(judged * ct) as bigint) as ct,
  cast(sum(judged * st) as bigint) as st,
  cast(sum(judged * zp) as bigint) as zp,
  cast(sum(judged * country) as bigint) as country
from seen
group by event_name
order by events desc, event_name
