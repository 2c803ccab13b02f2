-- One row per set of identifiers that records carry together, with the person that it belonged to when it
-- was first received, and the one that this person is now.
-- Key: profile_key. Sources: the temporary tables `made_profiles` and `accounts`.
-- A profile of shared identifiers alone is nobody's.
select
  cast(accounts.account_id as varchar) as account_id,
  cast(made.profile_key as bigint) as profile_key,
  cast(make_timestamptz(made.first_us) as timestamptz) as first_at,
  cast(made.person_id as bigint) as person_id,
  cast(made.root_id as bigint) as root_id
from made_profiles as made
inner join accounts
  on made.profile_key = accounts.profile_key
