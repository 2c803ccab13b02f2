-- One row per pixel, event name, source and five minutes of receipt in which there were copies.
-- Source: copies. Parameter: $since (timestamp). `step` is the number of five minutes since 1970.
select
  cast(pixel_id as varchar) as pixel_id,
  cast(event_name as varchar) as event_name,
  cast(source as varchar) as source,
  cast(floor(epoch(received_at) / 300) as bigint) as step,
  cast(count(*) as bigint) as copies
from copies
where received_at >= $since
group by pixel_id, event_name, source, step
