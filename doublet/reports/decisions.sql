-- One row per decision of an operator that persons be kept apart. Source: decisions.
-- Parameter: $account_id. Identifiers are shown by kind alone.
select
  cast(decision_id as varchar) as decision_id,
  cast(kind as varchar) as kind,
  cast(kind_a as varchar) as identifier_a,
  cast(kind_b as varchar) as identifier_b,
  cast(reason as varchar) as reason,
  cast(is_revoked as boolean) as is_revoked,
  cast(decided_at as timestamptz) as decided_at
from decisions
where account_id = $account_id
order by decided_at desc, decision_id
