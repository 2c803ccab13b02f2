-- One row per copy of a changed key: the facts that decide, and the chain that it belongs to.
-- Key: (log_slot, log_offset). Source: the temporary table `pool`, every copy of the changed keys
-- with the chain that it belonged to.
-- Copies of one key make chains. A chain begins with its anchor, the first copy; copies up to 48
-- hours later belong to it, a later one anchors a new chain (Meta, Handling duplicate pixel and
-- Conversions API events). Repeats, copies with the same key and event_time within 7 days of the
-- first of them, follow that first one wherever it is: offline always, as Meta has it, otherwise
-- with $late_copy, since retry queues and replays are late. Copies of messaging events are joined
-- in no other way.
with recursive
keys as (
  select
    pixel_id,
    event_key,
    min(received_at) as first_at,
    max(received_at) as last_at,
    max(method) as method
  from pool
  where method <> 'none'
  group by pixel_id, event_key
),
-- Most keys have copies from within 48 hours; only the others need a closer look. A thread holds
-- what may be repeats of each other.
long_copies as (
  select
    pool.log_slot,
    pool.log_offset,
    pool.pixel_id,
    pool.event_key,
    pool.received_at,
    keys.method,
    case
      when keys.method = 'offline' or $late_copy then cast(pool.event_time as varchar)
      else concat(pool.log_slot, '/', pool.log_offset)
    end as thread
  from pool
  inner join keys
    on pool.pixel_id = keys.pixel_id
    and pool.event_key = keys.event_key
  where keys.last_at > keys.first_at
    and (keys.method <> 'event_id' or keys.last_at > keys.first_at + interval '48 hours')
),
later_originals as (
  select distinct
    pixel_id,
    event_key,
    thread,
    received_at,
    min(received_at) over (
      partition by pixel_id, event_key, thread
      order by received_at
      range between interval '604800.000001 seconds' following and unbounded following
    ) as next_at
  from long_copies
),
originals as (
  select
    pixel_id,
    event_key,
    thread,
    min(received_at) as original_at
  from long_copies
  group by pixel_id, event_key, thread
  union all
  select
    originals.pixel_id,
    originals.event_key,
    originals.thread,
    later_originals.next_at as original_at
  from originals
  inner join later_originals
    on originals.pixel_id = later_originals.pixel_id
    and originals.event_key = later_originals.event_key
    and originals.thread = later_originals.thread
    and originals.original_at = later_originals.received_at
  where later_originals.next_at is not null
),
later_anchors as (
  select distinct
    pixel_id,
    event_key,
    original_at,
    min(original_at) over (
      partition by pixel_id, event_key
      order by original_at
      range between interval '172800.000001 seconds' following and unbounded following
    ) as next_at
  from originals
),
anchors as (
  select
    pixel_id,
    event_key,
    min(original_at) as chain_at
  from originals
  group by pixel_id, event_key
  union all
  select
    anchors.pixel_id,
    anchors.event_key,
    later_anchors.next_at as chain_at
  from anchors
  inner join later_anchors
    on anchors.pixel_id = later_anchors.pixel_id
    and anchors.event_key = later_anchors.event_key
    and anchors.chain_at = later_anchors.original_at
  where later_anchors.next_at is not null
),
repeats as (
  select
    long_copies.log_slot,
    long_copies.log_offset,
    long_copies.pixel_id,
    long_copies.event_key,
    long_copies.method,
    max(originals.original_at) as original_at
  from long_copies
  inner join originals
    on long_copies.pixel_id = originals.pixel_id
    and long_copies.event_key = originals.event_key
    and long_copies.thread = originals.thread
    and originals.original_at <= long_copies.received_at
  group by
    long_copies.log_slot,
    long_copies.log_offset,
    long_copies.pixel_id,
    long_copies.event_key,
    long_copies.method
),
long_chains as (
  select
    repeats.log_slot,
    repeats.log_offset,
    max(
      case when repeats.method = 'event_id' then anchors.chain_at else repeats.original_at end
    ) as chain_at
  from repeats
  inner join anchors
    on repeats.pixel_id = anchors.pixel_id
    and repeats.event_key = anchors.event_key
    and anchors.chain_at <= repeats.original_at
  group by repeats.log_slot, repeats.log_offset
),
chained as (
  select
    pool.pixel_id,
    pool.event_name,
    pool.event_key,
    pool.method,
    pool.source,
    pool.received_at,
    pool.log_slot,
    pool.log_offset,
    pool.event_time,
    pool.order_id,
    pool.order_person,
    pool.external_key,
    pool.fbp,
    pool.sent_keys,
    pool.old_chain_at,
    pool.old_rule,
    coalesce(long_chains.chain_at, keys.first_at, pool.received_at) as chain_at
  from pool
  left join keys
    on pool.pixel_id = keys.pixel_id
    and pool.event_key = keys.event_key
  left join long_chains
    on pool.log_slot = long_chains.log_slot
    and pool.log_offset = long_chains.log_offset
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(event_key as bigint) as event_key,
  cast(method as varchar) as method,
  cast(source as varchar) as source,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(event_time as bigint) as event_time,
  cast(order_id as varchar) as order_id,
  cast(order_person as varchar) as order_person,
  cast(external_key as varchar) as external_key,
  cast(fbp as varchar) as fbp,
  cast(sent_keys as integer) as sent_keys,
  cast(old_chain_at as timestamptz) as old_chain_at,
  cast(old_rule as varchar) as old_rule,
  cast(chain_at as timestamptz) as chain_at,
  cast(
    case
      when received_at = chain_at then 'first'
      when method = 'offline' then 'offline'
      when method = 'event_id' and received_at <= chain_at + interval '48 hours' then 'event_id'
      else 'late_copy'
    end as varchar
  ) as rule
from chained
