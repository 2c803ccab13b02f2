-- One row per content id that events name and the feed does not know, the most frequent first.
-- Key: content_id. Source: `behaviours`; $product_ids and $group_ids are the ids of the feed.
-- `is_group` says that the id is known, but as that of a group of products, while the events do not
-- say that they name groups.
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
    count(*) as events,
    max(event_time) as last_time
  from behaviours
  where account_id = $account_id
    and event_time >= $since_s
    and event_time < $until_s
    and len(content_ids) > 0
  group by all
),
single as (
  select
    event_name,
    unnest(list_distinct(ids)) as id,
    names_groups,
    events,
    last_time
  from told
)
select
  cast(single.id as varchar) as content_id,
  cast(sum(single.events) as bigint) as events,
  cast(list_sort(list(distinct single.event_name)) as varchar[]) as event_names,
  cast(max(single.last_time) as bigint) as last_time,
  cast(bool_or(groups.id is not null) as boolean) as is_group
from single
left join products
  on single.id = products.id
left join groups
  on single.id = groups.id
where products.id is null
  and not (single.names_groups and groups.id is not null)
  and coalesce(trim(single.id), '') <> ''
group by single.id
order by events desc, content_id
limit $limit
