-- One row per identifier of some persons, at most $limit of each: whose it is, its kind, and its key,
-- a digest of account, kind and value. Source: identifiers. Parameters: $account_id, $person_ids,
-- $limit.
with
numbered as (
  select
    person_id,
    kind,
    identifier_key,
    row_number() over (partition by person_id order by kind, identifier_key) as nth
  from identifiers
  where account_id = $account_id
    and list_contains($person_ids, person_id)
)
select
  cast(person_id as varchar) as person_id,
  cast(kind as varchar) as kind,
  cast(identifier_key as bigint) as identifier_key
from numbered
where nth <= $limit
order by person_id, kind, identifier_key
