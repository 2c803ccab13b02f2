-- One row per conversion, window and touch, with what the touches up to it have of the conversion under
-- each model of several touches, and those before it. Source: window_touches. Parameters: those of
-- window_touches, $half_life_s, $first_share and $last_share, and the weights of data-driven models
-- as lists of equal length: $weight_models, $weight_windows, $weight_nodes, $weights (0 to 1).
-- Of touch i of n, the oldest first, the shares up to it are: first_touch 1; linear i / n;
-- position_based the first share and equal parts of what is left between the two; time_decay the
-- sum of 2^(-age / half-life) up to it by that of all; data-driven models that of the weights of its
-- nodes, or linear where all of them are 0. A touch's share is the difference of both columns, so
-- that all of them add up to 1 exactly.
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
-- Weights are whole numbers, whose sums come out the same in any order: the sum up to a touch without
-- its own weight is the sum up to the one before, to the last digit.
weighed as (
  select
    window_touches.window_name,
    window_touches.pixel_id,
    window_touches.event_key,
    window_touches.anchor_at,
    window_touches.amount,
    window_touches.kind,
    window_touches.platform,
    window_touches.channel,
    window_touches.campaign_id,
    window_touches.adset_id,
    window_touches.ad_id,
    window_touches.touched_time,
    window_touches.touchpoint_key,
    -- 40 half-lives are as good as for ever, and do not vanish.
    cast(
      round(1e15 * power(2.0, -least(window_touches.age_s / cast($half_life_s as double), 40.0)))
      as bigint
    ) as decayed,
    cast(round(1e12 * coalesce(driven.markov, 0.0)) as bigint) as markov,
    cast(round(1e12 * coalesce(driven.shapley, 0.0)) as bigint) as shapley
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
    amount,
    kind,
    touched_time,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    decayed,
    markov,
    shapley,
    row_number() over oldest_first as place,
    count(*) over whole as touches,
    sum(decayed) over oldest_first as decayed_to,
    sum(decayed) over whole as decayed_all,
    sum(markov) over oldest_first as markov_to,
    sum(markov) over whole as markov_all,
    sum(shapley) over oldest_first as shapley_to,
    sum(shapley) over whole as shapley_all
  from weighed
  window
    whole as (partition by window_name, pixel_id, event_key, anchor_at),
    oldest_first as (
      partition by window_name, pixel_id, event_key, anchor_at
      order by touched_time, touchpoint_key
      rows between unbounded preceding and current row
    )
),
summed as (
  select
    window_name,
    pixel_id,
    event_key,
    anchor_at,
    amount,
    kind,
    touched_time,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    1.0 as first_touch,
    case when place = 1 then 0.0 else 1.0 end as first_touch_before,
    case when place = touches then 1.0 else cast(place as double) / touches end as linear,
    case when place = 1 then 0.0 else cast(place - 1 as double) / touches end as linear_before,
    case
      when place = touches then 1.0
      when touches = 2 then cast($first_share as double) / ($first_share + $last_share)
      else $first_share
        + (place - 1) * (1.0 - $first_share - $last_share) / greatest(touches - 2, 1)
    end as position_based,
    case
      when place = 1 then 0.0
      when touches = 2 then cast($first_share as double) / ($first_share + $last_share)
      else $first_share
        + (place - 2) * (1.0 - $first_share - $last_share) / greatest(touches - 2, 1)
    end as position_based_before,
    case when place = touches then 1.0 else cast(decayed_to as double) / cast(decayed_all as double) end as time_decay,
    case when place = 1 then 0.0 else cast(decayed_to - decayed as double) / cast(decayed_all as double) end as time_decay_before,
    case
      when place = touches then 1.0
      when markov_all > 0 then cast(markov_to as double) / cast(markov_all as double)
      else cast(place as double) / touches
    end as markov,
    case
      when place = 1 then 0.0
      when markov_all > 0 then cast(markov_to - markov as double) / cast(markov_all as double)
      else cast(place - 1 as double) / touches
    end as markov_before,
    case
      when place = touches then 1.0
      when shapley_all > 0 then cast(shapley_to as double) / cast(shapley_all as double)
      else cast(place as double) / touches
    end as shapley,
    case
      when place = 1 then 0.0
      when shapley_all > 0 then cast(shapley_to - shapley as double) / cast(shapley_all as double)
      else cast(place - 1 as double) / touches
    end as shapley_before
  from placed
)
select
  cast(window_name as varchar) as window_name,
  cast(pixel_id as varchar) as pixel_id,
  cast(event_key as bigint) as event_key,
  cast(anchor_at as timestamptz) as anchor_at,
  cast(amount as decimal(38, 4)) as amount,
  cast(kind as varchar) as kind,
  cast(touched_time as bigint) as touched_time,
  cast(platform as varchar) as platform,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(round(first_touch, 12) as decimal(18, 12)) as first_touch,
  cast(round(first_touch_before, 12) as decimal(18, 12)) as first_touch_before,
  cast(round(linear, 12) as decimal(18, 12)) as linear,
  cast(round(linear_before, 12) as decimal(18, 12)) as linear_before,
  cast(round(position_based, 12) as decimal(18, 12)) as position_based,
  cast(round(position_based_before, 12) as decimal(18, 12)) as position_based_before,
  cast(round(time_decay, 12) as decimal(18, 12)) as time_decay,
  cast(round(time_decay_before, 12) as decimal(18, 12)) as time_decay_before,
  cast(round(markov, 12) as decimal(18, 12)) as markov,
  cast(round(markov_before, 12) as decimal(18, 12)) as markov_before,
  cast(round(shapley, 12) as decimal(18, 12)) as shapley,
  cast(round(shapley_before, 12) as decimal(18, 12)) as shapley_before
from summed
