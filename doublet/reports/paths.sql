-- One row per path of touches to conversion: how many conversions came by it, and their value in
-- the account's currency. Conversions that no touch came before have the empty path; all paths
-- beyond the first $paths_max have a null path, in a row per number of steps whose `paths` counts them. Ads of one
-- platform are one channel, whatever addresses call it; other visits go by utm parameters. Sources:
-- chosen_conversions, touchpoints, ads, ad_parents. Parameters: those of chosen_conversions, the
-- windows $click_s, $engaged_view_s and $view_s, $by ('channel' or 'campaign': what a step is named by),
-- $repeats (whether a step that repeats the one before it stays), $paths_max.
with
campaign_names as (
  select
    campaign_id,
    max(campaign_name) as campaign_name
  from ads
  where account_id = $account_id
  group by campaign_id
),
touches as (
  select
    chosen_conversions.pixel_id,
    chosen_conversions.event_key,
    chosen_conversions.anchor_at,
    touchpoints.touched_time,
    touchpoints.touchpoint_key,
    case
      when $by = 'channel' and touchpoints.is_ad
        then coalesce(touchpoints.platform, touchpoints.channel)
      when $by = 'channel' then touchpoints.channel
      else coalesce(
        campaign_names.campaign_name,
        touchpoints.campaign_id,
        ad_parents.campaign_id,
        touchpoints.utm_campaign,
        touchpoints.channel
      )
    end as step
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
  left join ad_parents
    on ad_parents.ad_id = touchpoints.ad_id
  left join campaign_names
    on campaign_names.campaign_id = coalesce(touchpoints.campaign_id, ad_parents.campaign_id)
),
steps as (
  select
    pixel_id,
    event_key,
    anchor_at,
    touched_time,
    touchpoint_key,
    step,
    lag(step) over (
      partition by pixel_id, event_key, anchor_at
      order by touched_time, touchpoint_key
    ) as step_before
  from touches
),
walked as (
  select
    pixel_id,
    event_key,
    anchor_at,
    list_transform(
      list_sort(
        list(struct_pack(touched := touched_time, tie := touchpoint_key, step := step))
      ),
      lambda place: place.step
    ) as path
  from steps
  where $repeats
    or step_before is null
    or step <> step_before
  group by pixel_id, event_key, anchor_at
),
counted as (
  select
    coalesce(walked.path, []) as path,
    count(*) as conversions,
    coalesce(sum(chosen_conversions.amount), 0) as value
  from chosen_conversions
  left join walked
    on walked.pixel_id = chosen_conversions.pixel_id
    and walked.event_key = chosen_conversions.event_key
    and walked.anchor_at = chosen_conversions.anchor_at
  group by coalesce(walked.path, [])
),
ranked as (
  select
    path,
    conversions,
    value,
    len(path) as steps,
    len(path) = 0 as is_untouched,
    row_number() over (order by len(path) = 0, conversions desc, value desc, path) as nth
  from counted
),
kept as (
  select
    case when nth <= $paths_max or is_untouched then path end as path,
    steps,
    is_untouched,
    conversions,
    value
  from ranked
)
select
  cast(path as varchar[]) as path,
  cast(steps as bigint) as steps,
  cast(count(*) as bigint) as paths,
  cast(sum(conversions) as bigint) as conversions,
  cast(sum(value) as decimal(38, 4)) as value
from kept
group by path, steps, is_untouched
order by path is null, is_untouched, conversions desc, value desc, path, steps
