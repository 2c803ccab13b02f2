-- One row per group of server copies that belongs to an earlier event of the browser.
-- Key: (pixel_id, group_key, group_at). Sources: the temporary tables `server_groups` (the first
-- copy of each group that has copies from the server only) and `browser_copies` (those that may
-- have come before, with their groups).
-- A server copy follows the browser's by at most 48 hours, with the same pixel and name, and the
-- same external_id where both carry one, otherwise the same fbp (Meta, Handling duplicate pixel
-- and Conversions API events, fallback keys). Of several the latest is taken. Without $meta copies
-- whose order ids differ, and copies that both carry an event id, stay apart, also when both fit
-- one of the browser that names neither: the first of them has it.
-- Each condition becomes a part of a text, the slot, so that one pass over time finds the latest:
-- a browser copy stands in each slot that a server copy may look into.
with
slots as (
  select
    kind,
    external_slot,
    id_slot,
    order_slot
  from (values ('external_id'), ('fbp')) as kinds(kind)
  cross join (values ('with'), ('without')) as externals(external_slot)
  cross join (values ('with'), ('without')) as ids(id_slot)
  cross join (values ('without'), ('any'), ('same')) as orders(order_slot)
),
entries as (
  select
    browser_copies.pixel_id,
    browser_copies.event_name,
    concat_ws(
      '/',
      slots.kind,
      slots.external_slot,
      slots.id_slot,
      slots.order_slot,
      case when slots.kind = 'fbp' then browser_copies.fbp else browser_copies.external_key end,
      case when slots.order_slot = 'same' then browser_copies.order_id end
    ) as slot,
    1 as side,
    browser_copies.received_at,
    browser_copies.method,
    browser_copies.order_id,
    browser_copies.group_key,
    browser_copies.group_at
  from browser_copies
  inner join slots
    on case when slots.kind = 'fbp' then browser_copies.fbp else browser_copies.external_key end
      is not null
    and slots.external_slot
      = case when browser_copies.external_key is null then 'without' else 'with' end
    and slots.id_slot = case when browser_copies.method = 'none' then 'without' else 'with' end
    and case
      when browser_copies.order_id is null then slots.order_slot = 'without'
      else slots.order_slot in ('any', 'same')
    end
  union all
  select
    server_groups.pixel_id,
    server_groups.event_name,
    concat_ws(
      '/',
      slots.kind,
      slots.external_slot,
      slots.id_slot,
      slots.order_slot,
      case when slots.kind = 'fbp' then server_groups.fbp else server_groups.external_key end,
      case when slots.order_slot = 'same' then server_groups.order_id end
    ) as slot,
    0 as side,
    server_groups.received_at,
    server_groups.method,
    server_groups.order_id,
    server_groups.group_key,
    server_groups.group_at
  from server_groups
  inner join slots
    on case when slots.kind = 'fbp' then server_groups.fbp else server_groups.external_key end
      is not null
    and case
      when slots.kind = 'external_id' then slots.external_slot = 'with'
      else slots.external_slot = 'without' or server_groups.external_key is null
    end
    and (slots.id_slot = 'without' or server_groups.method = 'none' or $meta)
    and case
      when $meta or server_groups.order_id is null then slots.order_slot in ('without', 'any')
      else slots.order_slot in ('without', 'same')
    end
),
looked as (
  select
    pixel_id,
    slot,
    side,
    received_at,
    method,
    order_id,
    group_key,
    group_at,
    last_value(case when side = 1 then received_at end ignore nulls) over before as root_seen_at,
    last_value(case when side = 1 then group_key end ignore nulls) over before as root_key,
    last_value(case when side = 1 then group_at end ignore nulls) over before as root_at
  from entries
  window before as (
    partition by pixel_id, event_name, slot
    order by received_at, side, group_at, group_key
    rows between unbounded preceding and current row
  )
),
found as (
  select
    pixel_id,
    received_at,
    method,
    order_id,
    group_key,
    group_at,
    case when slot like 'fbp/%' then 'fbp' else 'external_id' end as rule,
    root_key,
    root_at,
    row_number() over (
      partition by pixel_id, group_key, group_at
      order by root_seen_at desc, slot, root_at, root_key
    ) as choice
  from looked
  where side = 0
    and root_seen_at >= received_at - interval '48 hours'
),
chosen as (
  select
    pixel_id,
    method,
    order_id,
    group_key,
    group_at,
    rule,
    root_key,
    root_at,
    first_value(case when method = 'event_id' then group_key end ignore nulls) over of_root
      as first_key,
    first_value(order_id ignore nulls) over of_root as first_order_id
  from found
  where choice = 1
  window of_root as (
    partition by pixel_id, root_key, root_at
    order by received_at, group_at, group_key
    rows between unbounded preceding and unbounded following
  )
)
select
  cast(pixel_id as varchar) as pixel_id,
  cast(group_key as bigint) as group_key,
  cast(group_at as timestamptz) as group_at,
  cast(rule as varchar) as rule,
  cast(root_key as bigint) as root_key,
  cast(root_at as timestamptz) as root_at
from chosen
where $meta
  or (
    (method = 'none' or group_key = first_key)
    and (order_id is null or order_id = first_order_id)
  )
