-- One row per identifier of an account: whose it is, or that it is shared by too many to be one person's.
-- Key: identifier_key, a digest of account, kind and value; the value is in the events alone.
-- Sources: the temporary tables `made_identifiers` and `kinds`.
select
  cast(kinds.account_id as varchar) as account_id,
  cast(made.identifier_key as bigint) as identifier_key,
  cast(kinds.kind as varchar) as kind,
  cast(made.is_shared as boolean) as is_shared,
  cast(made.person_id as bigint) as person_id
from made_identifiers as made
inner join kinds
  on made.identifier_key = kinds.identifier_key
