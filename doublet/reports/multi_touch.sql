-- One row per conversion, window, model and touch that has a share of it; one without a kind where no
-- touch has. Sources: chosen_conversions, touch_shares. Parameters: those of touch_shares, $models.
-- The amounts of a conversion add up to its own, as the shares do to 1.
with
models as (
  select unnest($models) as model
),
shared as (
  select
    models.model,
    stepped.window_name,
    stepped.pixel_id,
    stepped.event_key,
    stepped.anchor_at,
    stepped.kind,
    stepped.touched_time,
    stepped.platform,
    stepped.channel,
    stepped.campaign_id,
    stepped.adset_id,
    stepped.ad_id,
    case models.model
      when 'first_touch' then stepped.first_touch
      when 'linear' then stepped.linear
      when 'position_based' then stepped.position_based
      when 'time_decay' then stepped.time_decay
      when 'markov' then stepped.markov
      when 'shapley' then stepped.shapley
    end as up_to,
    case models.model
      when 'first_touch' then stepped.first_touch_before
      when 'linear' then stepped.linear_before
      when 'position_based' then stepped.position_based_before
      when 'time_decay' then stepped.time_decay_before
      when 'markov' then stepped.markov_before
      when 'shapley' then stepped.shapley_before
    end as before
  from touch_shares as stepped
  cross join models
),
-- Each conversion once for each window and model, with the touches that have a share, if any.
told as (
  select
    conversions.pixel_id,
    conversions.event_key,
    conversions.anchor_at,
    conversions.amount,
    models.model,
    windows.window_name
  from chosen_conversions as conversions
  cross join models
  cross join (select unnest($windows) as window_name) as windows
)
select
  cast(told.model as varchar) as model,
  cast(told.window_name as varchar) as window_name,
  cast(told.pixel_id as varchar) as pixel_id,
  cast(told.event_key as bigint) as event_key,
  cast(told.anchor_at as timestamptz) as anchor_at,
  cast(shared.kind as varchar) as kind,
  cast(shared.touched_time as bigint) as touched_time,
  cast(shared.platform as varchar) as platform,
  cast(shared.channel as varchar) as channel,
  cast(shared.campaign_id as varchar) as campaign_id,
  cast(shared.adset_id as varchar) as adset_id,
  cast(shared.ad_id as varchar) as ad_id,
  cast(coalesce(shared.up_to - shared.before, 1) as decimal(38, 12)) as share,
  cast(
    coalesce(
      case
        when shared.up_to = 1 then told.amount
        else cast(round(cast(told.amount as double) * shared.up_to, 4) as decimal(38, 4))
      end
      - case
        when shared.before = 1 then told.amount
        else cast(round(cast(told.amount as double) * shared.before, 4) as decimal(38, 4))
      end,
      told.amount,
      0
    ) as decimal(38, 4)
  ) as amount
from told
left join shared
  on shared.model = told.model
  and shared.window_name = told.window_name
  and shared.pixel_id = told.pixel_id
  and shared.event_key = told.event_key
  and shared.anchor_at = told.anchor_at
where shared.model is null
  or shared.up_to > shared.before
