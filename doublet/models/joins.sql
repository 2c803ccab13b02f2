-- One row per chain whose copies belong to another chain's event.
-- Key: (pixel_id, event_key, chain_at). Sources: the temporary tables `groups` (each chain whose
-- place is looked at anew, with the chain that it shares an order with, otherwise itself) and
-- `fallback_joins`.
-- (group_key, group_at) names the first chain of the order, (root_key, root_at) the event.
select
  cast(groups.pixel_id as varchar) as pixel_id,
  cast(groups.event_key as bigint) as event_key,
  cast(groups.chain_at as timestamptz) as chain_at,
  cast(
    case
      when groups.event_key <> groups.group_key or groups.chain_at <> groups.group_at
        then 'order_id'
      else fallback_joins.rule
    end as varchar
  ) as rule,
  cast(groups.group_key as bigint) as group_key,
  cast(groups.group_at as timestamptz) as group_at,
  cast(coalesce(fallback_joins.root_key, groups.group_key) as bigint) as root_key,
  cast(coalesce(fallback_joins.root_at, groups.group_at) as timestamptz) as root_at
from groups
left join fallback_joins
  on groups.pixel_id = fallback_joins.pixel_id
  and groups.group_key = fallback_joins.group_key
  and groups.group_at = fallback_joins.group_at
where fallback_joins.root_key is not null
  or groups.event_key <> groups.group_key
  or groups.chain_at <> groups.group_at
