-- One row per order and currency, the newest first: what it is worth by now. Source: orders.
-- Parameters: $account_id, $since and $until (Unix seconds, half-open; null: unbounded), $limit.
select
  cast(order_id as varchar) as order_id,
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
  and ($since is null or ordered_at >= to_timestamp($since))
  and ($until is null or ordered_at < to_timestamp($until))
order by ordered_at desc, order_id, currency
limit $limit
