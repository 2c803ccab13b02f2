-- One row per pixel, event name, quarter of an hour in UTC, currency and mark: the sums over its events
-- that reports add up to days of any zone, which are whole quarters apart.
-- Key: (pixel_id, event_name, quarter_s, currency, is_marked). Source: the temporary table
-- `counted_events`, events with a sign: those that are taken out -1, those that come +1. So the text
-- also says what a step changes. Events of our own checks are not counted.
-- The empty currency holds the events without a value, or with one of no currency. What judged events
-- bear is by what the server itself sent; the bits are those of facts and members.
with
signed as (
  select
    sign,
    account_id,
    pixel_id,
    event_name,
    event_time - event_time % 900 as quarter_s,
    case when value is not null then coalesce(currency, '') else '' end as currency,
    case when currency is not null then coalesce(value, 0) else 0 end as value,
    is_marked,
    browser_copies,
    server_copies,
    case when browser_copies > 0 then 1 else 0 end as by_browser,
    case when server_copies > 0 then 1 else 0 end as by_server,
    case when is_judged then 1 else 0 end as judged,
    case when is_joinable then 1 else 0 end as joinable,
    sent_keys,
    dedupe_keys,
    timed_copies,
    within_5_minutes,
    within_2_hours,
    within_a_day
  from counted_events
  where not is_test
)
select
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(quarter_s as bigint) as quarter_s,
  cast(currency as varchar) as currency,
  cast(is_marked as boolean) as is_marked,
  cast(sum(sign) as bigint) as events,
  cast(sum(sign * browser_copies) as bigint) as browser_copies,
  cast(sum(sign * server_copies) as bigint) as server_copies,
  cast(sum(sign * by_browser * by_server) as bigint) as by_both,
  cast(sum(sign * (1 - by_server)) as bigint) as browser_only,
  cast(sum(sign * (1 - by_browser)) as bigint) as server_only,
  cast(sum(sign * value) as decimal(38, 4)) as value,
  cast(sum(case when by_browser = 1 then sign * value else 0 end) as decimal(38, 4)) as browser_value,
  cast(sum(case when by_server = 1 then sign * value else 0 end) as decimal(38, 4)) as server_value,
  cast(sum(sign * judged) as bigint) as judged,
  cast(sum(sign * judged * joinable) as bigint) as joinable,
  cast(sum(sign * judged * (sent_keys // 1 % 2)) as bigint) as em,
  cast(sum(sign * judged * (sent_keys // 2 % 2)) as bigint) as ip_and_ua,
  cast(sum(sign * judged * (sent_keys // 4 % 2)) as bigint) as fbc,
  cast(sum(sign * judged * (sent_keys // 8 % 2)) as bigint) as ph,
  cast(sum(sign * judged * (sent_keys // 16 % 2)) as bigint) as fbp,
  cast(sum(sign * judged * (sent_keys // 32 % 2)) as bigint) as external_id,
  cast(sum(sign * judged * (sent_keys // 64 % 2)) as bigint) as fn_and_ln,
  cast(sum(sign * judged * (sent_keys // 128 % 2)) as bigint) as db,
  cast(sum(sign * judged * (sent_keys // 256 % 2)) as bigint) as ct,
  cast(sum(sign * judged * (sent_keys // 512 % 2)) as bigint) as st,
  cast(sum(sign * judged * (sent_keys // 1024 % 2)) as bigint) as zp,
  cast(sum(sign * judged * (sent_keys // 2048 % 2)) as bigint) as country,
  cast(sum(sign * (dedupe_keys // 1 % 2)) as bigint) as browser_told,
  cast(sum(sign * (dedupe_keys // 2 % 2)) as bigint) as server_told,
  cast(sum(sign * (dedupe_keys // 4 % 2)) as bigint) as dedupe_browser_event_id,
  cast(sum(sign * (dedupe_keys // 8 % 2)) as bigint) as dedupe_browser_external_id,
  cast(sum(sign * (dedupe_keys // 16 % 2)) as bigint) as dedupe_browser_fbp,
  cast(sum(sign * (dedupe_keys // 32 % 2)) as bigint) as dedupe_server_event_id,
  cast(sum(sign * (dedupe_keys // 64 % 2)) as bigint) as dedupe_server_external_id,
  cast(sum(sign * (dedupe_keys // 128 % 2)) as bigint) as dedupe_server_fbp,
  cast(sum(sign * (dedupe_keys // 256 % 2)) as bigint) as dedupe_shared_event_id,
  cast(sum(sign * (dedupe_keys // 512 % 2)) as bigint) as dedupe_shared_external_id,
  cast(sum(sign * (dedupe_keys // 1024 % 2)) as bigint) as dedupe_shared_fbp,
  cast(sum(sign * (dedupe_keys // 2048 % 2)) as bigint) as dedupe_covered_external_id,
  cast(sum(sign * (dedupe_keys // 4096 % 2)) as bigint) as dedupe_covered_fbp,
  cast(sum(sign * timed_copies) as bigint) as timed_copies,
  cast(sum(sign * within_5_minutes) as bigint) as within_5_minutes,
  cast(sum(sign * within_2_hours) as bigint) as within_2_hours,
  cast(sum(sign * within_a_day) as bigint) as within_a_day
from signed
group by account_id, pixel_id, event_name, quarter_s, currency, is_marked
