-- One row per event that has a copy in a span of a log slot: what decides whether a destination is
-- sent it, and what its browser showed (null where no browser reported it).
-- Sources: copies, joins, events_deduplicated. Parameters: $accounts whose events are wanted;
-- $log_slot, $first and $last, offsets, both within; $received_since; $event_since and $event_until
-- (Unix seconds, half-open; null: unbounded), between which the event must have happened.
-- log_slot and log_offset are those of the event's first copy; places, of its first twenty, is null
-- where there is only one.
with
fresh as (
  select distinct
    pixel_id,
    event_key,
    chain_at
  from copies
  where log_slot = $log_slot
    and log_offset between $first and $last
    and received_at >= $received_since
    and ($event_since is null or event_time >= $event_since)
    and ($event_until is null or event_time < $event_until)
),
roots as (
  select distinct
    fresh.pixel_id,
    coalesce(joins.root_key, fresh.event_key) as event_key,
    coalesce(joins.root_at, fresh.chain_at) as anchor_at
  from fresh
  left join joins
    on fresh.pixel_id = joins.pixel_id
    and fresh.event_key = joins.event_key
    and fresh.chain_at = joins.chain_at
),
chains as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_key as chain_key,
    anchor_at as chain_at
  from roots
  union all
  select
    roots.pixel_id,
    roots.event_key,
    roots.anchor_at,
    joins.event_key,
    joins.chain_at
  from roots
  inner join joins
    on roots.pixel_id = joins.pixel_id
    and roots.event_key = joins.root_key
    and roots.anchor_at = joins.root_at
),
placed as (
  select
    chains.pixel_id,
    chains.event_key,
    chains.anchor_at,
    copies.received_at,
    copies.log_slot,
    copies.log_offset,
    row_number() over (
      partition by chains.pixel_id, chains.event_key, chains.anchor_at
      order by copies.received_at, copies.log_slot, copies.log_offset
    ) as arrival
  from copies
  inner join chains
    on copies.pixel_id = chains.pixel_id
    and copies.event_key = chains.chain_key
    and copies.chain_at = chains.chain_at
),
gathered as (
  select
    pixel_id,
    event_key,
    anchor_at,
    min(received_at) as received_at,
    min(case when arrival = 1 then log_slot end) as log_slot,
    min(case when arrival = 1 then log_offset end) as log_offset,
    case when count(*) > 1 then list([log_slot, log_offset]) end as places
  from placed
  where arrival <= 20
  group by pixel_id, event_key, anchor_at
),
noted as (
  select
    gathered.received_at,
    gathered.log_slot,
    gathered.log_offset,
    gathered.places,
    events.account_id,
    events.pixel_id,
    events.event_name,
    events.event_id,
    events.event_time,
    events.event_source_url,
    events.is_test,
    events.flags,
    events.browser_copies,
    events.server_copies,
    case when events.browser_copies > 0 then events.order_id end as order_id,
    case when events.browser_copies > 0 then events.user_data end as user_data,
    case when events.browser_copies > 0 then events.consent end as consent
  from gathered
  inner join events_deduplicated as events
    on gathered.pixel_id = events.pixel_id
    and gathered.event_key = events.event_key
    and gathered.anchor_at = events.anchor_at
  where events.account_id in (select unnest($accounts))
    and ($event_since is null or events.event_time >= $event_since)
    and ($event_until is null or events.event_time < $event_until)
)
select
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset,
  cast(places as bigint[][]) as places,
  cast(
    date_diff('microsecond', timestamptz '1970-01-01 00:00:00+00', received_at) as bigint
  ) as first_received_at,
  cast(account_id as varchar) as account_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(event_id as varchar) as event_id,
  cast(event_time as bigint) as event_time,
  cast(event_source_url as varchar) as event_source_url,
  cast(is_test as boolean) as is_test,
  cast(flags as varchar[]) as flags,
  cast(browser_copies as integer) as browser_copies,
  cast(server_copies as integer) as server_copies,
  cast(order_id as varchar) as order_id,
  cast(user_data.em as varchar[]) as em,
  cast(user_data.ph as varchar[]) as ph,
  cast(user_data.external_id as varchar[]) as external_id,
  cast(user_data.lead_id as varchar) as lead_id,
  cast(user_data.fbc as varchar) as fbc,
  cast(user_data.fbp as varchar) as fbp,
  cast(user_data.client_ip_address as varchar) as client_ip_address,
  cast(user_data.client_user_agent as varchar) as client_user_agent,
  cast(consent as varchar) as consent
from noted
order by event_time, log_slot, log_offset
