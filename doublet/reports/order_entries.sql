-- One row per entry of one order's ledger, by the order's own time. Source: order_entries.
-- Parameters: $account_id, $order_id.
select
  cast(currency as varchar) as currency,
  cast(kind as varchar) as kind,
  cast(changed_at as timestamptz) as changed_at,
  cast(learned_at as timestamptz) as learned_at,
  cast(ordered_at as timestamptz) as ordered_at,
  cast(value as decimal(18, 4)) as value,
  cast(gross as decimal(38, 4)) as gross,
  cast(refunds as decimal(38, 4)) as refunds,
  cast(cancelled as decimal(38, 4)) as cancelled,
  cast(pending as decimal(38, 4)) as pending,
  cast(state as varchar) as state,
  cast(message_id as varchar) as message_id,
  cast(pixel_id as varchar) as pixel_id,
  cast(is_own as boolean) as is_own,
  cast(is_in_conflict as boolean) as is_in_conflict,
  cast(is_capped as boolean) as is_capped,
  cast(is_total_below_refunds as boolean) as is_total_below_refunds,
  cast(is_id_reused as boolean) as is_id_reused
from order_entries
where account_id = $account_id
  and order_id = $order_id
order by position, currency
