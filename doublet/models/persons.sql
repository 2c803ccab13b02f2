-- One row per person, those included that turned out to be another one: who that is, when that was found
-- out and by which profile.
-- Key: person_id, the first identifier of the person's first profile. Sources: the temporary tables
-- `made_persons` and `kinds`.
select
  cast(kinds.account_id as varchar) as account_id,
  cast(made.person_id as bigint) as person_id,
  cast(made.root_id as bigint) as root_id,
  cast(make_timestamptz(made.first_us) as timestamptz) as first_at,
  cast(made.merged_into as bigint) as merged_into,
  cast(make_timestamptz(made.merged_us) as timestamptz) as merged_at,
  cast(made.merged_by as bigint) as merged_by
from made_persons as made
inner join kinds
  on made.person_id = kinds.identifier_key
