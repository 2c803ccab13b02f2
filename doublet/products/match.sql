-- One row per event name whose events name products, or should: how many of them name products that
-- the feed knows.
-- Key: event_name. Source: `behaviours`; $product_ids and $group_ids are the ids of the feed.
-- An id of a group counts as known where content_type says that the event names groups.
with
products as (
  select unnest($product_ids) as id
),
groups as (
  select unnest($group_ids) as id
),
told as (
  select
    event_name,
    content_ids as ids,
    coalesce(content_type, '') = 'product_group' as names_groups,
    count(*) as events
  from behaviours
  where account_id = $account_id
    and event_time >= $since_s
    and event_time < $until_s
  group by all
),
numbered as (
  select
    event_name,
    ids,
    names_groups,
    events,
    row_number() over () as number
  from told
),
single as (
  select
    number,
    names_groups,
    unnest(list_distinct(ids)) as id
  from numbered
  where len(ids) > 0
),
judged as (
  select
    single.number,
    count(*) as named,
    count(*) filter (
      products.id is not null or (single.names_groups and groups.id is not null)
    ) as known,
    count(*) filter (
      products.id is null and groups.id is not null and not single.names_groups
    ) as of_groups
  from single
  left join products
    on single.id = products.id
  left join groups
    on single.id = groups.id
  where trim(single.id) <> ''
  group by single.number
)
select
  cast(told.event_name as varchar) as event_name,
  cast(sum(told.events) as bigint) as events,
  cast(coalesce(sum(told.events) filter (judged.named is null), 0) as bigint) as without_ids,
  cast(coalesce(sum(told.events) filter (judged.known = judged.named), 0) as bigint) as all_known,
  cast(
    coalesce(
      sum(told.events) filter (judged.known > 0 and judged.known < judged.named),
      0
    ) as bigint
  ) as some_known,
  cast(coalesce(sum(told.events) filter (judged.known = 0), 0) as bigint) as none_known,
  cast(coalesce(sum(told.events) filter (judged.of_groups > 0), 0) as bigint) as of_groups
from numbered as told
left join judged
  on told.number = judged.number
group by told.event_name
having bool_or(judged.named is not null) or list_contains($product_events, told.event_name)
order by events desc, event_name
