-- One row per copy of a changed key that its event is made from: the first fifty by rank of each
-- chain, with the chain they belong to and what all of its copies together say.
-- Key: (log_slot, log_offset). Source: the temporary table `changed_copies`.
-- A chain begins with its anchor, the first copy; copies up to 48 hours after the anchor belong
-- to it, a later one anchors a new chain (Meta, Handling duplicate pixel and Conversions API
-- events). Rank 1 is kept: the earliest browser copy up to 5 minutes after the anchor, otherwise
-- the anchor. A sender that gives a thousand events one id costs fifty rows here, not a thousand.
with recursive
spans as (
  select
    pixel_id,
    event_key,
    min(received_at) as first_at,
    max(received_at) as last_at
  from changed_copies
  group by pixel_id, event_key
),
successors as (
  select distinct
    changed_copies.pixel_id,
    changed_copies.event_key,
    changed_copies.received_at,
    min(changed_copies.received_at) over (
      partition by changed_copies.pixel_id, changed_copies.event_key
      order by changed_copies.received_at
      range between interval '172800.000001 seconds' following and unbounded following
    ) as next_anchor_at
  from changed_copies
  inner join spans
    on changed_copies.pixel_id = spans.pixel_id
    and changed_copies.event_key = spans.event_key
  where spans.last_at > spans.first_at + interval '48 hours'
),
anchors as (
  select
    pixel_id,
    event_key,
    first_at as anchor_at
  from spans
  union all
  select
    anchors.pixel_id,
    anchors.event_key,
    successors.next_anchor_at as anchor_at
  from anchors
  inner join successors
    on anchors.pixel_id = successors.pixel_id
    and anchors.event_key = successors.event_key
    and anchors.anchor_at = successors.received_at
  where successors.next_anchor_at is not null
),
anchored as (
  select
    changed_copies.pixel_id,
    changed_copies.event_key,
    changed_copies.source,
    changed_copies.received_at,
    changed_copies.log_slot,
    changed_copies.log_offset,
    max(anchors.anchor_at) as anchor_at
  from changed_copies
  inner join anchors
    on changed_copies.pixel_id = anchors.pixel_id
    and changed_copies.event_key = anchors.event_key
    and anchors.anchor_at <= changed_copies.received_at
  group by
    changed_copies.pixel_id,
    changed_copies.event_key,
    changed_copies.source,
    changed_copies.received_at,
    changed_copies.log_slot,
    changed_copies.log_offset
),
ranked as (
  select
    pixel_id,
    event_key,
    anchor_at,
    source,
    received_at,
    log_slot,
    log_offset,
    row_number() over (
      partition by pixel_id, event_key, anchor_at
      order by
        case
          when source = 'browser' and received_at <= anchor_at + interval '300 seconds' then 0
          else 1
        end,
        received_at,
        log_slot,
        log_offset
    ) as rank,
    row_number() over (
      partition by pixel_id, event_key, anchor_at
      order by received_at, log_slot, log_offset
    ) as arrival,
    count(case when source = 'browser' then 1 end) over chain as browser_copies,
    count(case when source = 'server' then 1 end) over chain as server_copies,
    min(case when source = 'browser' then received_at end) over chain as browser_first_at,
    min(case when source = 'server' then received_at end) over chain as server_first_at,
    max(received_at) over chain as last_received_at
  from anchored
  window chain as (partition by pixel_id, event_key, anchor_at)
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(source as varchar) as source,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(rank as integer) as rank,
  cast(arrival as integer) as arrival,
  cast(browser_copies as integer) as browser_copies,
  cast(server_copies as integer) as server_copies,
  cast(browser_first_at as timestamptz) as browser_first_at,
  cast(server_first_at as timestamptz) as server_first_at,
  cast(last_received_at as timestamptz) as last_received_at
from ranked
where rank <= 50
