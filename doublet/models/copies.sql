-- One row per copy of an event: what decides deduplication, and where the full row lies.
-- Key: (log_slot, log_offset). Source: the temporary table `changed_events`, which holds just the
-- rows of the lake that are not modelled yet. Narrow, since it is searched at every refresh.
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(source as varchar) as source,
  cast(received_at as timestamptz) as received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from changed_events
