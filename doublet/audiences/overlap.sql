-- One row per other audience of the account that shares members with one: how many members it has, and
-- how many they share, most first.
-- Source: audience_members. Parameters: $account_id, $audience_id.
with
sizes as (
  select
    audience_id,
    count(*) as members
  from audience_members
  where account_id = $account_id
  group by audience_id
),
shared as (
  select
    others.audience_id,
    count(*) as shared
  from audience_members as mine
  inner join audience_members as others
    on mine.person_id = others.person_id
  where mine.audience_id = $audience_id
    and others.audience_id <> $audience_id
    and others.account_id = $account_id
  group by others.audience_id
)
select
  cast(shared.audience_id as varchar) as audience_id,
  cast(sizes.members as bigint) as members,
  cast(shared.shared as bigint) as shared
from shared
inner join sizes
  on shared.audience_id = sizes.audience_id
order by shared.shared desc, shared.audience_id
