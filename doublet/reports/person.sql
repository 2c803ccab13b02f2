-- One row per person that has one of the given identifiers. Sources: identifiers, persons, profiles,
-- record_profiles, touchpoints, conversions. Parameters: $account_id, $keys (identifier_key).
with
wanted as (
  select distinct
    person_id
  from identifiers
  where account_id = $account_id
    and list_contains($keys, identifier_key)
    and person_id is not null
),
held as (
  select
    person_id,
    kind,
    count(*) as identifiers
  from identifiers
  where person_id in (select person_id from wanted)
  group by person_id, kind
)
select
  cast(persons.person_id as varchar) as person_id,
  cast(
    (
      select min(known.first_at) from persons as known where known.root_id = persons.person_id
    ) as timestamptz
  ) as first_at,
  cast(
    (
      select count(*) - 1 from persons as known where known.root_id = persons.person_id
    ) as bigint
  ) as merged_persons,
  cast(
    (
      select array_to_string(list_sort(list(held.identifiers || ' ' || held.kind)), ', ')
      from held
      where held.person_id = persons.person_id
    ) as varchar
  ) as identifiers,
  cast(
    (
      select count(*)
      from record_profiles
      inner join profiles using (profile_key)
      where profiles.root_id = persons.person_id
    ) as bigint
  ) as records,
  cast(
    (
      select count(*)
      from touchpoints
      where touchpoints.person_id = persons.person_id
    ) as bigint
  ) as touchpoints,
  cast(
    (
      select count(*)
      from conversions
      inner join profiles using (profile_key)
      where profiles.root_id = persons.person_id
    ) as bigint
  ) as conversions
from persons
where persons.person_id in (select person_id from wanted)
order by persons.person_id
