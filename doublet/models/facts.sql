-- One row per new copy of an event: the facts that decide which event it belongs to.
-- Key: (log_slot, log_offset). Sources: the temporary view `changed_events`, rows of the lake, and
-- `new_rows`, which names those that are not modelled yet.
-- The method says which rule may join copies of one key (Meta, Handling duplicate pixel and
-- Conversions API events; Offline events; Business messaging). Keys of a person are cut to 64
-- bits: within one pixel and order or two days that is unique enough, and the table stays narrow.
-- sent_keys has a bit for each key of a person that a server's copy bears: em 1, address and user
-- agent 2, fbc 4, ph 8, fbp 16, external_id 32, fn and ln 64, db 128, ct 256, st 512, zp 1024,
-- country 2048. A hash of nothing ($duds: "null", "test@test.com", …) is no key.
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
  ) as fbp,
  cast(
    case
      when changed_events.source <> 'server' then 0
      else case
        when list_min(changed_events.user_data.em) is not null
          and not list_contains($duds, list_min(changed_events.user_data.em))
          then 1
        else 0
      end
      + case
        when changed_events.user_data.client_ip_address is not null
          and changed_events.user_data.client_user_agent is not null
          then 2
        else 0
      end
      + case when changed_events.user_data.fbc is not null then 4 else 0 end
      + case
        when list_min(changed_events.user_data.ph) is not null
          and not list_contains($duds, list_min(changed_events.user_data.ph))
          then 8
        else 0
      end
      + case when changed_events.user_data.fbp is not null then 16 else 0 end
      + case when list_min(changed_events.user_data.external_id) is not null then 32 else 0 end
      + case
        when list_min(changed_events.user_data.fn) is not null
          and list_min(changed_events.user_data.ln) is not null
          then 64
        else 0
      end
      + case when list_min(changed_events.user_data.db) is not null then 128 else 0 end
      + case when list_min(changed_events.user_data.ct) is not null then 256 else 0 end
      + case when list_min(changed_events.user_data.st) is not null then 512 else 0 end
      + case when list_min(changed_events.user_data.zp) is not null then 1024 else 0 end
      + case when list_min(changed_events.user_data.country) is not null then 2048 else 0 end
    end as integer
  ) as sent_keys
from changed_events
inner join new_rows
  on changed_events.log_slot = new_rows.log_slot
  and changed_events.log_offset = new_rows.log_offset
