-- One row per conversion, window and touch, with what the touches up to it have of the conversion under
-- each model, and those before it. Source: window_touches. Parameters: those of window_touches,
-- $half_life_s, $first_share and $last_share, and the weights of data-driven models as
-- lists of equal length: $weight_models, $weight_windows, $weight_nodes, $weights.
-- Of touch i of n, the oldest first, the shares up to it are: first_touch 1; last_touch 1 for i = n,
-- otherwise 0; linear i / n; position_based the first share and equal parts of what is left between
-- the two; time_decay the sum of 2^(-age / half-life) up to it by that of all; data-driven models
-- that of the weights of its nodes, or linear where all of them are 0. A touch's share is the
-- difference of both columns, so that all of them add up to 1 exactly.
with
weights as (
  select
    unnest($weight_models) as model,
    unnest($weight_windows) as window_name,
    unnest($weight_nodes) as node,
    unnest($weights) as weight
),
driven as (
  select
    window_name,
    node,
    sum(case when model = 'markov' then weight else 0 end) as markov,
    sum(case when model = 'shapley' then weight else 0 end) as shapley
  from weights
  group by window_name, node
),
weighed as (
  select
    window_touches.window_name,
    window_touches.pixel_id,
    window_touches.event_key,
    window_touches.anchor_at,
    window_touches.touched_time,
    window_touches.touchpoint_key,
    window_touches.kind,
    window_touches.platform,
    window_touches.channel,
    window_touches.campaign_id,
    window_touches.adset_id,
    window_touches.ad_id,
    -- 60 half-lives are as good as for ever, and do not vanish.
    power(2.0, -least(window_touches.age_s / cast($half_life_s as double), 60.0)) as decayed,
    coalesce(driven.markov, 0.0) as markov,
    coalesce(driven.shapley, 0.0) as shapley
  from window_touches
  left join driven
    on window_touches.window_name = driven.window_name
    and window_touches.node = driven.node
),
placed as (
  select
    window_name,
    pixel_id,
    event_key,
    anchor_at,
    kind,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    touched_time,
    touchpoint_key,
    row_number() over oldest_first as place,
    count(*) over whole as touches,
    sum(decayed) over oldest_first / sum(decayed) over whole as decayed_by,
    sum(markov) over oldest_first / nullif(sum(markov) over whole, 0) as markov_by,
    sum(shapley) over oldest_first / nullif(sum(shapley) over whole, 0) as shapley_by
  from weighed
  window
    whole as (partition by window_name, pixel_id, event_key, anchor_at),
    oldest_first as (
      partition by window_name, pixel_id, event_key, anchor_at
      order by touched_time, touchpoint_key
      rows between unbounded preceding and current row
    )
),
-- What the touches up to this one have of the conversion.
summed as (
  select
    window_name,
    pixel_id,
    event_key,
    anchor_at,
    kind,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    touched_time,
    touchpoint_key,
    place,
    1.0 as first_touch,
    case when place = touches then 1.0 else 0.0 end as last_touch,
    case when place = touches then 1.0 else cast(place as double) / touches end as linear,
    case
      when place = touches then 1.0
      when touches = 2 then cast($first_share as double) / ($first_share + $last_share)
      else $first_share
        + (place - 1) * (1.0 - $first_share - $last_share) / greatest(touches - 2, 1)
    end as position_based,
    case when place = touches then 1.0 else decayed_by end as time_decay,
    case
      when place = touches then 1.0
      else coalesce(markov_by, cast(place as double) / touches)
    end as markov,
    case
      when place = touches then 1.0
      else coalesce(shapley_by, cast(place as double) / touches)
    end as shapley
  from placed
),
rounded as (
  select
    window_name,
    pixel_id,
    event_key,
    anchor_at,
    kind,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    touched_time,
    touchpoint_key,
    place,
    cast(round(first_touch, 12) as decimal(18, 12)) as first_touch,
    cast(round(last_touch, 12) as decimal(18, 12)) as last_touch,
    cast(round(linear, 12) as decimal(18, 12)) as linear,
    cast(round(position_based, 12) as decimal(18, 12)) as position_based,
    cast(round(time_decay, 12) as decimal(18, 12)) as time_decay,
    cast(round(markov, 12) as decimal(18, 12)) as markov,
    cast(round(shapley, 12) as decimal(18, 12)) as shapley
  from summed
),
stepped as (
  select
    window_name,
    pixel_id,
    event_key,
    anchor_at,
    kind,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    place,
    first_touch,
    lag(first_touch, 1, 0) over oldest_first as first_touch_before,
    last_touch,
    lag(last_touch, 1, 0) over oldest_first as last_touch_before,
    linear,
    lag(linear, 1, 0) over oldest_first as linear_before,
    position_based,
    lag(position_based, 1, 0) over oldest_first as position_based_before,
    time_decay,
    lag(time_decay, 1, 0) over oldest_first as time_decay_before,
    markov,
    lag(markov, 1, 0) over oldest_first as markov_before,
    shapley,
    lag(shapley, 1, 0) over oldest_first as shapley_before
  from rounded
  window oldest_first as (
    partition by window_name, pixel_id, event_key, anchor_at
    order by touched_time, touchpoint_key
  )
)
select
  cast(window_name as varchar) as window_name,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(kind as varchar) as kind,
  cast(platform as varchar) as platform,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(first_touch as decimal(18, 12)) as first_touch,
  cast(first_touch_before as decimal(18, 12)) as first_touch_before,
  cast(last_touch as decimal(18, 12)) as last_touch,
  cast(last_touch_before as decimal(18, 12)) as last_touch_before,
  cast(linear as decimal(18, 12)) as linear,
  cast(linear_before as decimal(18, 12)) as linear_before,
  cast(position_based as decimal(18, 12)) as position_based,
  cast(position_based_before as decimal(18, 12)) as position_based_before,
  cast(time_decay as decimal(18, 12)) as time_decay,
  cast(time_decay_before as decimal(18, 12)) as time_decay_before,
  cast(markov as decimal(18, 12)) as markov,
  cast(markov_before as decimal(18, 12)) as markov_before,
  cast(shapley as decimal(18, 12)) as shapley,
  cast(shapley_before as decimal(18, 12)) as shapley_before
from stepped
