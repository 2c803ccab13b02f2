-- One row per person who is in a lookalike, as the one known now: who was picked may have turned out
-- to be another one since. Sources: lookalike_picks, persons. Parameter: $audience_id.
select
  cast(persons.root_id as bigint) as person_id,
  cast(true as boolean) as is_in,
  cast(null as bigint) as due_s
from lookalike_picks as picks
inner join persons
  on picks.person_id = persons.person_id
where picks.audience_id = $audience_id
group by persons.root_id
