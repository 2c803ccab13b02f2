-- One row per event name: of its events how many bear each deduplication key at the browser, at the
-- server, at both with one value, by which key the server's copy was found to be of the browser's
-- event, and how late the server's copies came. Source: event_quarters.
-- Events of stores, which are told apart by other rules, count for neither side here.
-- Parameters: see quality.sql.
select
  cast(event_name as varchar) as event_name,
  cast(sum(browser_told) as bigint) as browser_events,
  cast(sum(server_told) as bigint) as server_events,
  cast(sum(dedupe_browser_event_id) as bigint) as browser_event_id,
  cast(sum(dedupe_browser_external_id) as bigint) as browser_external_id,
  cast(sum(dedupe_browser_fbp) as bigint) as browser_fbp,
  cast(sum(dedupe_server_event_id) as bigint) as server_event_id,
  cast(sum(dedupe_server_external_id) as bigint) as server_external_id,
  cast(sum(dedupe_server_fbp) as bigint) as server_fbp,
  cast(sum(dedupe_shared_event_id) as bigint) as shared_event_id,
  cast(sum(dedupe_shared_external_id) as bigint) as shared_external_id,
  cast(sum(dedupe_shared_fbp) as bigint) as shared_fbp,
  cast(sum(dedupe_shared_event_id) as bigint) as covered_event_id,
  cast(sum(dedupe_covered_external_id) as bigint) as covered_external_id,
  cast(sum(dedupe_covered_fbp) as bigint) as covered_fbp,
  cast(sum(timed_copies) as bigint) as server_copies,
  cast(sum(within_5_minutes) as bigint) as within_5_minutes,
  cast(sum(within_2_hours) as bigint) as within_2_hours,
  cast(sum(within_a_day) as bigint) as within_a_day
from event_quarters
where account_id = $account_id
  and not is_marked
  and ($pixel_id is null or pixel_id = $pixel_id)
  and ($event_name is null or event_name = $event_name)
  and quarter_s >= $since
  and ($until is null or quarter_s < $until)
group by event_name
having sum(browser_told) + sum(server_told) > 0
order by event_name
