-- One row per purchase: an order, however many events report it, or an event without an order id.
-- What an order is worth is what the order ledger says by now, in the account's currency; of an
-- event without one it is the event's own value. Purchases that are no sale (yet) are left out. The
-- person is who it is by now, whatever merges came since. Sources: chosen_conversions, orders,
-- persons, rates. Parameters: those of chosen_conversions.
with
bearing as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    event_time,
    day,
    person_id,
    amount,
    order_id,
    row_number() over (
      partition by
        order_id,
        case when order_id is null then pixel_id end,
        case when order_id is null then event_key end,
        case when order_id is null then anchor_at end
      order by event_time, pixel_id, event_key, anchor_at
    ) as nth
  from chosen_conversions
),
ledger as (
  select
    orders.order_id,
    min(orders.state) as state,
    sum(cast(orders.gross as decimal(28, 4)) * rates.rate) as gross,
    sum(cast(orders.refunds as decimal(28, 4)) * rates.rate) as refunds,
    sum(cast(orders.cancelled as decimal(28, 4)) * rates.rate) as cancelled
  from orders
  left join rates
    on rates.currency = orders.currency
    and cast(orders.ordered_at at time zone $zone as date) >= rates.first_day
    and cast(orders.ordered_at at time zone $zone as date) <= rates.last_day
  where orders.account_id = $account_id
  group by orders.order_id
)
select
  cast(bearing.pixel_id as varchar) as pixel_id,
  cast(bearing.event_key as bigint) as event_key,
  cast(bearing.anchor_at as timestamptz) as anchor_at,
  cast(bearing.event_time as bigint) as event_time,
  cast(bearing.day as date) as day,
  cast(coalesce(persons.root_id, bearing.person_id) as bigint) as person_id,
  cast(ledger.order_id is not null as boolean) as is_in_ledger,
  cast(
    case when ledger.order_id is null then coalesce(bearing.amount, 0)
    else coalesce(ledger.gross, 0) end as decimal(38, 4)
  ) as gross,
  cast(coalesce(ledger.refunds, 0) as decimal(38, 4)) as refunds,
  cast(coalesce(ledger.cancelled, 0) as decimal(38, 4)) as cancelled
from bearing
left join ledger
  on ledger.order_id = bearing.order_id
left join persons
  on persons.account_id = $account_id
  and persons.person_id = bearing.person_id
where bearing.nth = 1
  and (ledger.state is null or ledger.state in ('sale', 'cancelled'))
