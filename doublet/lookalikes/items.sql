-- One row per thing that at least $persons_min of $persons have shown interest in, the best known
-- first, at most $items_max: products, categories, pages (where no product is named) and events of the
-- shop's own. Source: behaviours. Other parameters: $account_id, $until_s, $lookback_s. `item` is the
-- kind and the name.
with
named as (
  select person_id, 'product ' as kind, unnest(content_ids) as name
  from behaviours
  where account_id = $account_id
    and person_id in (select unnest($persons))
    and event_time > $until_s - $lookback_s
    and event_time <= $until_s
    and not list_contains($ignored, event_name)
    and content_ids is not null
  union all
  select person_id, 'category ' as kind, content_category as name
  from behaviours
  where account_id = $account_id
    and person_id in (select unnest($persons))
    and event_time > $until_s - $lookback_s
    and event_time <= $until_s
    and not list_contains($ignored, event_name)
    and content_category is not null
  union all
  select person_id, 'page ' as kind, path as name
  from behaviours
  where account_id = $account_id
    and person_id in (select unnest($persons))
    and event_time > $until_s - $lookback_s
    and event_time <= $until_s
    and not list_contains($ignored, event_name)
    and content_ids is null
    and path is not null
  union all
  select person_id, 'event ' as kind, event_name as name
  from behaviours
  where account_id = $account_id
    and person_id in (select unnest($persons))
    and event_time > $until_s - $lookback_s
    and event_time <= $until_s
    and not list_contains($ignored, event_name)
    and event_name not in (
      'PageView', 'ViewContent', 'ViewCategory', 'Search', 'AddToWishlist', 'AddToCart',
      'InitiateCheckout', 'AddPaymentInfo', 'Purchase', 'Lead', 'CompleteRegistration', 'Subscribe'
    )
),
liked as (
  select person_id, kind, name
  from named
  group by person_id, kind, name
)
select
  cast(kind || name as varchar) as item,
  cast(count(person_id) as bigint) as persons
from liked
group by kind, name
having count(person_id) >= $persons_min
order by persons desc, item
limit $items_max
