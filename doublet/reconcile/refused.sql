-- One row per order id that refused requests name: the last such request, and why it was refused.
-- Parameters: $paths files of the lake's table refused, $account_id, $pixels the account's own,
-- $received_since (Unix seconds). Only events and messages about orders whose content is kept.
with
requests as (
  select
    received_at,
    log_slot,
    log_offset,
    reason,
    regexp_replace(message, '^Event [0-9]+: ', '') as message,
    unnest(cast(json_extract(payload, '$[*]') as json[])) as element
  from read_parquet($paths)
  where (account_id = $account_id or (account_id = '' and list_contains($pixels, pixel_id)))
    and received_at >= make_timestamptz(cast($received_since as bigint) * 1000000)
    and payload like '%"order_id"%'
),
named as (
  select
    received_at,
    log_slot,
    log_offset,
    reason,
    message,
    coalesce(
      json_extract_string(element, '$.custom_data.order_id'),
      json_extract_string(element, '$.order_id')
    ) as order_id
  from requests
  where coalesce(json_extract_string(element, '$.event_name'), 'Purchase') = 'Purchase'
),
latest as (
  select
    order_id,
    received_at,
    log_slot,
    log_offset,
    reason,
    message,
    row_number() over (
      partition by order_id
      order by received_at desc, log_slot desc, log_offset desc
    ) as nth
  from named
  where order_id <> ''
)
select
  cast(order_id as varchar) as order_id,
  cast(
    date_diff('microsecond', timestamptz '1970-01-01 00:00:00+00', received_at) as bigint
  ) as received_at,
  cast(reason as varchar) as reason,
  cast(message as varchar) as message,
  cast(log_slot || '-' || log_offset as varchar) as request_id
from latest
where nth = 1
