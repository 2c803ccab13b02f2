-- One row per person of $persons with what the person did in the $lookback_s seconds up to $until_s:
-- recency, frequency, money, kinds of events by window, days, hours, devices, prices. Later events are
-- not looked at, and who has none is not there. Source: behaviours. Other parameter: $account_id. Ages
-- are in days; who never did a thing has the whole lookback as its age; `view_price` is 0 where no
-- price was seen.
with
done as (
  select
    person_id,
    ($until_s - event_time) / 86400.0 as age,
    cast(floor(($until_s - event_time) / 86400) as bigint) as day,
    cast(floor(event_time / 3600) % 24 as bigint) as hour,
    case event_name
      when 'PageView' then 1
      when 'ViewContent' then 2
      when 'ViewCategory' then 3
      when 'Search' then 4
      when 'AddToWishlist' then 5
      when 'AddToCart' then 6
      when 'InitiateCheckout' then 7
      when 'AddPaymentInfo' then 8
      when 'Purchase' then 9
      when 'Lead' then 10
      when 'CompleteRegistration' then 11
      when 'Subscribe' then 12
      else 0
    end as kind,
    case when value > 0 then value end as price,
    coalesce(quantity, num_items) as items,
    device_type,
    action_source
  from behaviours
  where account_id = $account_id
    and person_id in (select unnest($persons))
    and event_time > $until_s - $lookback_s
    and event_time <= $until_s
    and not list_contains($ignored, event_name)
)
select
  cast(person_id as bigint) as person_id,
  cast(max(age) as float) as first_age,
  cast(min(age) as float) as recency,
  cast(count(age) as float) as events,
  cast(count(case when age < 1 then 1 end) as float) as events_1d,
  cast(count(case when age < 7 then 1 end) as float) as events_7d,
  cast(count(case when age < 30 then 1 end) as float) as events_30d,
  cast(
    cast(
      bit_count(bit_or(case when day < 60 then cast(1 as bigint) << day else 0 end)) as integer
    ) + cast(
      bit_count(
        bit_or(case when day >= 60 and day < 120 then cast(1 as bigint) << (day - 60) else 0 end)
      ) as integer
    ) + cast(
      bit_count(
        bit_or(case when day >= 120 and day < 180 then cast(1 as bigint) << (day - 120) else 0 end)
      ) as integer
    ) as float
  ) as days,
  cast(
    bit_count(bit_or(case when day < 14 then cast(1 as bigint) << day else 0 end)) as float
  ) as days_14d,
  cast(bit_count(bit_or(cast(1 as bigint) << hour)) as float) as hours,
  cast(avg(case when hour >= 6 and hour < 18 then 1.0 else 0.0 end) as float) as daytime_share,
  cast(avg(case when device_type like 'mobile%' then 1.0 else 0.0 end) as float) as mobile_share,
  cast(
    avg(case when action_source = 'website' then 1.0 else 0.0 end) as float
  ) as website_share,
  cast(count(case when kind = 1 then 1 end) as float) as pages,
  cast(count(case when kind = 2 then 1 end) as float) as views,
  cast(count(case when kind = 2 and age < 7 then 1 end) as float) as views_7d,
  cast(min(case when kind = 2 then age else $lookback_s / 86400.0 end) as float) as view_age,
  cast(
    coalesce(
      cast(sum(case when kind = 2 then price end) as double) / count(case when kind = 2 then price end),
      0
    ) as float
  ) as view_price,
  cast(count(case when kind = 3 then 1 end) as float) as categories,
  cast(count(case when kind = 4 then 1 end) as float) as searches,
  cast(count(case when kind = 5 then 1 end) as float) as wishes,
  cast(count(case when kind = 6 then 1 end) as float) as carts,
  cast(count(case when kind = 6 and age < 7 then 1 end) as float) as carts_7d,
  cast(min(case when kind = 6 then age else $lookback_s / 86400.0 end) as float) as cart_age,
  cast(count(case when kind = 7 then 1 end) as float) as checkouts,
  cast(min(case when kind = 7 then age else $lookback_s / 86400.0 end) as float) as checkout_age,
  cast(count(case when kind = 8 then 1 end) as float) as payments,
  cast(count(case when kind = 9 then 1 end) as float) as purchases,
  cast(count(case when kind = 9 and age < 30 then 1 end) as float) as purchases_30d,
  cast(min(case when kind = 9 then age else $lookback_s / 86400.0 end) as float) as purchase_age,
  cast(sum(case when kind = 9 then price else 0 end) as float) as spent,
  cast(max(case when kind = 9 then price else 0 end) as float) as spent_most,
  cast(sum(case when kind = 9 then items else 0 end) as float) as items_bought,
  cast(count(case when kind = 10 then 1 end) as float) as leads,
  cast(count(case when kind = 11 then 1 end) as float) as registrations,
  cast(count(case when kind = 12 then 1 end) as float) as subscriptions,
  cast(count(case when kind = 0 then 1 end) as float) as other_events
from done
group by person_id
order by person_id
