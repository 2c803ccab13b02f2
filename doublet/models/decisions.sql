-- One row per decision of an operator, as it stands now.
-- Key: (account_id, decision_id). Source: the temporary table `decided_rows`, all rows of the lake.
-- Those that were about who is erased say nothing any more.
with
ranked as (
  select
    account_id,
    decision_id,
    kind,
    identifier_a,
    identifier_b,
    reason,
    is_revoked,
    received_at,
    row_number() over (
      partition by account_id, decision_id order by received_at desc, log_slot desc, log_offset desc
    ) as place
  from decided_rows
  where decision_id <> 'erased'
)
select
  cast(account_id as varchar) as account_id,
  cast(decision_id as varchar) as decision_id,
  cast(kind as varchar) as kind,
  cast(
    '0x' || substring(md5(account_id || '|' || identifier_a), 1, 15) as bigint
  ) as identifier_a_key,
  cast(
    '0x' || substring(md5(account_id || '|' || identifier_b), 1, 15) as bigint
  ) as identifier_b_key,
  cast(split_part(identifier_a, '=', 1) as varchar) as kind_a,
  cast(split_part(identifier_b, '=', 1) as varchar) as kind_b,
  cast(reason as varchar) as reason,
  cast(is_revoked as boolean) as is_revoked,
  cast(received_at as timestamptz) as decided_at
from ranked
where place = 1
