-- One row per touch that may claim an event: those of its person inside the longest windows (clicks
-- 28 days, engaged views 1 day, views 7 days before event_time), the newest first; is_last is the one
-- that the last touch of the usual setting gives it to. Sources: conversions, touchpoints. Parameters:
-- $pixel_id, $event_key, $anchor_at, $click_s, $engaged_view_s and $view_s (the setting), $limit.
with
claimed as (
  select
    conversions.event_time,
    conversions.event_time - touchpoints.touched_time as age_s,
    case
      when conversions.click_time > conversions.event_time - $click_s
        then conversions.click_key
      when conversions.ev_time > conversions.event_time - $engaged_view_s
        then conversions.ev_key
      when conversions.view_time > conversions.event_time - $view_s
        then conversions.view_key
    end as last_key,
    touchpoints.touchpoint_key,
    touchpoints.touched_time,
    touchpoints.kind,
    touchpoints.platform,
    touchpoints.channel,
    touchpoints.is_ad,
    touchpoints.campaign_id,
    touchpoints.adset_id,
    touchpoints.ad_id
  from conversions
  inner join touchpoints
    on touchpoints.account_id = conversions.account_id
    and touchpoints.person_id = conversions.person_id
    and touchpoints.since_s <= conversions.frozen_s
    and touchpoints.until_s > conversions.frozen_s
    and touchpoints.touched_time <= conversions.event_time
  where conversions.pixel_id = $pixel_id
    and conversions.event_key = $event_key
    and conversions.anchor_at = $anchor_at
)
select
  cast(touched_time as bigint) as touched_time,
  cast(age_s as bigint) as age_s,
  cast(kind as varchar) as kind,
  cast(platform as varchar) as platform,
  cast(channel as varchar) as channel,
  cast(is_ad as boolean) as is_ad,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(coalesce(touchpoint_key = last_key, false) as boolean) as is_last
from claimed
where age_s < case kind when 'click' then 28 when 'engaged_view' then 1 else 7 end * 86400
order by touched_time desc, touchpoint_key
limit $limit
