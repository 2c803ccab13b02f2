-- One row per decision of an operator, as it stands now.
-- Key: (account_id, decision_id). Source: the temporary table `decided_rows`, all rows of the lake.
-- Those that were about who is erased say nothing any more. Where an identifier has several forms,
-- records of all are received by one slot in one moment; when one of these is taken back, all are.
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
    log_slot,
    received_at,
    row_number() over (
      partition by account_id, decision_id order by received_at desc, log_slot desc, log_offset desc
    ) as place
  from decided_rows
  where decision_id <> 'erased'
),
taken_back as (
  select distinct ranked.account_id, ranked.log_slot, ranked.received_at
  from ranked
  inner join ranked as latest
    on ranked.account_id = latest.account_id and ranked.decision_id = latest.decision_id
  where latest.place = 1 and latest.is_revoked
)
select
  cast(latest.account_id as varchar) as account_id,
  cast(latest.decision_id as varchar) as decision_id,
  cast(latest.kind as varchar) as kind,
  cast(
    '0x' || substring(md5(latest.account_id || '|' || latest.identifier_a), 1, 15) as bigint
  ) as identifier_a_key,
  cast(
    '0x' || substring(md5(latest.account_id || '|' || latest.identifier_b), 1, 15) as bigint
  ) as identifier_b_key,
  cast(split_part(latest.identifier_a, '=', 1) as varchar) as kind_a,
  cast(split_part(latest.identifier_b, '=', 1) as varchar) as kind_b,
  cast(latest.reason as varchar) as reason,
  cast(latest.is_revoked or taken_back.log_slot is not null as boolean) as is_revoked,
  cast(latest.received_at as timestamptz) as decided_at
from ranked as latest
left join taken_back
  on latest.account_id = taken_back.account_id
  and latest.log_slot = taken_back.log_slot
  and latest.received_at = taken_back.received_at
where latest.place = 1
