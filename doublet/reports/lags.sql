-- One row per conversion that a touch came before, and touch that is measured from (`from_touch`:
-- the first or the last one within its window): the seconds between. Sources: chosen_conversions,
-- touchpoints. Parameters: $account_id, and the windows $click_s, $engaged_view_s and $view_s.
with
lag_touches as (
  select
    chosen_conversions.pixel_id,
    chosen_conversions.event_key,
    chosen_conversions.anchor_at,
    min(chosen_conversions.event_time) as event_time,
    min(chosen_conversions.amount) as amount,
    min(touchpoints.touched_time) as first_time,
    max(touchpoints.touched_time) as last_time
  from chosen_conversions
  inner join touchpoints
    on touchpoints.account_id = $account_id
    and touchpoints.person_id = chosen_conversions.person_id
    and touchpoints.since_s <= chosen_conversions.frozen_s
    and touchpoints.until_s > chosen_conversions.frozen_s
    and touchpoints.touched_time <= chosen_conversions.event_time
    and touchpoints.touched_time > chosen_conversions.event_time - case touchpoints.kind
      when 'click' then $click_s
      when 'engaged_view' then $engaged_view_s
      when 'view' then $view_s
      else 0
    end
  group by
    chosen_conversions.pixel_id,
    chosen_conversions.event_key,
    chosen_conversions.anchor_at
),
lag_ends as (
  select unnest(['first', 'last']) as from_touch
)
select
  cast(lag_ends.from_touch as varchar) as from_touch,
  cast(
    lag_touches.event_time
    - case when lag_ends.from_touch = 'first' then first_time else last_time end as bigint
  ) as lag_s,
  cast(lag_touches.amount as decimal(38, 4)) as amount
from lag_touches
cross join lag_ends
