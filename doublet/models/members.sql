-- One row per copy that a changed event is made from: the first fifty by rank, with what all of
-- the event's copies together say.
-- Key: (log_slot, log_offset). Source: the temporary table `event_copies`, every copy of the
-- changed events, with the anchor of the event.
-- Rank 1 is kept: the earliest browser copy up to 5 minutes after the anchor, otherwise the anchor
-- (Meta, Handling duplicate pixel and Conversions API events). A sender that gives a thousand
-- events one id costs fifty rows here, not a thousand.
-- dedupe_keys has a bit for what deduplication found in the event's copies, those of stores left
-- out: browser's copy 1, server's 2; the browser's has event_id 4, external_id 8, fbp 16, the
-- server's 32, 64, 128; one value on both sides 256, 512, 1024; the server's copy was found by no
-- stronger key than external_id 2048, fbp 4096.
with
sided as (
  select
    pixel_id,
    event_key,
    anchor_at,
    sent_keys,
    external_key,
    fbp,
    coalesce(join_rule, 'event_id') as rule,
    case when method <> 'none' then 1 else 0 end as with_event_id,
    case when source = 'browser' and method <> 'offline' then 1 else 0 end as by_browser,
    case when source = 'server' and method <> 'offline' then 1 else 0 end as by_server,
    epoch(received_at) - event_time as late_s
  from event_copies
),
sums as (
  select
    pixel_id,
    event_key,
    anchor_at,
    count(*) as copies,
    bit_or(sent_keys) as sent_keys,
    max(by_browser) as by_browser,
    max(by_server) as by_server,
    max(by_browser * with_event_id) as browser_event_id,
    max(by_server * with_event_id) as server_event_id,
    max(case when by_browser = 1 then external_key end) as browser_external_id,
    max(case when by_server = 1 then external_key end) as server_external_id,
    max(case when by_browser = 1 then fbp end) as browser_fbp,
    max(case when by_server = 1 then fbp end) as server_fbp,
    max(case when rule = 'event_id' then by_browser else 0 end)
    * max(case when rule = 'event_id' then by_server else 0 end) as shares_event_id,
    max(case when rule = 'external_id' then by_server else 0 end) as server_by_external_id,
    max(case when rule = 'fbp' then by_server else 0 end) as server_by_fbp,
    sum(by_server) as timed_copies,
    sum(case when late_s <= 300 then by_server else 0 end) as within_5_minutes,
    sum(case when late_s <= 7200 then by_server else 0 end) as within_2_hours,
    sum(case when late_s <= 86400 then by_server else 0 end) as within_a_day
  from sided
  group by pixel_id, event_key, anchor_at
),
sizes as (
  select
    pixel_id,
    event_key,
    anchor_at,
    copies,
    sent_keys,
    by_browser
    + by_server * 2
    + browser_event_id * 4
    + case when browser_external_id is not null then 8 else 0 end
    + case when browser_fbp is not null then 16 else 0 end
    + server_event_id * 32
    + case when server_external_id is not null then 64 else 0 end
    + case when server_fbp is not null then 128 else 0 end
    + shares_event_id * 256
    + case when browser_external_id = server_external_id then 512 else 0 end
    + case when browser_fbp = server_fbp then 1024 else 0 end
    + (1 - shares_event_id) * by_browser * server_by_external_id * 2048
    + (1 - shares_event_id) * by_browser * (1 - server_by_external_id) * server_by_fbp * 4096
      as dedupe_keys,
    timed_copies,
    within_5_minutes,
    within_2_hours,
    within_a_day
  from sums
),
ranked as (
  select
    event_copies.pixel_id,
    event_copies.event_key,
    event_copies.anchor_at,
    event_copies.source,
    event_copies.received_at,
    event_copies.log_slot,
    event_copies.log_offset,
    event_copies.is_new,
    row_number() over (
      partition by event_copies.pixel_id, event_copies.event_key, event_copies.anchor_at
      order by
        case
          when event_copies.source = 'browser'
            and event_copies.received_at <= event_copies.anchor_at + interval '300 seconds'
            then 0
          else 1
        end,
        event_copies.received_at,
        event_copies.log_slot,
        event_copies.log_offset
    ) as rank,
    row_number() over (
      partition by event_copies.pixel_id, event_copies.event_key, event_copies.anchor_at
      order by event_copies.received_at, event_copies.log_slot, event_copies.log_offset
    ) as arrival,
    count(case when event_copies.source = 'browser' then 1 end) over event as browser_copies,
    count(case when event_copies.source = 'server' then 1 end) over event as server_copies,
    count(case when not event_copies.is_new then 1 end) over event as old_copies,
    min(case when event_copies.source = 'browser' then event_copies.received_at end) over event
      as browser_first_at,
    min(case when event_copies.source = 'server' then event_copies.received_at end) over event
      as server_first_at,
    max(event_copies.received_at) over event as last_received_at,
    sizes.sent_keys,
    sizes.dedupe_keys,
    sizes.timed_copies,
    sizes.within_5_minutes,
    sizes.within_2_hours,
    sizes.within_a_day
  from event_copies
  inner join sizes
    on event_copies.pixel_id = sizes.pixel_id
    and event_copies.event_key = sizes.event_key
    and event_copies.anchor_at = sizes.anchor_at
  where sizes.copies > 1
  window event as (
    partition by event_copies.pixel_id, event_copies.event_key, event_copies.anchor_at
  )
),
-- Most events have one copy, for which nothing need be sorted.
all_ranked as (
  select
    pixel_id,
    event_key,
    anchor_at,
    source,
    received_at,
    log_slot,
    log_offset,
    is_new,
    rank,
    arrival,
    browser_copies,
    server_copies,
    old_copies,
    browser_first_at,
    server_first_at,
    last_received_at,
    sent_keys,
    dedupe_keys,
    timed_copies,
    within_5_minutes,
    within_2_hours,
    within_a_day
  from ranked
  union all
  select
    event_copies.pixel_id,
    event_copies.event_key,
    event_copies.anchor_at,
    event_copies.source,
    event_copies.received_at,
    event_copies.log_slot,
    event_copies.log_offset,
    event_copies.is_new,
    1,
    1,
    case when event_copies.source = 'browser' then 1 else 0 end,
    case when event_copies.source = 'server' then 1 else 0 end,
    case when event_copies.is_new then 0 else 1 end,
    case when event_copies.source = 'browser' then event_copies.received_at end,
    case when event_copies.source = 'server' then event_copies.received_at end,
    event_copies.received_at,
    sizes.sent_keys,
    sizes.dedupe_keys,
    sizes.timed_copies,
    sizes.within_5_minutes,
    sizes.within_2_hours,
    sizes.within_a_day
  from event_copies
  inner join sizes
    on event_copies.pixel_id = sizes.pixel_id
    and event_copies.event_key = sizes.event_key
    and event_copies.anchor_at = sizes.anchor_at
  where sizes.copies = 1
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(source as varchar) as source,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(is_new as boolean) as is_new,
  cast(rank as integer) as rank,
  cast(arrival as integer) as arrival,
  cast(browser_copies as integer) as browser_copies,
  cast(server_copies as integer) as server_copies,
  cast(old_copies as integer) as old_copies,
  cast(browser_first_at as timestamptz) as browser_first_at,
  cast(server_first_at as timestamptz) as server_first_at,
  cast(last_received_at as timestamptz) as last_received_at,
  cast(sent_keys as integer) as sent_keys,
  cast(dedupe_keys as integer) as dedupe_keys,
  cast(timed_copies as integer) as timed_copies,
  cast(within_5_minutes as integer) as within_5_minutes,
  cast(within_2_hours as integer) as within_2_hours,
  cast(within_a_day as integer) as within_a_day
from all_ranked
where rank <= 50
