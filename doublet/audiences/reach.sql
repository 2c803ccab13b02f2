-- One row per kind of identifier: by how many members of an audience one is known.
-- Sources: audience_members, identifiers. Parameter: $audience_id.
-- An identifier that many people share is nobody's.
select
  cast(identifiers.kind as varchar) as kind,
  cast(count(distinct members.person_id) as bigint) as members
from audience_members as members
inner join identifiers
  on members.person_id = identifiers.person_id
where members.audience_id = $audience_id
  and not identifiers.is_shared
group by identifiers.kind
order by members desc, kind
