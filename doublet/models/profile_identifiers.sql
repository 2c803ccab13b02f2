-- One row per profile and identifier that it holds.
-- Key: (profile_key, identifier_key). Source: the temporary table `new_identifiers`.
select
  cast(account_id as varchar) as account_id,
  cast(profile_key as bigint) as profile_key,
  cast(identifier_key as bigint) as identifier_key,
  cast(is_variant as boolean) as is_variant
from new_identifiers
