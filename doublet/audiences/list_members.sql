-- One row per person who is in a customer list: whoever has an identifier of one of its rows, unless too
-- many share it. Sources: list_identifiers, identifiers. Parameters: $account_id, $audience_id.
select
  cast(identifiers.person_id as bigint) as person_id,
  cast(true as boolean) as is_in,
  cast(null as bigint) as due_s
from list_identifiers as listed
inner join identifiers
  on listed.identifier_key = identifiers.identifier_key
  and listed.account_id = identifiers.account_id
where listed.account_id = $account_id
  and listed.audience_id = $audience_id
  and not listed.is_limited
  and not identifiers.is_shared
  and identifiers.person_id is not null
group by identifiers.person_id
