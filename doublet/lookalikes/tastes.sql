-- One row per person and item of $items (`items.sql`) that the person has shown interest in up to
-- $until_s; `place` counts the items from 0 in order of their names. Source: behaviours. Other
-- parameters as in `items.sql`.
with
chosen as (
  select item, row_number() over (order by item) - 1 as place
  from (select unnest($items) as item)
),
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
)
select
  cast(named.person_id as bigint) as person_id,
  cast(chosen.place as integer) as place,
  cast(count(chosen.place) as float) as times
from named
inner join chosen on named.kind || named.name = chosen.item
group by named.person_id, chosen.place
