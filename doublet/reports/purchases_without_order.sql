-- One row per account: how many Purchase events bear no order id, so that no ledger has them.
-- Source: events_deduplicated. Parameters: $account_id, $since and $until (Unix seconds, half-open;
-- null: unbounded). Events of our own checks are left out.
select cast(count(*) as bigint) as purchases
from events_deduplicated
where account_id = $account_id
  and event_name = 'Purchase'
  and order_id is null
  and not is_test
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
