-- One row per ad touch that was reported: a view, a click, or an ad left out for a holdout.
-- Key: event_key, the touch's. Source: the temporary table `reported`, the lake's rows by touch.
-- Of copies with one key the first received stands, on equal times the first in the log.
with
ranked as (
  select
    account_id,
    touch_key,
    received_at,
    kind,
    touched_at,
    platform,
    campaign_id,
    adset_id,
    ad_id,
    placement,
    click_id,
    experiment,
    cost,
    currency,
    log_slot,
    log_offset,
    row_number() over (
      partition by account_id, touch_key order by received_at, log_slot, log_offset
    ) as place
  from reported
  where not is_test
)
select
  cast(account_id as varchar) as account_id,
  cast('' as varchar) as pixel_id,
  cast(touch_key as bigint) as event_key,
  cast(received_at as timestamptz) as anchor_at,
  cast(null as bigint) as profile_key,
  cast('ad_log' as varchar) as origin,
  cast(kind as varchar) as kind,
  cast(floor(epoch(touched_at)) as bigint) as touched_time,
  cast(platform as varchar) as platform,
  cast(true as boolean) as is_ad,
  cast(click_id as varchar) as click_id,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(placement as varchar) as placement,
  cast(experiment as varchar) as experiment,
  cast(null as varchar) as utm_source,
  cast(null as varchar) as utm_medium,
  cast(null as varchar) as utm_campaign,
  cast(cost as decimal(18,4)) as cost,
  cast(currency as varchar) as currency,
  cast(log_slot as integer) as log_slot,
  cast(log_offset as bigint) as log_offset
from ranked
where place = 1
