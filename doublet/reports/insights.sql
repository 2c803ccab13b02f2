-- One row per period, hour, ad, platform, placement, kind of conversion and bucket: how many
-- conversions have their last touch of the bucket's kind with the ad, and their value in the
-- account's currency (without what no rate converts). Sources: conversions, whose clicks, engaged
-- views and views are the last of each kind before it, and rates.
-- An id is null where the touch names none. Ids finer than $finest (0 account, 1 campaign, 2 ad set,
-- 3 ad) are null unless the coarser one is, so that what knows the ad can tell it; with $campaign_id,
-- $adset_id and $ad_id only rows that may be of these.
-- Buckets: the last click within 1 day; 2 within 7; 3 within 28; 4 an engaged view that no click
-- younger than $click_s beats; 5 a view that neither such a click nor an engaged view younger than
-- $engaged_s beats. With $by_person there is a row per person. Periods: parallel lists $periods,
-- $days, $hours, $since_s and $until_s (Unix seconds, quarters of an hour); $from_s and $to_s bound
-- all that is read.
-- doublet.reports.insights leaves out the parts that it does not need. `first`: only the first
-- conversion of its kind after a touch counts. `custom`: events count under the custom conversions in
-- matched, too; those that are no conversions are in others; custom_id is null for events; unvalued
-- are conversions without a value of their own.
with
spans as (
  select
    unnest(cast($periods as integer[])) as period,
    unnest(cast($days as date[])) as day,
    unnest(cast($hours as integer[])) as hour,
    unnest(cast($since_s as bigint[])) as since_s,
    unnest(cast($until_s as bigint[])) as until_s
),
quarters as (
  select period, day, hour, unnest(range(since_s // 900, until_s // 900)) as quarter
  from spans
),
-- begin matched
matched as (
  select
    cast(null as varchar) as custom_id,
    cast(null as varchar) as pixel_id,
    cast(null as bigint) as event_key,
    cast(null as timestamptz) as anchor_at
  where false
),
others as (
  select conversions.*
  from conversions
  where false
),
-- end matched
counted as not materialized (
  select cast(null as varchar) as custom_id, conversions.*
  from conversions
  where account_id = $account_id
    and event_time >= $from_s
    and event_time < $to_s
    and (cast($events as varchar[]) is null or list_contains($events, event_name))
  -- begin custom
  union all
  select matched.custom_id, conversions.*
  from matched
  inner join conversions
    on conversions.pixel_id = matched.pixel_id
    and conversions.event_key = matched.event_key
    and conversions.anchor_at = matched.anchor_at
  where conversions.account_id = $account_id
  union all
  select matched.custom_id, others.*
  from matched
  inner join others
    on others.pixel_id = matched.pixel_id
    and others.event_key = matched.event_key
    and others.anchor_at = matched.anchor_at
  -- end custom
),
credits as not materialized (
  select
    case
      when event_time - click_time < 86400 then 1
      when event_time - click_time < 604800 then 2
      else 3
    end as bucket,
    click_key as touch_key,
    click_campaign_id as campaign_id,
    click_adset_id as adset_id,
    click_ad_id as ad_id,
    click_platform as platform,
    click_placement as placement,
    custom_id,
    event_name,
    action_source,
    event_time,
    event_key,
    person_id,
    value,
    currency
  from counted
  where event_time - click_time < 2419200
  union all
  select
    4,
    ev_key,
    ev_campaign_id,
    ev_adset_id,
    ev_ad_id,
    ev_platform,
    ev_placement,
    custom_id,
    event_name,
    action_source,
    event_time,
    event_key,
    person_id,
    value,
    currency
  from counted
  where event_time - ev_time < 86400
    and not coalesce(event_time - click_time < $click_s, false)
  union all
  select
    5,
    view_key,
    view_campaign_id,
    view_adset_id,
    view_ad_id,
    view_platform,
    view_placement,
    custom_id,
    event_name,
    action_source,
    event_time,
    event_key,
    person_id,
    value,
    currency
  from counted
  where event_time - view_time < 86400
    and not coalesce(event_time - click_time < $click_s, false)
    and not coalesce(event_time - ev_time < $engaged_s, false)
),
-- begin first
firsts as (
  select
    greatest(bucket, 3) as kind,
    touch_key,
    custom_id,
    event_name,
    min(struct_pack(event_time := event_time, event_key := event_key)) as first_event
  from credits
  group by greatest(bucket, 3), touch_key, custom_id, event_name
),
-- end first
summed as (
  select
    quarters.period,
    quarters.hour,
    case when $finest >= 1 then credits.campaign_id end as campaign_id,
    case
      when $finest >= 2 or ($finest = 1 and credits.campaign_id is null) then credits.adset_id
    end as adset_id,
    case
      when $finest = 3
        or ($finest = 2 and credits.adset_id is null)
        or ($finest = 1 and credits.campaign_id is null)
        then credits.ad_id
    end as ad_id,
    case when $by_platform then credits.platform end as platform,
    case when $by_placement then credits.placement end as placement,
    credits.event_name,
    credits.custom_id,
    credits.action_source,
    credits.bucket,
    case when $by_person then credits.person_id end as person_id,
    count(*) as events,
    count(*) - count(credits.value) as unvalued,
    sum(cast(credits.value * rates.rate as decimal(38, 4))) as value
  from credits
  inner join quarters
    on quarters.quarter = credits.event_time // 900
  left join rates
    on rates.currency = credits.currency
    and quarters.day between rates.first_day and rates.last_day
  -- begin first
  inner join firsts
    on firsts.touch_key = credits.touch_key
    and firsts.kind = greatest(credits.bucket, 3)
    and firsts.event_name = credits.event_name
    and firsts.custom_id is not distinct from credits.custom_id
    and firsts.first_event = struct_pack(
      event_time := credits.event_time, event_key := credits.event_key
    )
  -- end first
  where (
      $campaign_id is null
      or credits.campaign_id = $campaign_id
      or credits.campaign_id is null
    )
    and ($adset_id is null or credits.adset_id = $adset_id or credits.adset_id is null)
    and ($ad_id is null or credits.ad_id = $ad_id)
  group by
    quarters.period,
    quarters.hour,
    case when $finest >= 1 then credits.campaign_id end,
    case
      when $finest >= 2 or ($finest = 1 and credits.campaign_id is null) then credits.adset_id
    end,
    case
      when $finest = 3
        or ($finest = 2 and credits.adset_id is null)
        or ($finest = 1 and credits.campaign_id is null)
        then credits.ad_id
    end,
    case when $by_platform then credits.platform end,
    case when $by_placement then credits.placement end,
    credits.event_name,
    credits.custom_id,
    credits.action_source,
    credits.bucket,
    case when $by_person then credits.person_id end
)
select
  cast(period as integer) as period,
  cast(hour as integer) as hour,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(platform as varchar) as platform,
  cast(placement as varchar) as placement,
  cast(event_name as varchar) as event_name,
  cast(custom_id as varchar) as custom_id,
  cast(
    case
      when action_source is null or action_source = 'website' then 'web'
      when action_source = 'app' then 'app'
      when action_source = 'physical_store' then 'store'
      else 'other'
    end as varchar
  ) as channel,
  cast(bucket as integer) as bucket,
  cast(person_id as bigint) as person_id,
  cast(events as bigint) as events,
  cast(unvalued as bigint) as unvalued,
  cast(value as decimal(38, 4)) as value
from summed
