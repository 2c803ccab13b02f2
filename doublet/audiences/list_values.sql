-- One row per person in a customer list whose rows bear values: what they are worth together.
-- Sources: list_identifiers, identifiers. Parameters: $account_id, $audience_id.
-- A row counts once for a person, however many of its identifiers are the person's.
with
valued as (
  select distinct
    identifiers.person_id,
    listed.entry_id,
    listed.value
  from list_identifiers as listed
  inner join identifiers
    on listed.identifier_key = identifiers.identifier_key
    and listed.account_id = identifiers.account_id
  where listed.account_id = $account_id
    and listed.audience_id = $audience_id
    and not listed.is_limited
    and listed.value is not null
    and not identifiers.is_shared
    and identifiers.person_id is not null
)
select
  cast(person_id as bigint) as person_id,
  cast(sum(value) as double) as value
from valued
group by person_id
