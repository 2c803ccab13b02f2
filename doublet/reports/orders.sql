-- One row per day and currency: the orders made on that day and what they are worth by now.
-- Source: orders. Parameters: $account_id, $zone (IANA name of the account's time zone), $since and
-- $until (Unix seconds, half-open; null: unbounded).
-- Refunds and cancellations belong to the day of the order, whenever they came. An order that is
-- no sale counts among none. One whose total moved to another currency is counted there only.
with
placed as (
  select
    cast(ordered_at at time zone $zone as date) as day,
    currency,
    state,
    gross,
    refunds,
    cancelled,
    net,
    pending,
    conflicts,
    count(*) over (partition by order_id) as currencies
  from orders
  where account_id = $account_id
    and ($since is null or ordered_at >= to_timestamp($since))
    and ($until is null or ordered_at < to_timestamp($until))
)
select
  cast(day as date) as day,
  cast(currency as varchar) as currency,
  cast(
    count(
      case when state in ('sale', 'cancelled') and (gross > 0 or currencies = 1) then 1 end
    ) as bigint
  ) as orders,
  cast(sum(gross) as decimal(38, 4)) as gross,
  cast(sum(refunds) as decimal(38, 4)) as refunds,
  cast(sum(cancelled) as decimal(38, 4)) as cancelled,
  cast(sum(net) as decimal(38, 4)) as net,
  cast(count(case when state = 'pending' and (pending > 0 or currencies = 1) then 1 end) as bigint)
    as pending_orders,
  cast(sum(pending) as decimal(38, 4)) as pending,
  cast(sum(conflicts) as bigint) as conflicts
from placed
group by day, currency
order by day, currency
