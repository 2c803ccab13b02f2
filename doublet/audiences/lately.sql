-- One row per audience of an account: how many members it has, and how many persons joined and left it
-- since a moment.
-- Sources: audience_members, audience_changes. Parameters: $account_id, $since_s (Unix seconds).
-- Who was in an audience when it was made has not joined it.
with
present as (
  select
    audience_id,
    count(*) as members,
    0 as joined,
    0 as departed
  from audience_members
  where account_id = $account_id
  group by audience_id
),
moved as (
  select
    audience_id,
    0 as members,
    count(*) filter (is_join) as joined,
    count(*) filter (not is_join) as departed
  from audience_changes
  where account_id = $account_id
    and changed_s >= $since_s
  group by audience_id
)
select
  cast(audience_id as varchar) as audience_id,
  cast(sum(members) as bigint) as members,
  cast(sum(joined) as bigint) as joined,
  cast(sum(departed) as bigint) as departed
from (
  select audience_id, members, joined, departed
  from present
  union all
  select audience_id, members, joined, departed
  from moved
) as together
group by audience_id
order by audience_id
