-- One row per conversion that a report counts, with its value in the account's currency (`amount`,
-- null without a value or a rate). Source: conversions. Parameters: $account_id, $pixel_id (null:
-- all pixels), $event_names, $since and $until (Unix seconds, half-open; null: unbounded), $zone
-- (IANA name of the account's time zone, whose days count), $first_only (only the first conversion
-- of a person after one and the same touch), and the exchange rates as lists of equal length:
-- $rate_currencies, $rate_firsts and $rate_lasts (days, both included), $rates.
with
rates as (
  select
    unnest($rate_currencies) as currency,
    unnest($rate_firsts) as first_day,
    unnest($rate_lasts) as last_day,
    unnest($rates) as rate
),
numbered as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    event_time,
    person_id,
    frozen_s,
    value,
    currency,
    order_id,
    browser_copies,
    server_copies,
    click_time,
    click_key,
    click_campaign_id,
    click_adset_id,
    click_ad_id,
    click_platform,
    click_channel,
    ev_time,
    ev_key,
    ev_campaign_id,
    ev_adset_id,
    ev_ad_id,
    ev_platform,
    ev_channel,
    view_time,
    view_key,
    view_campaign_id,
    view_adset_id,
    view_ad_id,
    view_platform,
    view_channel,
    cast(to_timestamp(event_time) at time zone $zone as date) as day,
    case when person_id is not null then
      row_number() over (
        partition by person_id, event_name, coalesce(click_key, ev_key, view_key)
        order by event_time, event_key, anchor_at, pixel_id
      )
    end as nth
  from conversions
  where account_id = $account_id
    and list_contains($event_names, event_name)
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($until is null or event_time < $until)
)
select
  cast(numbered.pixel_id as varchar) as pixel_id,
  cast(numbered.event_key as bigint) as event_key,
  cast(numbered.anchor_at as timestamptz) as anchor_at,
  cast(numbered.event_name as varchar) as event_name,
  cast(numbered.event_time as bigint) as event_time,
  cast(numbered.day as date) as day,
  cast(numbered.person_id as bigint) as person_id,
  cast(numbered.frozen_s as bigint) as frozen_s,
  cast(numbered.value as decimal(18, 4)) as value,
  cast(numbered.currency as varchar) as currency,
  cast(
    numbered.value * cast(rates.rate as decimal(19, 10)) as decimal(38, 4)
  ) as amount,
  cast(numbered.order_id as varchar) as order_id,
  cast(numbered.browser_copies as integer) as browser_copies,
  cast(numbered.server_copies as integer) as server_copies,
  cast(numbered.click_time as bigint) as click_time,
  cast(numbered.click_key as bigint) as click_key,
  cast(numbered.click_campaign_id as varchar) as click_campaign_id,
  cast(numbered.click_adset_id as varchar) as click_adset_id,
  cast(numbered.click_ad_id as varchar) as click_ad_id,
  cast(numbered.click_platform as varchar) as click_platform,
  cast(numbered.click_channel as varchar) as click_channel,
  cast(numbered.ev_time as bigint) as ev_time,
  cast(numbered.ev_key as bigint) as ev_key,
  cast(numbered.ev_campaign_id as varchar) as ev_campaign_id,
  cast(numbered.ev_adset_id as varchar) as ev_adset_id,
  cast(numbered.ev_ad_id as varchar) as ev_ad_id,
  cast(numbered.ev_platform as varchar) as ev_platform,
  cast(numbered.ev_channel as varchar) as ev_channel,
  cast(numbered.view_time as bigint) as view_time,
  cast(numbered.view_key as bigint) as view_key,
  cast(numbered.view_campaign_id as varchar) as view_campaign_id,
  cast(numbered.view_adset_id as varchar) as view_adset_id,
  cast(numbered.view_ad_id as varchar) as view_ad_id,
  cast(numbered.view_platform as varchar) as view_platform,
  cast(numbered.view_channel as varchar) as view_channel
from numbered
left join rates
  on rates.currency = numbered.currency
  and numbered.day >= rates.first_day
  and numbered.day <= rates.last_day
where ($since is null or numbered.event_time >= $since)
  and (not $first_only or numbered.nth is null or numbered.nth = 1)
