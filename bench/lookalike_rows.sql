-- One row per behaviour of $persons persons, made at random: on average $mean each in 180 days up to
-- $now_s, of an account. 2,000 products in 50 categories, of which each person prefers one.
with
persons as (
  select range as number, random() as draw, (range * 7919) % 50 as taste
  from range($persons)
),
visits as (
  select number, taste, unnest(range(cast(round(0.5 - ln(1 - draw) * ($mean - 0.5)) as bigint)))
  from persons
),
steps as (
  select
    number,
    taste,
    random() as what,
    cast($now_s - random() * 15552000 as bigint) as event_time,
    case
      when random() < 0.6 then taste * 40 + cast(floor(random() * 40) as bigint)
      else cast(floor(random() * 2000) as bigint)
    end as item
  from visits
),
named as (
  select
    number,
    event_time,
    item,
    case
      when what < 0.45 then 'PageView'
      when what < 0.85 then 'ViewContent'
      when what < 0.94 then 'AddToCart'
      when what < 0.97 then 'InitiateCheckout'
      else 'Purchase'
    end as event_name
  from steps
)
insert into behaviours
select
  $account as account_id,
  '1' as pixel_id,
  row_number() over () as event_key,
  to_timestamp(event_time) as anchor_at,
  number as profile_key,
  number * 1000003 + 17 as person_id,
  event_name,
  event_time,
  'website' as action_source,
  null as event_source_url,
  'shop.example' as domain,
  case
    when event_name = 'PageView' then '/'
    when event_name = 'ViewContent' then '/products/' || item
    else '/cart'
  end as path,
  case when number % 3 = 0 then 'desktop' else 'mobile_iphone' end as device_type,
  case when event_name <> 'PageView' then cast(10 + item % 90 as decimal(18, 4)) end as value,
  'USD' as currency,
  null as order_id,
  case when event_name <> 'PageView' then ['p' || item] end as content_ids,
  'product' as content_type,
  case when event_name <> 'PageView' then 'c' || (item // 40) end as content_category,
  null as content_name,
  1.0 as num_items,
  1.0 as quantity,
  sha256(case when number % 10 = 0 then 'de' else 'us' end) as country,
  '{}' as custom_data
from named
