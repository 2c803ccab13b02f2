-- One row per window, platform and campaign: the conversions that are credited to it here, on the
-- account's days (`own`) and on the platform's (`shifted`), with their value in the account's
-- currency; and how many copies more the platform sees on its days (`doubled`), since it tells
-- copies by their event id, while an order id joins them here. What no touch claims has a null
-- platform. Sources: chosen_conversions, placed_credit, joins. Parameters: those of placed_credit,
-- $own_since and $own_until (Unix seconds, half-open), of what no touch claims; and for each of
-- $platforms, in lists of equal length, the same days here ($own_sinces, $own_untils) and as the
-- platform has them ($platform_since, $platform_until).
with
platforms as (
  select
    unnest(cast($platforms as varchar[])) as platform,
    unnest(cast($own_sinces as bigint[])) as own_since_s,
    unnest(cast($own_untils as bigint[])) as own_until_s,
    unnest(cast($platform_since as bigint[])) as since_s,
    unnest(cast($platform_until as bigint[])) as until_s
),
doubles as (
  select
    pixel_id,
    root_key,
    root_at,
    count(*) as copies
  from joins
  where rule = 'order_id'
    and pixel_id in (
      select pixel_id
      from chosen_conversions
    )
  group by pixel_id, root_key, root_at
),
dated as (
  select
    placed_credit.window_name,
    placed_credit.kind,
    placed_credit.channel as platform,
    placed_credit.campaign_id,
    placed_credit.amount,
    chosen_conversions.event_time >= coalesce(platforms.own_since_s, $own_since)
      and chosen_conversions.event_time < coalesce(platforms.own_until_s, $own_until) as is_own,
    chosen_conversions.event_time >= coalesce(platforms.since_s, $own_since)
      and chosen_conversions.event_time < coalesce(platforms.until_s, $own_until) as is_shifted,
    coalesce(doubles.copies, 0) as copies
  from placed_credit
  inner join chosen_conversions
    on chosen_conversions.pixel_id = placed_credit.pixel_id
    and chosen_conversions.event_key = placed_credit.event_key
    and chosen_conversions.anchor_at = placed_credit.anchor_at
  left join platforms
    on platforms.platform = placed_credit.channel
  left join doubles
    on doubles.pixel_id = placed_credit.pixel_id
    and doubles.root_key = placed_credit.event_key
    and doubles.root_at = placed_credit.anchor_at
)
select
  cast(window_name as varchar) as window_name,
  cast(platform as varchar) as platform,
  cast(campaign_id as varchar) as campaign_id,
  cast(kind is not null as boolean) as is_attributed,
  cast(coalesce(kind in ('view', 'engaged_view'), false) as boolean) as is_view,
  cast(count(case when is_own then 1 end) as bigint) as own,
  cast(coalesce(sum(case when is_own then amount end), 0) as decimal(38, 4)) as own_value,
  cast(count(case when is_shifted then 1 end) as bigint) as shifted,
  cast(coalesce(sum(case when is_shifted then amount end), 0) as decimal(38, 4)) as shifted_value,
  cast(coalesce(sum(case when is_shifted then copies end), 0) as bigint) as doubled,
  cast(
    coalesce(sum(case when is_shifted then amount * copies end), 0) as decimal(38, 4)
  ) as doubled_value
from dated
group by
  window_name,
  platform,
  campaign_id,
  kind is not null,
  coalesce(kind in ('view', 'engaged_view'), false)
order by window_name, platform, campaign_id, is_attributed, is_view
