-- One row per order and currency: what it is worth by everything that was said about it, counted
-- once. net = gross - refunds - cancelled, never below zero.
-- Key: (account_id, order_id, currency). Source: the temporary table `changed_entries`, the ledger
-- of the orders to be made.
with
summed as (
  select
    account_id,
    order_id,
    currency,
    max(ordered_at) as ordered_at,
    max(position) as last_position,
    sum(gross) as gross,
    sum(refunds) as refunds,
    sum(cancelled) as cancelled,
    sum(pending) as pending,
    count(case when kind = 'purchase' and is_own then 1 end) as purchases,
    count(case when kind <> 'purchase' and is_own then 1 end) as messages,
    count(
      case when is_in_conflict or is_capped or is_total_below_refunds or is_id_reused then 1 end
    ) as conflicts,
    min(learned_at) as first_learned_at,
    max(learned_at) as last_learned_at
  from changed_entries
  group by account_id, order_id, currency
),
-- The state and the parent belong to the order, whatever currency brought them.
latest as (
  select
    account_id,
    order_id,
    state,
    row_number() over (
      partition by account_id, order_id
      order by position desc, currency
    ) as nth,
    max(parent_order_id) over (partition by account_id, order_id) as parent_order_id
  from changed_entries
  where is_own
),
sources as (
  select
    account_id,
    order_id,
    action_source,
    row_number() over (partition by account_id, order_id order by position, currency) as nth
  from changed_entries
  where action_source is not null
    and is_own
)
select
  cast(summed.account_id as varchar) as account_id,
  cast(summed.order_id as varchar) as order_id,
  cast(summed.currency as varchar) as currency,
  cast(summed.ordered_at as timestamptz) as ordered_at,
  cast(latest.state as varchar) as state,
  cast(summed.gross as decimal(38, 4)) as gross,
  cast(summed.refunds as decimal(38, 4)) as refunds,
  cast(summed.cancelled as decimal(38, 4)) as cancelled,
  cast(summed.gross - summed.refunds - summed.cancelled as decimal(38, 4)) as net,
  cast(summed.pending as decimal(38, 4)) as pending,
  cast(summed.purchases as integer) as purchases,
  cast(summed.messages as integer) as messages,
  cast(summed.conflicts as integer) as conflicts,
  cast(latest.parent_order_id as varchar) as parent_order_id,
  cast(sources.action_source as varchar) as action_source,
  cast(summed.first_learned_at as timestamptz) as first_learned_at,
  cast(summed.last_learned_at as timestamptz) as last_learned_at
from summed
inner join latest
  on summed.account_id = latest.account_id
  and summed.order_id = latest.order_id
  and latest.nth = 1
left join sources
  on summed.account_id = sources.account_id
  and summed.order_id = sources.order_id
  and sources.nth = 1
