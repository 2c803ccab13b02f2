-- One row per event name: of its events how many bear each deduplication key at the browser, at the
-- server, at both with one value, by which key the server's copy was found to be of the browser's
-- event, and how late the server's copies came. Sources: copies, joins, events_deduplicated.
-- Events of stores, which are told apart by other rules, count for neither side here.
-- Parameters: see quality.sql.
with
placed as (
  select
    copies.pixel_id,
    coalesce(joins.root_key, copies.event_key) as event_key,
    coalesce(joins.root_at, copies.chain_at) as anchor_at,
    coalesce(joins.rule, 'event_id') as rule,
    case when copies.method <> 'none' then 1 else 0 end as with_event_id,
    case when copies.source = 'browser' then 1 else 0 end as by_browser,
    case when copies.source = 'server' then 1 else 0 end as by_server,
    copies.external_key,
    copies.fbp,
    epoch(copies.received_at) - copies.event_time as late_s
  from copies
  left join joins
    on copies.pixel_id = joins.pixel_id
    and copies.event_key = joins.event_key
    and copies.chain_at = joins.chain_at
  where copies.method <> 'offline'
    and ($pixel_id is null or copies.pixel_id = $pixel_id)
    and ($event_name is null or copies.event_name = $event_name)
    and epoch(copies.received_at) >= $since - 86400
),
sides as (
  select
    pixel_id,
    event_key,
    anchor_at,
    max(by_browser) as by_browser,
    max(by_server) as by_server,
    max(by_browser * with_event_id) as browser_event_id,
    max(by_server * with_event_id) as server_event_id,
    max(case when by_browser = 1 then external_key end) as browser_external_id,
    max(case when by_server = 1 then external_key end) as server_external_id,
    max(case when by_browser = 1 then fbp end) as browser_fbp,
    max(case when by_server = 1 then fbp end) as server_fbp,
    max(case when rule = 'event_id' then by_browser else 0 end) as browser_in_first,
    max(case when rule = 'event_id' then by_server else 0 end) as server_in_first,
    max(case when rule = 'external_id' then by_server else 0 end) as server_by_external_id,
    max(case when rule = 'fbp' then by_server else 0 end) as server_by_fbp,
    sum(by_server) as server_copies,
    sum(case when late_s <= 300 then by_server else 0 end) as within_5_minutes,
    sum(case when late_s <= 7200 then by_server else 0 end) as within_2_hours,
    sum(case when late_s <= 86400 then by_server else 0 end) as within_a_day
  from placed
  group by pixel_id, event_key, anchor_at
)
select
  cast(event_name as varchar) as event_name,
  cast(sum(by_browser) as bigint) as browser_events,
  cast(sum(by_server) as bigint) as server_events,
  cast(sum(browser_event_id) as bigint) as browser_event_id,
  cast(count(browser_external_id) as bigint) as browser_external_id,
  cast(count(browser_fbp) as bigint) as browser_fbp,
  cast(sum(server_event_id) as bigint) as server_event_id,
  cast(count(server_external_id) as bigint) as server_external_id,
  cast(count(server_fbp) as bigint) as server_fbp,
  cast(sum(browser_in_first * server_in_first) as bigint) as shared_event_id,
  cast(
    sum(case when browser_external_id = server_external_id then 1 else 0 end) as bigint
  ) as shared_external_id,
  cast(sum(case when browser_fbp = server_fbp then 1 else 0 end) as bigint) as shared_fbp,
  cast(sum(browser_in_first * server_in_first) as bigint) as covered_event_id,
  cast(
    sum(
      case when browser_in_first * server_in_first = 0 then by_browser * server_by_external_id else 0 end
    ) as bigint
  ) as covered_external_id,
  cast(
    sum(
      case
        when browser_in_first * server_in_first = 0 and server_by_external_id = 0
          then by_browser * server_by_fbp
        else 0
      end
    ) as bigint
  ) as covered_fbp,
  cast(sum(sides.server_copies) as bigint) as server_copies,
  cast(sum(sides.within_5_minutes) as bigint) as within_5_minutes,
  cast(sum(sides.within_2_hours) as bigint) as within_2_hours,
  cast(sum(sides.within_a_day) as bigint) as within_a_day
from events_deduplicated
inner join sides
  on events_deduplicated.pixel_id = sides.pixel_id
  and events_deduplicated.event_key = sides.event_key
  and events_deduplicated.anchor_at = sides.anchor_at
where account_id = $account_id
  and not is_test
  and (
    events_deduplicated.server_copies > 0
    or not coalesce(list_has_any(flags, $marks), false)
  )
  and event_time >= $since
  and ($until is null or event_time < $until)
group by event_name
order by event_name
