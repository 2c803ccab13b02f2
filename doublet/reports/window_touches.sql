-- One row per conversion, window and touch that has a claim on it: the clicks inside the window or, where
-- there is none, the engaged views or, where there is none either, the views; the oldest first.
-- Sources: chosen_conversions, touchpoints, ad_parents. Parameters: those of chosen_conversions, the
-- windows as last_touch has them, and $ads_only (leave out e-mail, organic and referred visits).
-- `node` is what data-driven models weigh: the campaign where one is named, otherwise the channel.
with
windows as (
  select
    unnest($windows) as window_name,
    unnest($windows_click_s) as click_s,
    unnest($windows_engaged_view_s) as engaged_view_s,
    unnest($windows_view_s) as view_s,
    unnest($windows_kind) as only_kind
),
inside as (
  select
    windows.window_name,
    windows.only_kind,
    chosen_conversions.pixel_id,
    chosen_conversions.event_key,
    chosen_conversions.anchor_at,
    chosen_conversions.event_time,
    chosen_conversions.amount,
    touchpoints.touched_time,
    touchpoints.touchpoint_key,
    touchpoints.kind,
    touchpoints.platform,
    touchpoints.channel,
    touchpoints.is_ad,
    touchpoints.campaign_id,
    touchpoints.adset_id,
    touchpoints.ad_id,
    case touchpoints.kind
      when 'click' then 1
      when 'engaged_view' then 2
      else 3
    end as kind_place,
    min(
      case touchpoints.kind
        when 'click' then 1
        when 'engaged_view' then 2
        else 3
      end
    ) over (
      partition by
        windows.window_name,
        chosen_conversions.pixel_id,
        chosen_conversions.event_key,
        chosen_conversions.anchor_at
    ) as first_kind_place
  from chosen_conversions
  inner join touchpoints
    on touchpoints.account_id = $account_id
    and touchpoints.person_id = chosen_conversions.person_id
    and touchpoints.since_s <= chosen_conversions.frozen_s
    and touchpoints.until_s > chosen_conversions.frozen_s
    and touchpoints.touched_time <= chosen_conversions.event_time
  inner join windows
    on touchpoints.touched_time > chosen_conversions.event_time - case touchpoints.kind
      when 'click' then windows.click_s
      when 'engaged_view' then windows.engaged_view_s
      else windows.view_s
    end
  where touchpoints.is_ad
    or not $ads_only
)
select
  cast(inside.window_name as varchar) as window_name,
  cast(inside.pixel_id as varchar) as pixel_id,
  cast(inside.event_key as bigint) as event_key,
  cast(inside.anchor_at as timestamptz) as anchor_at,
  cast(inside.amount as decimal(38, 4)) as amount,
  cast(inside.touched_time as bigint) as touched_time,
  cast(inside.touchpoint_key as bigint) as touchpoint_key,
  cast(inside.event_time - inside.touched_time as bigint) as age_s,
  cast(inside.kind as varchar) as kind,
  cast(inside.platform as varchar) as platform,
  cast(inside.channel as varchar) as channel,
  cast(inside.campaign_id as varchar) as campaign_id,
  cast(inside.adset_id as varchar) as adset_id,
  cast(inside.ad_id as varchar) as ad_id,
  cast(
    coalesce(
      inside.campaign_id,
      ad_parents.campaign_id,
      case when inside.is_ad then inside.platform end,
      inside.channel
    ) as varchar
  ) as node
from inside
left join ad_parents
  on inside.ad_id = ad_parents.ad_id
where inside.kind_place = inside.first_kind_place
  and inside.only_kind in ('any', inside.kind)
