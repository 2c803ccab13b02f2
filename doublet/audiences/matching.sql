-- One row per customer list that has rows (none for an empty one): how many match, and why others do not.
-- Sources: list_identifiers, identifiers, withdrawn, withdrawals. Parameters: $account_id, $audience_id.
-- A row counts once, by the best of its identifiers: matched, otherwise of somebody who withdrew
-- consent (or who was only ever seen denying it), otherwise shared by too many, otherwise unknown.
with
denied as (
  select distinct
    identifier_key
  from withdrawals
  where account_id = $account_id
),
known as (
  select
    listed.entry_id,
    listed.is_limited,
    listed.identifier_key,
    case when not identifiers.is_shared then identifiers.person_id end as person_id,
    coalesce(identifiers.is_shared, false) as is_shared,
    withdrawn.person_id is not null
    or (identifiers.identifier_key is null and denied.identifier_key is not null) as is_withdrawn
  from list_identifiers as listed
  left join identifiers
    on listed.identifier_key = identifiers.identifier_key
    and listed.account_id = identifiers.account_id
  left join withdrawn
    on identifiers.person_id = withdrawn.person_id
    and not identifiers.is_shared
  left join denied
    on listed.identifier_key = denied.identifier_key
  where listed.account_id = $account_id
    and listed.audience_id = $audience_id
),
judged as (
  select
    entry_id,
    case
      when bool_or(is_limited) then 'limited'
      when count(identifier_key) = 0 then 'no_key'
      when bool_or(person_id is not null and not is_withdrawn) then 'matched'
      when bool_or(is_withdrawn) then 'opted_out'
      when bool_or(is_shared) then 'shared'
      else 'unknown'
    end as verdict
  from known
  group by entry_id
)
select
  cast(count(*) as bigint) as rows,
  cast(count(case when verdict = 'matched' then 1 end) as bigint) as matched,
  cast(count(case when verdict = 'limited' then 1 end) as bigint) as limited,
  cast(count(case when verdict = 'no_key' then 1 end) as bigint) as no_key,
  cast(count(case when verdict = 'opted_out' then 1 end) as bigint) as opted_out,
  cast(count(case when verdict = 'shared' then 1 end) as bigint) as shared,
  cast(count(case when verdict = 'unknown' then 1 end) as bigint) as unknown,
  cast(
    (select count(distinct person_id) from known where not is_limited and not is_withdrawn)
    as bigint
  ) as persons
from judged
having count(*) > 0
