-- One row per event name and day of the account's zone ($zone): events by who saw them, and of the website events that the server sent
-- how many bear each key of a person in the copies that it sent itself. A pair counts when both are
-- there; a hash of nothing ("null", "test@test.com", …) is no key. An event is joinable when it bears
-- a key in any copy. Sources: events_deduplicated, copies with joins, and the lake's files of events.
-- Parameters: $account_id, $pixel_id (null: all pixels), $event_name (null: all), $since and $until
-- (Unix seconds, half-open, by event_time; a null $until: unbounded), $duds (such hashes), $paths (the
-- files that may hold copies of these events). Our own checks are left out,
-- and so are events that their pixel's rules mark, unless the server sent them too. Of an erased
-- person's events nobody can judge what they bore.
with
sent as (
  select
    rows.log_slot,
    rows.log_offset,
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
  from read_parquet($paths) as rows
  where account_id = $account_id
    and source = 'server'
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
),
sent_by_event as (
  select
    copies.pixel_id,
    coalesce(joins.root_key, copies.event_key) as event_key,
    coalesce(joins.root_at, copies.chain_at) as anchor_at,
    max(sent.em) as em,
    max(sent.ph) as ph,
    max(sent.ip_and_ua) as ip_and_ua,
    max(sent.fbc) as fbc,
    max(sent.fbp) as fbp,
    max(sent.external_id) as external_id,
    max(sent.fn_and_ln) as fn_and_ln,
    max(sent.db) as db,
    max(sent.ct) as ct,
    max(sent.st) as st,
    max(sent.zp) as zp,
    max(sent.country) as country
  from sent
  inner join copies
    on sent.log_slot = copies.log_slot
    and sent.log_offset = copies.log_offset
  left join joins
    on copies.pixel_id = joins.pixel_id
    and copies.event_key = joins.event_key
    and copies.chain_at = joins.chain_at
  group by
    copies.pixel_id,
    coalesce(joins.root_key, copies.event_key),
    coalesce(joins.root_at, copies.chain_at)
),
seen as (
  select
    event_name,
    cast(to_timestamp(event_time) at time zone $zone as date) as day,
    case when browser_copies > 0 then 1 else 0 end as by_browser,
    case when server_copies > 0 then 1 else 0 end as by_server,
    case
      when server_copies > 0
        and action_source = 'website'
        and not list_contains(coalesce(flags, []), 'erased')
        then 1
      else 0
    end as judged,
    case
      when (list_min(user_data.em) is not null and not list_contains($duds, list_min(user_data.em)))
        or (list_min(user_data.ph) is not null and not list_contains($duds, list_min(user_data.ph)))
        or user_data.fbc is not null
        or user_data.fbp is not null
        or list_min(user_data.external_id) is not null
        then 1
      else 0
    end as joinable,
    coalesce(sent_by_event.em, 0) as em,
    coalesce(sent_by_event.ph, 0) as ph,
    coalesce(sent_by_event.ip_and_ua, 0) as ip_and_ua,
    coalesce(sent_by_event.fbc, 0) as fbc,
    coalesce(sent_by_event.fbp, 0) as fbp,
    coalesce(sent_by_event.external_id, 0) as external_id,
    coalesce(sent_by_event.fn_and_ln, 0) as fn_and_ln,
    coalesce(sent_by_event.db, 0) as db,
    coalesce(sent_by_event.ct, 0) as ct,
    coalesce(sent_by_event.st, 0) as st,
    coalesce(sent_by_event.zp, 0) as zp,
    coalesce(sent_by_event.country, 0) as country
  from events_deduplicated
  left join sent_by_event
    on events_deduplicated.pixel_id = sent_by_event.pixel_id
    and events_deduplicated.event_key = sent_by_event.event_key
    and events_deduplicated.anchor_at = sent_by_event.anchor_at
  where account_id = $account_id
    and not is_test
    and (
      server_copies > 0
      or not coalesce(list_has_any(flags, $marks), false)
    )
    and ($pixel_id is null or events_deduplicated.pixel_id = $pixel_id)
    and ($event_name is null or event_name = $event_name)
    and event_time >= $since
    and ($until is null or event_time < $until)
)
select
  cast(event_name as varchar) as event_name,
  cast(day as date) as day,
  cast(count(*) as bigint) as events,
  cast(sum(by_browser) as bigint) as browser_events,
  cast(sum(by_server) as bigint) as server_events,
  cast(sum(by_browser * by_server) as bigint) as both,
  cast(sum(judged) as bigint) as judged,
  cast(sum(judged * joinable) as bigint) as joinable,
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
group by event_name, day
order by event_name, day
