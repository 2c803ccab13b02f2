-- One row per pair of identifiers that an operator's decision keeps apart: each in both orders.
-- Source: the files $paths of the lake's table `decisions`, of $account_id, received up to $until.
-- Of a pair the latest decision holds; what was received by one slot in one moment is one decision
-- about all forms of a value, and is taken back as one.
with
ranked as (
  select
    decision_id,
    identifier_a,
    identifier_b,
    is_revoked,
    log_slot,
    received_at,
    row_number() over (
      partition by decision_id order by received_at desc, log_slot desc, log_offset desc
    ) as place
  from read_parquet($paths)
  where account_id = $account_id
    and received_at <= $until
    and decision_id <> 'erased'
    and kind = 'unmerge'
),
taken_back as (
  select distinct ranked.log_slot, ranked.received_at
  from ranked
  inner join ranked as latest
    on ranked.decision_id = latest.decision_id
  where latest.place = 1
    and latest.is_revoked
),
holding as (
  select identifier_a, identifier_b
  from ranked
  anti join taken_back using (log_slot, received_at)
  where place = 1
    and not is_revoked
)
select
  cast(identifier_a as varchar) as one,
  cast(identifier_b as varchar) as other
from holding
union all
select
  cast(identifier_b as varchar) as one,
  cast(identifier_a as varchar) as other
from holding
