-- One row per person and id that it has had: from when to when, in Unix seconds.
-- Key: (person_id, root_id). Sources: the temporary tables `made_spans` and `kinds`.
select
  cast(kinds.account_id as varchar) as account_id,
  cast(made.person_id as bigint) as person_id,
  cast(made.root_id as bigint) as root_id,
  cast(made.since_s as bigint) as since_s,
  cast(made.until_s as bigint) as until_s
from made_spans as made
inner join kinds
  on made.person_id = kinds.identifier_key
