-- One row per copy that a changed event is made from: the first fifty by rank, with what all of
-- the event's copies together say.
-- Key: (log_slot, log_offset). Source: the temporary table `event_copies`, every copy of the
-- changed events, with the anchor of the event.
-- Rank 1 is kept: the earliest browser copy up to 5 minutes after the anchor, otherwise the anchor
-- (Meta, Handling duplicate pixel and Conversions API events). A sender that gives a thousand
-- events one id costs fifty rows here, not a thousand.
with
sizes as (
  select
    pixel_id,
    event_key,
    anchor_at,
    count(*) as copies
  from event_copies
  group by pixel_id, event_key, anchor_at
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
    max(event_copies.received_at) over event as last_received_at
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
    last_received_at
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
    event_copies.received_at
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
  cast(last_received_at as timestamptz) as last_received_at
from all_ranked
where rank <= 50
