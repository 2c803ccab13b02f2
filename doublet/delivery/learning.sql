-- One row per ad set: how many of its optimisation actions came since a moment, credited by the
-- account's setting. Sources: conversions, for ad sets with an event name; touches of the ad log, for
-- those with none, whose action is the click. Ad sets without any have no row.
-- Parallel lists: $adset_ids, $pixel_ids, $event_names (null: clicks) and $since_s (Unix seconds).
-- $click_s, $engaged_s and $view_s are the windows of the setting; a click wins over an engaged view,
-- and that over a view.
with
asked as (
  select
    unnest(cast($adset_ids as varchar[])) as adset_id,
    unnest(cast($pixel_ids as varchar[])) as pixel_id,
    unnest(cast($event_names as varchar[])) as event_name,
    unnest(cast($since_s as bigint[])) as since_s
),
credited as (
  select
    pixel_id,
    event_name,
    event_time,
    case
      when event_time - click_time < $click_s then click_adset_id
      when event_time - ev_time < $engaged_s then ev_adset_id
      when event_time - view_time < $view_s then view_adset_id
    end as adset_id
  from conversions
  where account_id = $account_id
    and event_time >= $from_s
),
actions as (
  select asked.adset_id
  from asked
  inner join credited
    on credited.adset_id = asked.adset_id
    and credited.pixel_id = asked.pixel_id
    and credited.event_name = asked.event_name
  where credited.event_time >= asked.since_s
  union all
  select asked.adset_id
  from asked
  inner join touches
    on touches.adset_id = asked.adset_id
  where asked.event_name is null
    and touches.account_id = $account_id
    and touches.origin = 'ad_log'
    and touches.kind = 'click'
    and touches.touched_time >= asked.since_s
)
select
  cast(adset_id as varchar) as adset_id,
  cast(count(*) as bigint) as actions
from actions
group by adset_id
