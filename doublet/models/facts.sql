-- One row per new copy of an event: the facts that decide which event it belongs to.
-- Key: (log_slot, log_offset). Sources: the temporary view `changed_events`, rows of the lake, and
-- `new_rows`, which names those that are not modelled yet.
-- The method says which rule may join copies of one key (Meta, Handling duplicate pixel and
-- Conversions API events; Offline events; Business messaging). Keys of a person are cut to 64
-- bits: within one pixel and order or two days that is unique enough, and the table stays narrow.
select
  cast(changed_events.pixel_id as varchar) as pixel_id,
  cast(changed_events.event_name as varchar) as event_name,
  cast(changed_events.event_key as bigint) as event_key,
  cast(
    case
      when changed_events.action_source = 'physical_store' then 'offline'
      when changed_events.event_id is null then 'none'
      when changed_events.action_source = 'business_messaging' then 'messaging'
      else 'event_id'
    end as varchar
  ) as method,
  cast(changed_events.source as varchar) as source,
  cast(changed_events.received_at as timestamptz) as received_at,
  cast(changed_events.log_slot as integer) as log_slot,
  cast(changed_events.log_offset as bigint) as log_offset,
  cast(changed_events.event_time as bigint) as event_time,
  cast(changed_events.order_id as varchar) as order_id,
  cast(
    case
      when changed_events.event_name = 'Purchase' and changed_events.order_id is not null
        then substring(list_min(changed_events.user_data.em), 1, 16)
    end as varchar
  ) as order_person,
  cast(
    case
      when changed_events.action_source in ('physical_store', 'business_messaging') then null
      else substring(list_min(changed_events.user_data.external_id), 1, 16)
    end as varchar
  ) as external_key,
  cast(
    case
      when changed_events.action_source in ('physical_store', 'business_messaging') then null
      else changed_events.user_data.fbp
    end as varchar
  ) as fbp
from changed_events
inner join new_rows
  on changed_events.log_slot = new_rows.log_slot
  and changed_events.log_offset = new_rows.log_offset
