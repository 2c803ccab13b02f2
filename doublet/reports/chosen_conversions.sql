-- One row per conversion that a report counts, with its value in the account's currency (`amount`,
-- null without a value or a rate). Sources: conversions, rates. Parameters: $account_id, $pixel_id (null:
-- all pixels), $event_names, $since and $until (Unix seconds, half-open; null: unbounded), $zone
-- (IANA name of the account's time zone, whose days count) and $first_only (only the first
-- conversion of its name after the touch that claims it: the last click of the last $click_s
-- seconds, otherwise the last engaged view of $engaged_view_s, otherwise the last view of $view_s;
-- what no touch claims always counts).
with
-- Without $first_only it holds nothing, so that nothing is sorted.
claimed as (
  select
    pixel_id,
    event_key,
    anchor_at,
    event_name,
    event_time,
    case
      when click_time > event_time - $click_s then click_key
      when ev_time > event_time - $engaged_view_s then ev_key
      when view_time > event_time - $view_s then view_key
    end as touch_key
  from conversions
  where $first_only
    and account_id = $account_id
    and list_contains($event_names, event_name)
    and ($pixel_id is null or pixel_id = $pixel_id)
    and ($until is null or event_time < $until)
),
firsts as (
  select
    pixel_id,
    event_key,
    anchor_at,
    row_number() over (
      partition by event_name, touch_key
      order by event_time, event_key, anchor_at, pixel_id
    ) as nth
  from claimed
  where touch_key is not null
)
select
  cast(conversions.pixel_id as varchar) as pixel_id,
  cast(conversions.event_key as bigint) as event_key,
  cast(conversions.anchor_at as timestamptz) as anchor_at,
  cast(conversions.event_name as varchar) as event_name,
  cast(conversions.event_time as bigint) as event_time,
  cast(to_timestamp(conversions.event_time) at time zone $zone as date) as day,
  cast(conversions.person_id as bigint) as person_id,
  cast(conversions.frozen_s as bigint) as frozen_s,
  cast(conversions.value as decimal(18, 4)) as value,
  cast(conversions.currency as varchar) as currency,
  cast(
    conversions.value * rates.rate as decimal(38, 4)
  ) as amount,
  cast(conversions.order_id as varchar) as order_id,
  cast(conversions.browser_copies as integer) as browser_copies,
  cast(conversions.server_copies as integer) as server_copies,
  cast(conversions.click_time as bigint) as click_time,
  cast(conversions.click_key as bigint) as click_key,
  cast(conversions.click_campaign_id as varchar) as click_campaign_id,
  cast(conversions.click_adset_id as varchar) as click_adset_id,
  cast(conversions.click_ad_id as varchar) as click_ad_id,
  cast(conversions.click_platform as varchar) as click_platform,
  cast(conversions.click_channel as varchar) as click_channel,
  cast(conversions.ev_time as bigint) as ev_time,
  cast(conversions.ev_key as bigint) as ev_key,
  cast(conversions.ev_campaign_id as varchar) as ev_campaign_id,
  cast(conversions.ev_adset_id as varchar) as ev_adset_id,
  cast(conversions.ev_ad_id as varchar) as ev_ad_id,
  cast(conversions.ev_platform as varchar) as ev_platform,
  cast(conversions.ev_channel as varchar) as ev_channel,
  cast(conversions.view_time as bigint) as view_time,
  cast(conversions.view_key as bigint) as view_key,
  cast(conversions.view_campaign_id as varchar) as view_campaign_id,
  cast(conversions.view_adset_id as varchar) as view_adset_id,
  cast(conversions.view_ad_id as varchar) as view_ad_id,
  cast(conversions.view_platform as varchar) as view_platform,
  cast(conversions.view_channel as varchar) as view_channel
from conversions
left join rates
  on rates.currency = conversions.currency
  and cast(to_timestamp(conversions.event_time) at time zone $zone as date) >= rates.first_day
  and cast(to_timestamp(conversions.event_time) at time zone $zone as date) <= rates.last_day
left join firsts
  on firsts.pixel_id = conversions.pixel_id
  and firsts.event_key = conversions.event_key
  and firsts.anchor_at = conversions.anchor_at
where conversions.account_id = $account_id
  and list_contains($event_names, conversions.event_name)
  and ($pixel_id is null or conversions.pixel_id = $pixel_id)
  and ($since is null or conversions.event_time >= $since)
  and ($until is null or conversions.event_time < $until)
  and (firsts.nth is null or firsts.nth = 1)
