-- One row per kind of identifier in a customer list: how many rows have one, and how many match by it.
-- Sources: list_identifiers, identifiers, withdrawn. Parameters: $account_id, $audience_id.
select
  cast(listed.kind as varchar) as kind,
  cast(count(distinct listed.entry_id) as bigint) as rows,
  cast(
    count(
      distinct case
        when identifiers.person_id is not null
          and not identifiers.is_shared
          and withdrawn.person_id is null
          then listed.entry_id
      end
    ) as bigint
  ) as matched
from list_identifiers as listed
left join identifiers
  on listed.identifier_key = identifiers.identifier_key
  and listed.account_id = identifiers.account_id
left join withdrawn
  on identifiers.person_id = withdrawn.person_id
where listed.account_id = $account_id
  and listed.audience_id = $audience_id
  and not listed.is_limited
  and listed.kind is not null
group by listed.kind
order by rows desc, kind
