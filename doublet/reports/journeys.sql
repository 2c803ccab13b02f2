-- One row per journey through nodes and window: how many conversions and how many losses came of it.
-- Sources: window_touches, conversions, touchpoints, persons, ad_parents. Parameters: those of window_touches,
-- and $begins_at and $ends_at (Unix seconds, half-open: whose touches may be losses; null: no bound).
-- A loss is a run of a person's touches that no conversion follows within their windows; the run goes
-- on while a touch falls into the window of the one before. As in what converts, clicks go before
-- engaged views, and those before views. Nodes that follow themselves are one step.
with
windows as (
  select
    unnest($windows) as window_name,
    unnest($windows_click_s) as click_s,
    unnest($windows_engaged_view_s) as engaged_view_s,
    unnest($windows_view_s) as view_s,
    unnest($windows_kind) as only_kind
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
-- Whatever day it is on: what was bought soon after the days of the report was not lost. The longest
-- window is 28 days.
buys as (
  select distinct
    coalesce(persons.root_id, conversions.person_id) as person_id,
    conversions.event_time
  from conversions
  left join persons
    on persons.account_id = $account_id
    and persons.person_id = conversions.person_id
  where conversions.account_id = $account_id
    and list_contains($event_names, conversions.event_name)
    and ($pixel_id is null or conversions.pixel_id = $pixel_id)
    and conversions.person_id is not null
    and ($begins_at is null or conversions.event_time >= $begins_at)
    and ($ends_at is null or conversions.event_time < $ends_at + 2419200)
),
-- Persons as they are now, so that none is counted under two ids.
touched as (
  select
    windows.window_name,
    windows.only_kind,
    touchpoints.person_id,
    touchpoints.touched_time,
    touchpoints.touchpoint_key,
    touchpoints.kind,
    case touchpoints.kind
      when 'click' then windows.click_s
      when 'engaged_view' then windows.engaged_view_s
      else windows.view_s
    end as window_s,
    coalesce(
      touchpoints.campaign_id,
      ad_parents.campaign_id,
      case when touchpoints.is_ad then touchpoints.platform end,
      touchpoints.channel
    ) as node
  from touchpoints
  cross join windows
  left join ad_parents
    on touchpoints.ad_id = ad_parents.ad_id
  where touchpoints.account_id = $account_id
    and (touchpoints.is_ad or not $ads_only)
    and touchpoints.until_s > 1000000000000000000
    and ($begins_at is null or touchpoints.touched_time >= $begins_at)
    and ($ends_at is null or touchpoints.touched_time < $ends_at)
),
followed as (
  select distinct
    touched.window_name,
    touched.person_id,
    touched.touchpoint_key
  from touched
  inner join buys
    on touched.person_id = buys.person_id
    and buys.event_time >= touched.touched_time
    and buys.event_time < touched.touched_time + touched.window_s
),
unfollowed as (
  select
    touched.window_name,
    touched.only_kind,
    touched.person_id,
    touched.touched_time,
    touched.touchpoint_key,
    touched.kind,
    touched.node,
    case
      when touched.touched_time - lag(touched.touched_time) over by_time
        < lag(touched.window_s) over by_time
        then 0
      else 1
    end as begins
  from touched
  left join followed
    on followed.window_name = touched.window_name
    and followed.person_id = touched.person_id
    and followed.touchpoint_key = touched.touchpoint_key
  where touched.window_s > 0
    and followed.person_id is null
  window by_time as (
    partition by touched.window_name, touched.person_id
    order by touched.touched_time, touched.touchpoint_key
  )
),
numbered as (
  select
    window_name,
    only_kind,
    person_id,
    touched_time,
    touchpoint_key,
    kind,
    node,
    case kind
      when 'click' then 1
      when 'engaged_view' then 2
      else 3
    end as kind_place,
    sum(begins) over (
      partition by window_name, person_id
      order by touched_time, touchpoint_key
      rows between unbounded preceding and current row
    ) as run
  from unfollowed
),
ranked as (
  select
    window_name,
    only_kind,
    person_id,
    run,
    touched_time,
    touchpoint_key,
    kind,
    node,
    kind_place,
    min(kind_place) over (partition by window_name, person_id, run) as first_kind_place
  from numbered
),
lost as (
  select
    window_name,
    cast(person_id || '/' || run as varchar) as journey,
    touched_time,
    touchpoint_key,
    node,
    0 as conversions
  from ranked
  where kind_place = first_kind_place
    and only_kind in ('any', kind)
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
