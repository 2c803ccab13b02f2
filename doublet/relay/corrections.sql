-- One row per message, not its repetitions, that says that an order was refunded or cancelled and of
-- which a copy lies in a span of a log slot. Source: order_copies. Parameters: $accounts whose
-- messages are wanted; $log_slot, $first and $last, offsets, both within; $received_since.
-- log_slot and log_offset are those of the message's first copy.
with
said as (
  select distinct
    account_id,
    order_id,
    message_id
  from order_copies
  where log_slot = $log_slot
    and log_offset between $first and $last
    and received_at >= $received_since
    and kind in ('refunded', 'cancelled')
    and account_id in (select unnest($accounts))
),
placed as (
  select
    copies.account_id,
    copies.order_id,
    copies.message_id,
    copies.changed_at,
    copies.received_at,
    copies.log_slot,
    copies.log_offset,
    row_number() over (
      partition by copies.account_id, copies.order_id, copies.message_id
      order by copies.received_at, copies.log_slot, copies.log_offset
    ) as arrival
  from order_copies as copies
  inner join said
    on copies.account_id = said.account_id
    and copies.order_id = said.order_id
    and copies.message_id = said.message_id
)
select
  cast(account_id as varchar) as account_id,
  cast(order_id as varchar) as order_id,
  cast(message_id as varchar) as message_id,
  cast(
    date_diff('second', timestamptz '1970-01-01 00:00:00+00', changed_at) as bigint
  ) as event_time,
  cast(
    date_diff('microsecond', timestamptz '1970-01-01 00:00:00+00', received_at) as bigint
  ) as first_received_at,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from placed
where arrival = 1
