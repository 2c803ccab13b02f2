-- One row per currency of one order. Source: orders. Parameters: $account_id, $order_id.
select
  cast(currency as varchar) as currency,
  cast(ordered_at as timestamptz) as ordered_at,
  cast(state as varchar) as state,
  cast(gross as decimal(38, 4)) as gross,
  cast(refunds as decimal(38, 4)) as refunds,
  cast(cancelled as decimal(38, 4)) as cancelled,
  cast(net as decimal(38, 4)) as net,
  cast(pending as decimal(38, 4)) as pending,
  cast(parent_order_id as varchar) as parent_order_id
from orders
where account_id = $account_id
  and order_id = $order_id
order by currency
