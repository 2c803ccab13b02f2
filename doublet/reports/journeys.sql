-- One row per journey through nodes and window: how many conversions and how many losses came of it.
-- Sources: chosen_conversions, window_touches, touchpoints, ads. Parameters: those of window_touches,
-- and $ends_at (Unix seconds, at which losses are counted; null: now, the last touch there is).
-- A loss is a person with touches inside the window before the end and no conversion at all; nodes
-- that follow themselves are one step.
with
windows as (
  select
    unnest($windows) as window_name,
    unnest($windows_click_s) as click_s
),
ad_parents as (
  select
    ad_id,
    min(campaign_id) as campaign_id
  from ads
  where account_id = $account_id
    and level = 'ad'
  group by ad_id
),
won as (
  select
    window_name,
    cast(pixel_id || '/' || event_key || '/' || epoch(anchor_at) as varchar) as journey,
    touched_time,
    touchpoint_key,
    node,
    1 as conversions
  from window_touches
),
buyers as (
  select distinct
    person_id
  from chosen_conversions
  where person_id is not null
),
ends as (
  select
    coalesce($ends_at, max(touched_time) + 1) as ends_at
  from touchpoints
  where account_id = $account_id
),
lost as (
  select
    windows.window_name,
    cast(touchpoints.person_id as varchar) as journey,
    touchpoints.touched_time,
    touchpoints.touchpoint_key,
    coalesce(
      touchpoints.campaign_id,
      ad_parents.campaign_id,
      case when touchpoints.is_ad then touchpoints.platform end,
      touchpoints.channel
    ) as node,
    0 as conversions
  from touchpoints
  cross join windows
  cross join ends
  left join ad_parents
    on touchpoints.ad_id = ad_parents.ad_id
  where touchpoints.account_id = $account_id
    and touchpoints.kind = 'click'
    and (touchpoints.is_ad or not $ads_only)
    and touchpoints.until_s > ends.ends_at
    and touchpoints.since_s <= ends.ends_at
    and touchpoints.touched_time < ends.ends_at
    and touchpoints.touched_time > ends.ends_at - windows.click_s
    and touchpoints.person_id not in (select person_id from buyers)
),
told as (
  select
    window_name,
    journey,
    touched_time,
    touchpoint_key,
    node,
    conversions
  from won
  union all
  select
    window_name,
    journey,
    touched_time,
    touchpoint_key,
    node,
    conversions
  from lost
),
stepped as (
  select
    window_name,
    journey,
    touched_time,
    touchpoint_key,
    node,
    conversions,
    lag(node) over (
      partition by window_name, journey, conversions order by touched_time, touchpoint_key
    ) as node_before
  from told
),
walked as (
  select
    window_name,
    journey,
    conversions,
    list_transform(
      list_sort(
        list(struct_pack(touched := touched_time, tie := touchpoint_key, node := node))
      ),
      lambda place: place.node
    ) as path
  from stepped
  where node_before is null
    or node <> node_before
  group by window_name, journey, conversions
)
select
  cast(window_name as varchar) as window_name,
  cast(path as varchar[]) as path,
  cast(sum(conversions) as bigint) as conversions,
  cast(count(*) - sum(conversions) as bigint) as losses
from walked
group by window_name, path
order by window_name, path
