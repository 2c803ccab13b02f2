-- One row per window, model and part of the ads that have a share of conversions, all of them added up;
-- one without a kind for what no touch has. Sources: chosen_conversions, touch_shares. Parameters:
-- those of touch_shares, $models. The sums are those of multi_touch, made before it is spread out
-- by model: ten million rows are five times two.
with
summed as (
  select
    window_name,
    kind,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    sum(first_touch - first_touch_before) as first_touch,
    sum(
      coalesce(
        case
          when first_touch = 1 then amount
          else cast(round(cast(amount as double) * first_touch, 4) as decimal(38, 4))
        end
        - case
          when first_touch_before = 1 then amount
          else cast(round(cast(amount as double) * first_touch_before, 4) as decimal(38, 4))
        end,
        0
      )
    ) as first_touch_amount,
    sum(linear - linear_before) as linear,
    sum(
      coalesce(
        case
          when linear = 1 then amount
          else cast(round(cast(amount as double) * linear, 4) as decimal(38, 4))
        end
        - case
          when linear_before = 1 then amount
          else cast(round(cast(amount as double) * linear_before, 4) as decimal(38, 4))
        end,
        0
      )
    ) as linear_amount,
    sum(position_based - position_based_before) as position_based,
    sum(
      coalesce(
        case
          when position_based = 1 then amount
          else cast(round(cast(amount as double) * position_based, 4) as decimal(38, 4))
        end
        - case
          when position_based_before = 1 then amount
          else cast(round(cast(amount as double) * position_based_before, 4) as decimal(38, 4))
        end,
        0
      )
    ) as position_based_amount,
    sum(time_decay - time_decay_before) as time_decay,
    sum(
      coalesce(
        case
          when time_decay = 1 then amount
          else cast(round(cast(amount as double) * time_decay, 4) as decimal(38, 4))
        end
        - case
          when time_decay_before = 1 then amount
          else cast(round(cast(amount as double) * time_decay_before, 4) as decimal(38, 4))
        end,
        0
      )
    ) as time_decay_amount,
    sum(markov - markov_before) as markov,
    sum(
      coalesce(
        case
          when markov = 1 then amount
          else cast(round(cast(amount as double) * markov, 4) as decimal(38, 4))
        end
        - case
          when markov_before = 1 then amount
          else cast(round(cast(amount as double) * markov_before, 4) as decimal(38, 4))
        end,
        0
      )
    ) as markov_amount,
    sum(shapley - shapley_before) as shapley,
    sum(
      coalesce(
        case
          when shapley = 1 then amount
          else cast(round(cast(amount as double) * shapley, 4) as decimal(38, 4))
        end
        - case
          when shapley_before = 1 then amount
          else cast(round(cast(amount as double) * shapley_before, 4) as decimal(38, 4))
        end,
        0
      )
    ) as shapley_amount
  from touch_shares
  group by window_name, kind, platform, channel, campaign_id, adset_id, ad_id
),
models as (
  select unnest($models) as model
),
windows as (
  select unnest($windows) as window_name
),
whole as (
  select
    count(*) as conversions,
    coalesce(sum(amount), 0) as amount
  from chosen_conversions
),
spread as (
  select
    models.model,
    summed.window_name,
    summed.kind,
    summed.platform,
    summed.channel,
    summed.campaign_id,
    summed.adset_id,
    summed.ad_id,
    case models.model
      when 'first_touch' then summed.first_touch
      when 'linear' then summed.linear
      when 'position_based' then summed.position_based
      when 'time_decay' then summed.time_decay
      when 'markov' then summed.markov
      when 'shapley' then summed.shapley
    end as share,
    case models.model
      when 'first_touch' then summed.first_touch_amount
      when 'linear' then summed.linear_amount
      when 'position_based' then summed.position_based_amount
      when 'time_decay' then summed.time_decay_amount
      when 'markov' then summed.markov_amount
      when 'shapley' then summed.shapley_amount
    end as amount
  from summed
  cross join models
),
rests as (
  select
    models.model,
    windows.window_name,
    whole.conversions - coalesce(sum(spread.share), 0) as share,
    whole.amount - coalesce(sum(spread.amount), 0) as amount
  from models
  cross join windows
  cross join whole
  left join spread
    on spread.model = models.model
    and spread.window_name = windows.window_name
  group by models.model, windows.window_name, whole.conversions, whole.amount
),
told as (
  select
    model,
    window_name,
    kind,
    platform,
    channel,
    campaign_id,
    adset_id,
    ad_id,
    share,
    amount
  from spread
  where share > 0
  union all
  select
    model,
    window_name,
    null,
    null,
    null,
    null,
    null,
    null,
    share,
    amount
  from rests
  where share > 0
)
select
  cast(model as varchar) as model,
  cast(window_name as varchar) as window_name,
  cast(null as varchar) as pixel_id,
  cast(null as bigint) as event_key,
  cast(null as timestamptz) as anchor_at,
  cast(kind as varchar) as kind,
  cast(null as bigint) as touched_time,
  cast(platform as varchar) as platform,
  cast(channel as varchar) as channel,
  cast(campaign_id as varchar) as campaign_id,
  cast(adset_id as varchar) as adset_id,
  cast(ad_id as varchar) as ad_id,
  cast(share as decimal(38, 12)) as share,
  cast(amount as decimal(38, 4)) as amount
from told
